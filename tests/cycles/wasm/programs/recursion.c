// Calls each other as deep as asked, through a table too. Argument: how deep.
// Needs a C stack of some MiB.
#include <stdio.h>
#include <stdlib.h>

typedef unsigned (*step)(unsigned depth, unsigned value);
static step steps[3];

__attribute__((noinline)) static unsigned even(unsigned depth, unsigned value) {
  return depth == 0 ? value : steps[depth % 3](depth - 1, value * 31 + depth) ^ depth;
}
__attribute__((noinline)) static unsigned odd(unsigned depth, unsigned value) {
  if (depth == 0) return value;
  unsigned result = even(depth - 1, value + 17);
  return result * 3 + value;
}
__attribute__((noinline)) static unsigned wide(unsigned depth, unsigned value) {
  volatile unsigned kept[16];
  for (int i = 0; i < 16; i++) kept[i] = value ^ i;
  return depth == 0 ? kept[3] : odd(depth - 1, value) + kept[depth % 16];
}

int main(int argc, char** argv) {
  unsigned depth = argc > 1 ? atoi(argv[1]) : 5000;
  steps[0] = even, steps[1] = odd, steps[2] = wide;
  printf("%u\n", even(depth, 1));
  return 0;
}
