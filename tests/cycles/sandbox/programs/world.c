// Everything that a piece can see of the world it runs in.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char** argv) {
  for (int i = 0; i < argc; i++) printf("argument %d: %s\n", i, argv[i]);
  extern char** environ;
  printf("environment: %s\n", environ && environ[0] ? environ[0] : "none");
  printf("file: %s\n", open("/etc/passwd", O_RDONLY) < 0 ? strerror(errno) : "opened");
  printf("file: %s\n", open("new", O_CREAT | O_WRONLY, 0600) < 0 ? strerror(errno) : "opened");
  for (int i = 0; i < 3; i++) {
    struct timespec now;
    clock_gettime(i == 1 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
    printf("time: %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
  }
  unsigned char random[13];
  getentropy(random, sizeof random);
  for (int i = 0; i < (int)sizeof random; i++) printf("%02x", random[i]);
  getentropy(random, 3);
  printf(" %02x%02x%02x\n", random[0], random[1], random[2]);
  struct timespec nap = {1, 0};
  printf("sleep: %s\n", nanosleep(&nap, NULL) ? "not here" : "done");
  struct stat info;
  printf("input: %s\n", fstat(0, &info) ? strerror(errno) : S_ISREG(info.st_mode) ? "a file" : "something");
  printf("seek: %s\n", lseek(0, 0, SEEK_SET) < 0 ? strerror(errno) : "done");
  printf("write to the input: %s\n", write(0, "x", 1) < 0 ? strerror(errno) : "done");
  printf("read the output: %s\n", read(1, random, 1) < 0 ? strerror(errno) : "done");
  int c, n = 0;
  unsigned sum = 0;
  while ((c = getchar()) != EOF) sum = sum * 31 + (unsigned)c, n++;
  printf("input: %d bytes, %u\n", n, sum);
  return 0;
}
