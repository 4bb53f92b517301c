// Floating point of all kinds without library functions whose last bit differs between libraries.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 20000;
  unsigned seed = 11;
  double sum = 0, x = 0.5, y = -0.25;
  float f = 1;
  long long whole = 0;
  for (int i = 0; i < rounds; i++) {
    seed = seed * 1664525 + 1013904223;
    double r = (seed >> 8) / 16777216.0 - 0.5;
    x = 3.7 * x * (1 - x);
    y = sqrt(fabs(x * y + r)) * (seed & 1 ? -1 : 1);
    f = f * 0.999f + (float)r;
    sum += floor(x * 100) + ceil(y * 10) + trunc(r * 1000) + rint(y * 7) + (x > y ? x / (1 + y * y) : y - x);
    whole += (long long)(sum * 3) ^ (int)(f * 1000) ^ (unsigned)(x * 4e9);
  }
  printf("%a %a %a %a %lld\n", sum, x, y, f, whole);
  return 0;
}
