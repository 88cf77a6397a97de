// SPDX-License-Identifier: MIT
// A program without a C library, for images that contain nothing else; compiled with gcc -static
// -nostdlib. Its first argument selects the action: dump (prints the numbers of arguments and of
// variables, and then all of them, each terminated by a NUL), id (prints user, group, supplementary
// groups and HOME), open (writes through every name of its output), long (writes one line without
// an end), lines N (writes N numbered lines).
#include <asm/unistd.h>

typedef unsigned long word;

static long call(long number, long a, long b, long c, long d) {
  long result;
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  result = x0;
#else
#error "no system calls for this processor"
#endif
  return result;
}

static void end(long status) {
  call(__NR_exit_group, status, 0, 0, 0);
}

static word length(const char *text) {
  word n = 0;
  while (text[n]) n++;
  return n;
}

// Compilers replace loops by calls of memset and strlen.
void *memset(void *to, int value, word count) {
  volatile char *bytes = to;
  for (word i = 0; i < count; i++) bytes[i] = value;
  return to;
}

word strlen(const char *text) {
  const volatile char *end = text;
  while (*end) end++;
  return end - text;
}

static void put(int fd, const char *bytes, word count) {
  while (count) {
    long written = call(__NR_write, fd, (long)bytes, count, 0);
    if (written < 0) end(90);
    bytes += written;
    count -= written;
  }
}

static void print(const char *text) {
  put(1, text, length(text));
}

// Writes the digits of a number in front of `end`, and returns the first digit.
static char *digits(word number, char *end) {
  do *--end = '0' + number % 10;
  while (number /= 10);
  return end;
}

static void print_number(word number) {
  char buffer[24];
  char *from = digits(number, buffer + sizeof buffer);
  print(" ");
  put(1, from, buffer + sizeof buffer - from);
}

static char buffer[65536];

static void dump(char **argv, char **envp) {
  word argc = 0, envc = 0;
  while (argv[argc]) argc++;
  while (envp[envc]) envc++;
  print_number(argc);
  print_number(envc);
  put(1, "\0", 1);
  for (; *argv; argv++) put(1, *argv, length(*argv) + 1);
  for (; *envp; envp++) put(1, *envp, length(*envp) + 1);
}

static void id(char **envp) {
  unsigned groups[64];
  print("id");
  print_number(call(__NR_getuid, 0, 0, 0, 0));
  print_number(call(__NR_getgid, 0, 0, 0, 0));
  long count = call(__NR_getgroups, 64, (long)groups, 0, 0);
  for (long i = 0; i < count; i++) print_number(groups[i]);
  for (; *envp; envp++) {
    if ((*envp)[0] == 'H' && (*envp)[1] == 'O' && (*envp)[2] == 'M' && (*envp)[3] == 'E') {
      print(" ");
      print(*envp);
    }
  }
  print("\n");
}

static void open_all(void) {
  static const char *paths[] = {"/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", "/dev/stderr", "/proc/self/fd/2", "/dev/fd/2"};
  for (int i = 0; i < 6; i++) {
    long fd = call(__NR_openat, -100, (long)paths[i], 02001, 0);
    if (fd < 0) end(10 + i);
    put(fd, "through ", 8);
    put(fd, paths[i], length(paths[i]));
    put(fd, "\n", 1);
    call(__NR_close, fd, 0, 0, 0);
  }
  print("the last line has no end");
}

static void many_lines(const char *text) {
  word count = 0, used = 0;
  for (; *text; text++) count = count * 10 + (*text - '0');
  for (word i = 1; i <= count; i++) {
    char *from = digits(i, buffer + sizeof buffer);
    if (used + 64 > sizeof buffer - 64) {
      put(1, buffer, used);
      used = 0;
    }
    while (from < buffer + sizeof buffer) buffer[used++] = *from++;
    buffer[used++] = '\n';
  }
  put(1, buffer, used);
}

__attribute__((used)) static void start(word *stack) {
  word argc = stack[0];
  char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
  switch (argc > 1 ? argv[1][0] : 0) {
  case 'd': dump(argv + 2, envp); break;
  case 'i':
    id(envp);
    call(__NR_ppoll, 0, 0, 0, 0);
    break;
  case 'o':
    if (argv[1][1] == 'p') open_all();
    break;
  case 'l':
    if (argv[1][1] == 'i') {
      many_lines(argv[2]);
      // The process stays, because the test inspects the launcher.
      call(__NR_ppoll, 0, 0, 0, 0);
    } else {
      memset(buffer, 'x', 50000);
      for (int i = 0; i < 20; i++) put(1, buffer, 50000);
    }
    break;
  default: end(91);
  }
  end(0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
#else
__asm__(".globl _start\n_start:\n mov x0, sp\n bl start\n");
#endif
