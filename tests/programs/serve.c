// SPDX-License-Identifier: MIT
// The program of the images that replace real ones; compiled with gcc -static. As an entrypoint it
// listens on all ports in the variable PORTS (for example "80/tcp 53/udp") and answers every
// request with "NAME PORT", where NAME is the value of the variable NAME. Other arguments are
// ignored, except "migrate", which ends the program at once with success. Under another name than
// serve it is a client: it requests the URL http://HOST:PORT/ in its last argument, or otherwise
// 127.0.0.1 at the port in the variable PROBE.
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 16 };

static struct addrinfo *look(const char *host, const char *port, int type) {
  struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = type, .ai_flags = host ? 0 : AI_PASSIVE};
  struct addrinfo *found = NULL;
  int error = getaddrinfo(host, port, &wanted, &found);
  if (error) {
    fprintf(stderr, "%s: %s\n", host ? host : "any address", gai_strerror(error));
    exit(2);
  }
  return found;
}

static int ask(const char *url) {
  char host[256] = "127.0.0.1", port[16] = "80";
  if (url && sscanf(url, "http://%255[^:/]:%15[0-9]", host, port) < 1) {
    fprintf(stderr, "%s: not a URL\n", url);
    return 2;
  }
  if (!url && getenv("PROBE")) snprintf(port, sizeof port, "%s", getenv("PROBE"));
  struct addrinfo *to = look(host, port, SOCK_STREAM);
  int fd = socket(to->ai_family, to->ai_socktype, 0);
  char text[512];
  ssize_t count;
  alarm(5);
  if (connect(fd, to->ai_addr, to->ai_addrlen) || write(fd, "GET / HTTP/1.0\r\n\r\n", 18) != 18) {
    perror(host);
    return 1;
  }
  while ((count = read(fd, text, sizeof text)) > 0) fwrite(text, 1, count, stdout);
  return count < 0;
}

int main(int argc, char **argv) {
  const char *own = strrchr(argv[0], '/');
  if (strcmp(own ? own + 1 : argv[0], "serve")) return ask(argc > 1 && strstr(argv[argc - 1], "://") ? argv[argc - 1] : NULL);
  if (argc > 1 && !strcmp(argv[1], "migrate")) return 0;

  const char *name = getenv("NAME");
  struct pollfd all[MOST];
  int ports[MOST], udp[MOST], count = 0, one = 1;
  char *list = strdup(getenv("PORTS") ? getenv("PORTS") : "");
  for (char *word = strtok(list, " "); word && count < MOST; word = strtok(NULL, " "), count++) {
    char *protocol = strchr(word, '/');
    *protocol++ = 0;
    udp[count] = !strcmp(protocol, "udp");
    ports[count] = atoi(word);
    struct addrinfo *at = look(NULL, word, udp[count] ? SOCK_DGRAM : SOCK_STREAM);
    int fd = socket(at->ai_family, at->ai_socktype, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, at->ai_addr, at->ai_addrlen) || (!udp[count] && listen(fd, 16))) {
      perror(word);
      return 1;
    }
    all[count] = (struct pollfd){.fd = fd, .events = POLLIN};
  }
  while (poll(all, count, -1) > 0) {
    for (int i = 0; i < count; i++) {
      char text[1024], body[128];
      if (!(all[i].revents & POLLIN)) continue;
      int length = snprintf(body, sizeof body, "%s %d\n", name ? name : "?", ports[i]);
      if (udp[i]) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        if (recvfrom(all[i].fd, text, sizeof text, 0, (struct sockaddr *)&from, &size) >= 0)
          sendto(all[i].fd, body, length, 0, (struct sockaddr *)&from, size);
        continue;
      }
      int fd = accept(all[i].fd, NULL, NULL);
      if (fd < 0) continue;
      // A client that sends nothing must not block the others.
      struct pollfd said = {.fd = fd, .events = POLLIN};
      if (poll(&said, 1, 2000) > 0 && read(fd, text, sizeof text) > 0) {
        int all_of_it = snprintf(text, sizeof text, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, body);
        if (write(fd, text, all_of_it) < 0) perror("write");
        // Closing with unread bytes would reset the connection before the answer is read.
        shutdown(fd, SHUT_WR);
        while (poll(&said, 1, 200) > 0 && read(fd, text, sizeof text) > 0) {}
      }
      close(fd);
    }
  }
  return 1;
}
