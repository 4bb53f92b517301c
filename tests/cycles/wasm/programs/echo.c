// Its arguments, then its input with every letter counted: what a program sees of the world.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char** argv) {
  unsigned counts[256] = {0}, total = 0;
  for (int i = 1; i < argc; i++) printf("%d: %s\n", i, argv[i]);
  char buffer[4096];
  size_t got;
  while ((got = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
    for (size_t i = 0; i < got; i++) counts[(unsigned char)buffer[i]]++, total++;
  }
  for (int i = 0; i < 256; i++) {
    if (counts[i]) printf("%02x %u\n", i, counts[i]);
  }
  fprintf(stderr, "%u bytes\n", total);
  return total % 7;
}
