// Randomness as node logic sees it, injected through the Runtime.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"

namespace spatter {

/// A source of random bytes. Not thread-safe: the executor of its Runtime only.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;

  std::uint64_t next_u64();
  /// Uniform in [0, bound); bound must not be 0.
  std::uint64_t below(std::uint64_t bound);
  /// Uniform in [0, 1).
  double unit();
  template <class IdType>
  IdType id() {
    IdType result;
    fill(result.bytes);
    return result;
  }
};

/// xoshiro256** seeded by SplitMix64 (Blackman and Vigna, 2018): the same seed gives the same
/// numbers on every machine and compiler. For simulators, jitter and tests; never for keys.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed);
  void fill(MutableBytes out) override;

 private:
  std::uint64_t step();
  std::uint64_t state_[4];
};

}  // namespace spatter
