// Product of two matrices of doubles. Argument: the width.
#include <stdio.h>
#include <stdlib.h>

static void multiply(const double* a, const double* b, double* c, int n) {
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++) c[i * n + j] = 0;
    for (int k = 0; k < n; k++) {
      double x = a[i * n + k];
      for (int j = 0; j < n; j++) c[i * n + j] += x * b[k * n + j];
    }
  }
}

int main(int argc, char** argv) {
  int n = argc > 1 ? atoi(argv[1]) : 120;
  double *a = malloc(sizeof *a * n * n), *b = malloc(sizeof *b * n * n), *c = malloc(sizeof *c * n * n);
  unsigned seed = 3;
  for (int i = 0; i < n * n; i++) {
    a[i] = (int)((seed = seed * 1664525 + 1013904223) >> 8) / 1e6 - 8;
    b[i] = (int)((seed = seed * 1664525 + 1013904223) >> 8) / 1e6 - 8;
  }
  multiply(a, b, c, n);
  double sum = 0;
  for (int i = 0; i < n * n; i++) sum += c[i] * (i % 7 - 3);
  printf("%a %a %a\n", c[0], c[n * n - 1], sum);
  return 0;
}
