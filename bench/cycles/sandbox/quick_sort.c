// Sorts pseudo-random numbers, quick sort down to insertion sort: no function of the C library in what is
// measured, for that is another library on either side. Argument: how many.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void sort(uint32_t* a, long n) {
  while (n > 16) {
    const uint32_t pivot = a[n / 2];
    long i = 0, j = n - 1;
    for (;;) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i >= j) break;
      const uint32_t t = a[i];
      a[i++] = a[j];
      a[j--] = t;
    }
    if (i < n - i) sort(a, i), a += i, n -= i;
    else sort(a + i, n - i), n = i;
  }
  for (long i = 1; i < n; i++) {
    const uint32_t v = a[i];
    long j = i;
    for (; j > 0 && a[j - 1] > v; j--) a[j] = a[j - 1];
    a[j] = v;
  }
}

int main(int argc, char** argv) {
  const long n = argc > 1 ? atol(argv[1]) : 1000;
  uint32_t* a = malloc((size_t)n * sizeof *a);
  uint32_t x = 1, sum = 0;
  for (int round = 0; round < 4; round++) {
    for (long i = 0; i < n; i++) {
      x ^= x << 13, x ^= x >> 17, x ^= x << 5;
      a[i] = x;
    }
    sort(a, n);
    for (long i = 0; i < n; i += 100) sum = sum * 31 + a[i];
  }
  printf("%u\n", sum);
  return 0;
}
