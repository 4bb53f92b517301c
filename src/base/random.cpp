#include "base/random.h"

namespace spatter {

std::uint64_t Random::next_u64() {
  std::array<std::uint8_t, 8> raw;
  fill(raw);
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | raw[static_cast<std::size_t>(i)];
  return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
  SPATTER_ASSERT(bound != 0);
  // Lemire's method ("Fast random integer generation in an interval", 2019): the low half of the
  // product says whether this draw falls into the uneven rest.
  using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(next_u64()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t uneven = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < uneven)
      product = static_cast<Wide>(next_u64()) * bound;
  }
  return static_cast<std::uint64_t>(product >> 64);
}

double Random::unit() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }

namespace {

std::uint64_t rotate_left(std::uint64_t x, int by) { return x << by | x >> (64 - by); }

}  // namespace

SeededRandom::SeededRandom(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {  // SplitMix64
    seed += 0x9e3779b97f4a7c15;
    std::uint64_t z = seed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    word = z ^ z >> 31;
  }
}

std::uint64_t SeededRandom::step() {
  const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

void SeededRandom::fill(MutableBytes out) {
  for (std::size_t i = 0; i < out.size();) {
    std::uint64_t word = step();
    for (int b = 0; b < 8 && i < out.size(); ++b, ++i, word >>= 8)
      out[i] = static_cast<std::uint8_t>(word);
  }
}

}  // namespace spatter
