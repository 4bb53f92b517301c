#include "cycles/target.h"

#include <gtest/gtest.h>

#include <cmath>

namespace spatter::mining {
namespace {

TEST(Target, OfDifficultyOneIsTheFirstBlocks) {
  EXPECT_EQ(target_of_difficulty_one().hex(),
            "00000000ffff0000000000000000000000000000000000000000000000000000");
  EXPECT_EQ(target_of_bits(0x1d00ffff).value(), target_of_difficulty_one());
  EXPECT_EQ(target_of_difficulty(1), target_of_difficulty_one());
}

// Values from exact integer division of 0xffff * 2^208 (Python).
TEST(Target, OfADifficultyIsTheExactQuotient) {
  EXPECT_EQ(target_of_difficulty(3).hex(),
            "0000000055550000000000000000000000000000000000000000000000000000");
  EXPECT_EQ(target_of_difficulty(7).hex(),
            "0000000024922492492492492492492492492492492492492492492492492492");
  EXPECT_EQ(target_of_difficulty(65536).hex(),
            "000000000000ffff000000000000000000000000000000000000000000000000");
  EXPECT_EQ(target_of_difficulty(0.5).hex(),
            "00000001fffe0000000000000000000000000000000000000000000000000000");
  EXPECT_EQ(target_of_difficulty(0.1).hex(),
            "00000009fff5ffffffffd80028000000009fff5ffffffffd80028000000009ff");
}

TEST(Target, OfAnAbsurdDifficultyIsTheLargestOrZero) {
  EXPECT_EQ(target_of_difficulty(1e-300), Uint256::max());
  EXPECT_EQ(target_of_difficulty(5e-324), Uint256::max());
  EXPECT_EQ(target_of_difficulty(0x1p-33), Uint256::max());
  EXPECT_EQ(target_of_difficulty(0x1p223).hex(), std::string(63, '0') + "1");
  EXPECT_EQ(target_of_difficulty(0x1p224), Uint256{});
  EXPECT_EQ(target_of_difficulty(1e300), Uint256{});
}

TEST(Target, OfBitsRefusesWhatBitcoinRefuses) {
  EXPECT_EQ(target_of_bits(0x1a44b9f2)->hex(),
            "00000000000044b9f20000000000000000000000000000000000000000000000");
  EXPECT_EQ(target_of_bits(0x03123456)->words[0], 0x123456U);
  EXPECT_EQ(target_of_bits(0x02123456)->words[0], 0x1234U);
  EXPECT_EQ(target_of_bits(0x20123456)->words[3], 0x1234560000000000U);
  EXPECT_TRUE(target_of_bits(0x220000ff));
  for (std::uint32_t bits : {0U, 0x01003456U, 0x04923456U, 0x1d80ffffU, 0x21123456U, 0x220001ffU,
                             0xff123456U, 0x1d000000U}) {
    const auto refused = target_of_bits(bits);
    ASSERT_FALSE(refused) << std::hex << bits;
    EXPECT_NE(refused.error().message.find(fmt::format("{:08x}", bits)), std::string::npos);
  }
}

TEST(Target, OrdersByTheMostSignificantWord) {
  Uint256 low, high;
  low.words[0] = UINT64_MAX;
  high.words[3] = 1;
  EXPECT_LT(low, high);
  EXPECT_EQ(low, low);
  EXPECT_GT(Uint256::max(), high);
}

TEST(Target, DifficultyOfATargetLeadsBack) {
  for (double difficulty : {1e-6, 0.25, 1.0, 3.0, 65536.0, 1.5e14})
    EXPECT_NEAR(difficulty_of(target_of_difficulty(difficulty)) / difficulty, 1, 1e-9);
  EXPECT_TRUE(std::isinf(difficulty_of(Uint256{})));
}

}  // namespace
}  // namespace spatter::mining
