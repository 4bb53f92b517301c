// Open addressing: insert, look up, remove. Argument: thousands of operations.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct slot { uint64_t key, value; };
static struct slot* slots;
static uint32_t mask = 1023, used;

static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static struct slot* find(uint64_t key) {
  uint32_t i = mix(key) & mask;
  while (slots[i].key != 0 && slots[i].key != key) i = (i + 1) & mask;
  return &slots[i];
}

static void grow(void) {
  struct slot* old = slots;
  uint32_t count = mask + 1;
  mask = mask * 2 + 1;
  slots = calloc(mask + 1, sizeof *slots);
  for (uint32_t i = 0; i < count; i++) {
    if (old[i].key != 0) *find(old[i].key) = old[i];
  }
  free(old);
}

static void put(uint64_t key, uint64_t value) {
  if (2 * used > mask) grow();
  struct slot* slot = find(key);
  if (slot->key == 0) used++;
  slot->key = key;
  slot->value += value;
}

static void take(uint64_t key) {
  struct slot* slot = find(key);
  if (slot->key == 0) return;
  used--;
  uint32_t hole = slot - slots;
  for (uint32_t i = (hole + 1) & mask; slots[i].key != 0; i = (i + 1) & mask) {
    uint32_t home = mix(slots[i].key) & mask;
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      slots[hole] = slots[i];
      hole = i;
    }
  }
  slots[hole].key = slots[hole].value = 0;
}

int main(int argc, char** argv) {
  int thousands = argc > 1 ? atoi(argv[1]) : 200;
  slots = calloc(mask + 1, sizeof *slots);
  uint64_t seed = 1, found = 0, sum = 0;
  for (int i = 0; i < thousands * 1000; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t key = (seed >> 33) % (thousands * 300) + 1;
    switch (seed >> 29 & 3) {
      case 0: case 1: put(key, seed >> 40); break;
      case 2: {
        struct slot* slot = find(key);
        if (slot->key != 0) found++, sum += slot->value;
        break;
      }
      default: take(key);
    }
  }
  printf("%u %llu %llu\n", used, (unsigned long long)found, (unsigned long long)sum);
  return 0;
}
