// What NaNs look like in memory after all kinds of arithmetic: the one NaN here, whatever the hardware
// makes. Natively, the same is asked for by hand.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static volatile double zero = 0, one = 1, huge = 1e308;
static volatile float zero_f = 0, one_f = 1;

// Behind the compiler's back, so that every operation is done where the program runs.
static volatile uint64_t odd[] = {0xfff0000000000001u, 0x7ff4000000000000u, 0xffffffffffffffffu,
                                  0xfff8000000000001u};
static volatile uint32_t odd_f[] = {0xff800001u, 0x7fa00000u};

static uint64_t bits(double x) {
  uint64_t b;
  memcpy(&b, &x, 8);
#ifndef __wasm__
  if (x != x) b = 0x7ff8000000000000u;
#endif
  return b;
}
static uint32_t bits_f(float x) {
  uint32_t b;
  memcpy(&b, &x, 4);
#ifndef __wasm__
  if (x != x) b = 0x7fc00000u;
#endif
  return b;
}
static double from(uint64_t b) {
  double x;
  memcpy(&x, &b, 8);
  return x;
}
static float from_f(uint32_t b) {
  float x;
  memcpy(&x, &b, 4);
  return x;
}
static double sign_of(double x) {
#ifndef __wasm__
  if (x != x) return 3;
#endif
  return copysign(3, x);
}

int main(void) {
  double made[] = {zero / zero, -(zero / zero), huge * huge - huge * huge, sqrt(-one), zero * (one / zero),
                   from(odd[0]) * one, from(odd[1]) + one, from(odd[2]) / one,
                   sqrt(from(odd[3])), one / zero, -one / zero, -zero, 5e-324, one / 3};
  for (unsigned i = 0; i < sizeof made / sizeof *made; i++) {
    printf("%016llx %g %08x\n", (unsigned long long)bits(made[i]), sign_of(made[i]), bits_f((float)made[i]));
  }
  float made_f[] = {zero_f / zero_f, -(zero_f / zero_f), from_f(odd_f[0]) + zero_f, from_f(odd_f[1]) * one_f,
                    sqrtf(-one_f), one_f / 3, -zero_f, one_f / zero_f};
  for (unsigned i = 0; i < sizeof made_f / sizeof *made_f; i++) {
    printf("%08x %016llx\n", bits_f(made_f[i]), (unsigned long long)bits((double)made_f[i]));
  }
  return 0;
}
