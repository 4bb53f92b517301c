// Takes memory until there is none, and says how much it was; then writes to all of it.
// Argument: MiB to ask for at most.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char** argv) {
  int most = argc > 1 ? atoi(argv[1]) : 64, got = 0;
  unsigned sum = 0;
  char* blocks[1024];
  while (got < most && got < 1024 && (blocks[got] = malloc(1 << 20))) got++;
  for (int i = 0; i < got; i++) memset(blocks[i], i, 1 << 20);
  for (int i = 0; i < got; i++) {
    if (i > 0) memcpy(blocks[i], blocks[i - 1] + 512, 1024);
    sum = sum * 31 + (unsigned char)blocks[i][512] + (unsigned char)blocks[i][(1 << 20) - 1];
  }
  printf("%d MiB, %u\n", got, sum);
  return 0;
}
