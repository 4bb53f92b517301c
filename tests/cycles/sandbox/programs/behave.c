// Behaves as badly as its first argument says.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile uint32_t zero;

static unsigned deeper(unsigned depth) { return depth == ~zero ? 0 : deeper(depth + 1) * 3 + zero; }

static void two_arguments(int a, int b) { zero += (uint32_t)(a + b); }

int main(int argc, char** argv) {
  const char* how = argc > 1 ? argv[1] : "";
  static char block[65536];
  printf("before\n");
  fflush(stdout);
  if (!strcmp(how, "loop")) for (;;) zero = zero + 1;
  if (!strcmp(how, "recurse")) return (int)deeper(zero);
  if (!strcmp(how, "divide")) return (int)(7 / zero);
  if (!strcmp(how, "overflow")) return (int)((int32_t)(0x80000000u + zero) / (int32_t)(zero - 1));
  if (!strcmp(how, "read")) return *(volatile int*)(0xfffffff0u + zero);
  if (!strcmp(how, "write")) *(volatile int*)(0xfffffff0u + zero) = 1;
  if (!strcmp(how, "call")) ((int (*)(int))(uintptr_t)(100000 + zero))(1);
  if (!strcmp(how, "type")) {
    void (*volatile two)(int, int) = two_arguments;
    ((int (*)(int))(void*)two)(1);
  }
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "eat")) {
    for (;;) {
      volatile char* volatile more = malloc(1 << 20);
      if (!more) abort();
      more[1 << 19] = 1;
    }
  }
  if (!strcmp(how, "refused")) {  // and lives with it
    int megabytes = 0;
    for (void* volatile more; (more = malloc(1 << 20)) != NULL;) megabytes++;
    printf("%d\n", megabytes);
    return 0;
  }
  if (!strcmp(how, "babble")) for (;;) write(1, block, sizeof block);
  if (!strcmp(how, "log")) for (int i = 0; i < 100; i++) fprintf(stderr, "line %d\n", i);
  if (!strcmp(how, "exit")) exit(300);
  if (!strcmp(how, "random")) for (;;) getentropy(block, 256);
  return 0;
}
