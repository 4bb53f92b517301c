#include "cycles/earnings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace spatter::mining {
namespace {

using testing::HasSubstr;

// At 10^12 hashes a second and difficulty 10^12, a block (2^32 * 10^12 hashes) takes 2^32 seconds.
TEST(Earnings, AreHashesOverDifficulty) {
  EarningsOptions options;
  options.hashes_per_second = 1e12;
  options.difficulty = 1e12;
  options.subsidy_satoshi = 1000;
  EXPECT_NEAR(forecast(options).satoshi_per_month, 1000.0 * 2629800 / 4294967296.0, 1e-9);
  options.share = 0.5;
  EXPECT_NEAR(forecast(options).satoshi_per_month, 500.0 * 2629800 / 4294967296.0, 1e-9);
}

TEST(Earnings, OfACoreAreAboutATenthOfASatoshiAMonth) {
  EarningsOptions options;
  options.hashes_per_second = 50e6;
  const Earnings earnings = forecast(options);
  EXPECT_GT(earnings.satoshi_per_month, 0.03);
  EXPECT_LT(earnings.satoshi_per_month, 0.2);
  EXPECT_GT(earnings.years_per_block, 1e8);
}

TEST(Earnings, PowerIsWattsTimesHoursTimesPrice) {
  EarningsOptions options;
  options.cores = 2;
  options.share = 0.8;
  options.watts_per_core = 10;
  options.price_per_kwh = 0.25;
  EXPECT_NEAR(forecast(options).kwh_per_month, 11.688, 1e-9);
  EXPECT_NEAR(forecast(options).cost_per_month, 2.922, 1e-9);
}

TEST(Earnings, AreSaidInWords) {
  EarningsOptions options;
  options.hashes_per_second = 80e6;
  options.cores = 2;
  options.share = 0.8;
  const std::string text = describe_earnings(options);
  EXPECT_THAT(text, HasSubstr("80 million hashes a second for 80 % of the time earn about 0.080 satoshi a month"));
  EXPECT_THAT(text, HasSubstr("November 2025"));
  EXPECT_THAT(text, HasSubstr("The electricity costs about 3.51 EUR a month"));
  options.difficulty = 1;
  options.hashes_per_second = 0;
  options.difficulty_date = "the pool's figure";
  EXPECT_THAT(describe_earnings(options), HasSubstr("earn about 0 satoshi a month at a difficulty of 1.0 (the pool's figure)"));
  EXPECT_TRUE(std::isinf(forecast(options).years_per_block));
}

}  // namespace
}  // namespace spatter::mining
