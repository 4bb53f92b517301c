// Rendezvous hashing: known answers (a second implementation must meet them), proportion to weight,
// and that coming and going moves nothing but what it must.
#include "chance/rendezvous.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace spatter {
namespace {

ServerId server(std::uint8_t number) {
  ServerId id;
  id.bytes.fill(number);
  return id;
}

std::size_t draw(const StripeId& stripe, const std::vector<std::uint32_t>& weights) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < weights.size(); ++i) {
    if (rendezvous_distance(stripe, server(static_cast<std::uint8_t>(i)), weights[i]) <
        rendezvous_distance(stripe, server(static_cast<std::uint8_t>(best)), weights[best]))
      best = i;
  }
  return best;
}

TEST(NegativeLog2, IsExactAtPowersOfTwo) {
  for (unsigned e = 0; e < 64; ++e)
    EXPECT_EQ(negative_log2(std::uint64_t{1} << e), std::uint64_t{64 - e} << 32) << e;
  EXPECT_EQ(negative_log2(0), std::uint64_t{64} << 32);
  EXPECT_EQ(negative_log2(~std::uint64_t{0}), 1u);
}

TEST(NegativeLog2, AgreesWithTheRealLogarithm) {
  SeededRandom random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t u = random.next_u64() >> random.below(60);
    if (u == 0) continue;
    const double real = 64 - std::log2(static_cast<double>(u));
    EXPECT_NEAR(static_cast<double>(negative_log2(u)) / 4294967296.0, real, 1e-8) << u;
  }
}

TEST(NegativeLog2, NeverRisesWithItsArgument) {
  SeededRandom random(2);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t u = random.next_u64();
    const std::uint64_t v = u + random.below(std::uint64_t{1} << random.below(40));
    if (v < u) continue;
    EXPECT_GE(negative_log2(u), negative_log2(v));
  }
}

TEST(Rendezvous, KnownAnswers) {
  StripeId stripe;
  stripe.bytes.fill(0x5a);
  EXPECT_EQ(rendezvous_distance(stripe, server(1), 1), 677769763585261568u);
  EXPECT_EQ(rendezvous_distance(stripe, server(2), 1), 68823794176753664u);
  EXPECT_EQ(rendezvous_distance(stripe, server(2), 1000), 68823794176753u);
}

TEST(Rendezvous, DrawsInProportionToWeight) {
  const std::vector<std::uint32_t> weights{1, 2, 3, 10, 100, 84};
  const double total = 200;
  std::vector<double> counts(weights.size());
  SeededRandom random(3);
  const int draws = 100000;
  for (int i = 0; i < draws; ++i) ++counts[draw(random.id<StripeId>(), weights)];
  double chi_square = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double expected = draws * weights[i] / total;
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 20.5);  // five degrees of freedom, one in a thousand
}

TEST(Rendezvous, ANewServerOnlyTakes) {
  const std::vector<std::uint32_t> before{5, 5, 5, 5}, after{5, 5, 5, 5, 5};
  SeededRandom random(4);
  int moved = 0;
  const int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    const auto stripe = random.id<StripeId>();
    const auto old_place = draw(stripe, before), new_place = draw(stripe, after);
    if (old_place == new_place) continue;
    EXPECT_EQ(new_place, 4u);
    ++moved;
  }
  EXPECT_NEAR(moved, draws / 5, 300);
}

TEST(Rendezvous, MoreWeightOnlyTakes) {
  const std::vector<std::uint32_t> before{5, 5, 5, 5}, after{5, 5, 8, 5};
  SeededRandom random(5);
  for (int i = 0; i < 20000; ++i) {
    const auto stripe = random.id<StripeId>();
    const auto old_place = draw(stripe, before), new_place = draw(stripe, after);
    if (old_place != new_place) EXPECT_EQ(new_place, 2u);
  }
}

}  // namespace
}  // namespace spatter
