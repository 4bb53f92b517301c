// Heap sort, quick sort of our own and the library's qsort of the same numbers. Argument: how many.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quick(uint32_t* a, int lo, int hi) {
  while (hi - lo > 16) {
    uint32_t x = a[lo + (hi - lo) / 2];
    int i = lo, j = hi;
    while (i <= j) {
      while (a[i] < x) i++;
      while (x < a[j]) j--;
      if (i <= j) {
        uint32_t t = a[i];
        a[i++] = a[j];
        a[j--] = t;
      }
    }
    if (j - lo < hi - i) {
      quick(a, lo, j);
      lo = i;
    } else {
      quick(a, i, hi);
      hi = j;
    }
  }
  for (int i = lo + 1; i <= hi; i++) {
    uint32_t x = a[i];
    int j = i - 1;
    for (; j >= lo && a[j] > x; j--) a[j + 1] = a[j];
    a[j + 1] = x;
  }
}

static void heap(uint32_t* a, int n) {
  for (int root = n / 2 - 1, end = n; end > 1;) {
    uint32_t x;
    if (root >= 0) {
      x = a[root];
    } else {
      x = a[--end];
      a[end] = a[0];
    }
    int i = root >= 0 ? root-- : 0;
    for (int child; (child = 2 * i + 1) < end; i = child) {
      if (child + 1 < end && a[child + 1] > a[child]) child++;
      if (a[child] <= x) break;
      a[i] = a[child];
    }
    a[i] = x;
  }
}

static int compare(const void* a, const void* b) {
  uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  int n = argc > 1 ? atoi(argv[1]) : 20000;
  uint32_t *made = malloc(4 * n), *a = malloc(4 * n), seed = 7;
  for (int i = 0; i < n; i++) made[i] = seed = seed * 1664525 + 1013904223;
  for (int which = 0; which < 3; which++) {
    memcpy(a, made, 4 * n);
    if (which == 0) quick(a, 0, n - 1);
    if (which == 1) heap(a, n);
    if (which == 2) qsort(a, n, 4, compare);
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) sum = sum * 31 + a[i];
    printf("%08x %08x %08x\n", a[0], a[n - 1], sum);
  }
  return 0;
}
