#include "base/random.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace spatter {
namespace {

TEST(SeededRandom, GivesTheNumbersOfTheReferenceImplementation) {
  // xoshiro256** 1.0 by Blackman and Vigna, its state filled by SplitMix64 from 0.
  SeededRandom random(0);
  EXPECT_EQ(random.next_u64(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(random.next_u64(), 0xbf6e1f784956452au);
  EXPECT_EQ(random.next_u64(), 0x1a5f849d4933e6e0u);
}

TEST(SeededRandom, FillsAnyLengthWithoutTouchingMore) {
  for (std::size_t size = 0; size < 20; ++size) {
    Bytes bytes(size + 1, 0xee);
    SeededRandom(1).fill(MutableBytes(bytes).first(size));
    EXPECT_EQ(bytes.back(), 0xee);
  }
}

RC_GTEST_PROP(SeededRandom, StaysBelowItsBound, (std::uint64_t seed, std::uint64_t bound)) {
  RC_PRE(bound > 0);
  SeededRandom random(seed);
  for (int i = 0; i < 20; ++i) RC_ASSERT(random.below(bound) < bound);
}

TEST(SeededRandom, IsEvenOverASmallRange) {
  SeededRandom random(7);
  std::array<int, 6> counts{};
  for (int i = 0; i < 60'000; ++i) ++counts[random.below(6)];
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
}

TEST(SeededRandom, UnitIsAtLeastZeroAndBelowOne) {
  SeededRandom random(3);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double x = random.unit();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

}  // namespace
}  // namespace spatter
