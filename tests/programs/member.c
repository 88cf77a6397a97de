// SPDX-License-Identifier: MIT
// A member of a network that finds others by name: member VERB ARGUMENT...
// hosts NAME: prints the addresses of the name in /etc/hosts, which the program reads itself, like
// programs with their own resolver.
// resolve NAME: prints the addresses that the C library finds.
// keep NAME COUNT: resolves the name COUNT times, once a second, in one process, and prints the
// addresses.
// serve PORT HOST PORT QUESTION [HOST PORT QUESTION]: a web server whose page has the first bytes
// of the answers of these servers. In a question, ~ ends a line and ^ is a zero byte. Unprintable
// bytes of an answer are shown as dots.
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int hosts(const char *name) {
  char line[1024];
  FILE *file = fopen("/etc/hosts", "r");
  if (!file) return 1;
  while (fgets(line, sizeof line, file)) {
    char *address = strtok(line, " \t\n"), *word;
    while (address && (word = strtok(NULL, " \t\n")))
      if (!strcmp(word, name)) printf("%s\n", address);
  }
  return fclose(file);
}

static int resolve(const char *name) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all, *one;
  char text[64];
  if (getaddrinfo(name, NULL, &hints, &all)) return 1;
  for (one = all; one; one = one->ai_next)
    if (!getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST)) printf("%s\n", text);
  freeaddrinfo(all);
  return 0;
}

static int keep(const char *name, int count) {
  while (count--) {
    if (resolve(name)) puts("none");
    fflush(stdout);
    sleep(1);
  }
  return 0;
}

// Sends the question to a server, and writes its answer to `out`.
static void ask(FILE *out, const char *host, const char *port, const char *question) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
  struct timeval limit = {5, 0};
  char text[128];
  size_t i, length = strlen(question);
  ssize_t count = -1;
  int s;
  if (getaddrinfo(host, port, &hints, &all)) {
    fprintf(out, "%s: no such name\n", host);
    return;
  }
  s = socket(all->ai_family, SOCK_STREAM, 0);
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  for (i = 0; i <= length && i < sizeof text; i++)
    text[i] = question[i] == '~' ? '\n' : question[i] == '^' ? 0 : question[i];
  if (!connect(s, all->ai_addr, all->ai_addrlen) && write(s, text, length) == (ssize_t)length)
    count = read(s, text, sizeof text);
  close(s);
  freeaddrinfo(all);
  fprintf(out, "%s: ", host);
  for (i = 0; count > 0 && i < (size_t)count; i++) fputc(text[i] < ' ' || text[i] > '~' ? '.' : text[i], out);
  fputc('\n', out);
}

static int serve(int count, char **arguments) {
  struct addrinfo hints = {.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *own;
  int i, s, on = 1;
  char request[4096];
  if (getaddrinfo(NULL, arguments[0], &hints, &own)) return 1;
  s = socket(AF_INET6, SOCK_STREAM, 0);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(s, own->ai_addr, own->ai_addrlen) || listen(s, 16)) return 1;
  for (;;) {
    int client = accept(s, NULL, NULL);
    FILE *out = client < 0 || read(client, request, sizeof request) < 0 ? NULL : fdopen(client, "w");
    if (!out) continue;
    fprintf(out, "HTTP/1.0 200 OK\r\n\r\n");
    for (i = 1; i + 2 < count; i += 3) ask(out, arguments[i], arguments[i + 1], arguments[i + 2]);
    fclose(out);
  }
}

int main(int count, char **arguments) {
  const char *verb = count > 2 ? arguments[1] : "";
  if (!strcmp(verb, "hosts")) return hosts(arguments[2]);
  if (!strcmp(verb, "resolve")) return resolve(arguments[2]);
  if (!strcmp(verb, "keep") && count > 3) return keep(arguments[2], atoi(arguments[3]));
  if (!strcmp(verb, "serve")) return serve(count - 2, arguments + 2);
  return 2;
}
