// The classic of calls. Argument: which number.
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static unsigned fibonacci(unsigned n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

int main(int argc, char** argv) {
  unsigned n = argc > 1 ? atoi(argv[1]) : 24;
  printf("%u\n", fibonacci(n));
  return 0;
}
