// Rendezvous hashing: known answers (a second implementation must meet them), proportion to weight,
// and that coming and going moves nothing but what it must.
#include "chance/rendezvous.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/random.h"
#include "chi_square.h"

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
  std::vector<double> counts(weights.size()), expected;
  SeededRandom random(3);
  const int draws = 100000;
  for (const std::uint32_t weight : weights) expected.push_back(draws * weight / total);
  for (int i = 0; i < draws; ++i) ++counts[draw(random.id<StripeId>(), weights)];
  EXPECT_LT(chi_square(counts, expected), chi_square_limit(weights.size() - 1));
}

/// The servers in the order in which a stripe prefers them.
std::vector<std::uint8_t> order(const StripeId& stripe, const std::vector<std::pair<std::uint8_t, std::uint32_t>>& servers) {
  std::vector<std::pair<std::uint64_t, std::uint8_t>> distances;
  for (const auto& [number, weight] : servers)
    distances.emplace_back(rendezvous_distance(stripe, server(number), weight), number);
  std::sort(distances.begin(), distances.end());
  std::vector<std::uint8_t> result;
  for (const auto& [distance, number] : distances) result.push_back(number);
  return result;
}

TEST(Rendezvous, EveryPlaceIsDrawnInProportionToTheWeightThatIsLeft) {
  const std::vector<std::pair<std::uint8_t, std::uint32_t>> servers{{1, 1}, {2, 2}, {3, 5}, {4, 12}};
  const double total = 20;
  std::map<std::vector<std::uint8_t>, double> counts;
  SeededRandom random(6);
  const int draws = 100000;
  for (int i = 0; i < draws; ++i) ++counts[order(random.id<StripeId>(), servers)];
  std::vector<double> observed, expected;
  std::vector<std::uint8_t> one{1, 2, 3, 4};
  do {
    double left = total, probability = 1;
    for (const std::uint8_t number : one) {
      const double weight = servers[number - 1u].second;
      probability *= weight / left;
      left -= weight;
    }
    observed.push_back(counts[one]);
    expected.push_back(draws * probability);
  } while (std::next_permutation(one.begin(), one.end()));
  EXPECT_LT(chi_square(observed, expected), chi_square_limit(observed.size() - 1));
}

TEST(Rendezvous, FarApartWeightsKeepTheirProportion) {
  // One server of 2^20 against 2^14 of weight 1: together they get one in 65.
  SeededRandom random(7);
  const std::uint32_t heavy = 1u << 20;
  double light = 0;
  const int draws = 200000;
  for (int i = 0; i < draws; ++i) {
    const std::uint64_t best = weighted_distance(random.next_u64(), heavy);
    // The least of n waiting times of weight 1 is one of weight n.
    if (weighted_distance(random.next_u64(), 1u << 14) < best) ++light;
  }
  EXPECT_NEAR(light / draws, 1.0 / 65, 4 * std::sqrt(1.0 / 65 / draws));
}

TEST(Rendezvous, WhoComesOrGoesMovesNobodyElse) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRandom random(seed);
    const auto stripe = random.id<StripeId>();
    std::vector<std::pair<std::uint8_t, std::uint32_t>> servers;
    const std::size_t count = 2 + random.below(60);
    for (std::size_t i = 0; i < count; ++i)
      servers.emplace_back(static_cast<std::uint8_t>(i), static_cast<std::uint32_t>(1 + random.below(1 << 20)));
    std::vector<std::uint8_t> before = order(stripe, servers);
    const std::size_t gone = random.below(count);
    const std::uint8_t number = servers[gone].first;
    servers.erase(servers.begin() + static_cast<std::ptrdiff_t>(gone));
    // So any first n places lose at most the one who is gone, and win at most one for him.
    std::erase(before, number);
    RC_ASSERT(order(stripe, servers) == before);
  }));
}

TEST(Rendezvous, MoreWeightOnlyComesNearer) {
  EXPECT_TRUE(rc::check([](std::uint64_t u) {
    const auto weight = *rc::gen::inRange<std::uint32_t>(1, 1 << 20);
    const auto more = *rc::gen::inRange<std::uint32_t>(weight, 1 << 20);
    RC_ASSERT(weighted_distance(u, more) <= weighted_distance(u, weight));
  }));
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
