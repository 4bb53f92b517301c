// What is made of an output: known answers (by a second implementation), evenness and proportion by
// chi-square, and who moves when candidates come and go.
#include "chance/choice.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
#include "chi_square.h"

namespace spatter {
namespace {

VrfOutput random_output(SeededRandom& random) {
  VrfOutput output;
  random.fill(output);
  return output;
}

VrfOutput known_output() {
  VrfOutput output;
  const Bytes bytes = from_hex("904b538745b459a1374d09b61f1e041cd56fcf5109460cdcccc0853607fbddc5"
                               "b2270668aad8e357a819fbd6b78954965c0bcff32eb20f65bfb45a236064230a").value();
  std::copy(bytes.begin(), bytes.end(), output.begin());
  return output;
}

Digest id(int number) {
  Digest digest;
  digest.bytes.fill(static_cast<std::uint8_t>(number));
  return digest;
}

using Indices = std::vector<std::uint64_t>;

TEST(Choice, KnownAnswers) {
  Stream stream(as_bytes("abc"), "x");
  for (const std::uint64_t number : {0x9eac6ae732cc0f7au, 0xd58b26f54f20c02fu, 0x1d191c81a56c2a49u,
                                     0x3b9f814b6edd5e94u, 0x5e1d96bc509d816eu})
    EXPECT_EQ(stream.next(), number);
  EXPECT_EQ(Stream(as_bytes("abc"), "x").below(1000), 458u);
  const VrfOutput output = known_output();
  EXPECT_EQ(choose(output, 5, 1000), (Indices{618, 154, 611, 471, 711}));
  EXPECT_EQ(choose(output, 3, 3), (Indices{0, 2, 1}));
  EXPECT_EQ(choose(output, 10, 4), (Indices{2, 1, 3, 0}));
  std::vector<WeightedId> candidates;
  for (int i = 0; i < 10; ++i) candidates.push_back({id(i), static_cast<std::uint32_t>(i)});
  EXPECT_EQ(choose_weighted(output, candidates, 6), (std::vector<std::size_t>{8, 4, 6, 2, 9, 5}));
  for (std::uint32_t expected = 0; expected < 12; ++expected)
    EXPECT_EQ(drawn_by_lot(output, expected, 1, 10), expected >= 4) << expected;
}

TEST(Stream, NumbersBelowABoundAreEvenForAwkwardBounds) {
  for (const std::uint64_t bound : {3u, 7u, 1000u}) {
    Stream stream(as_bytes("even"), "test");
    std::vector<double> counts(bound), expected(bound, 100000.0 / static_cast<double>(bound));
    for (int i = 0; i < 100000; ++i) ++counts[stream.below(bound)];
    EXPECT_LT(chi_square(counts, expected), chi_square_limit(bound - 1)) << bound;
  }
  // Of 3 * 2^62 a remainder alone would draw the lowest third twice as often.
  const std::uint64_t bound = 3ULL << 62;
  Stream stream(as_bytes("large"), "test");
  std::vector<double> thirds(3), expected(3, 10000);
  for (int i = 0; i < 30000; ++i) ++thirds[stream.below(bound) >> 62];
  EXPECT_LT(chi_square(thirds, expected), chi_square_limit(2));
  EXPECT_EQ(stream.below(1), 0u);
}

TEST(Choice, EveryOrderedSelectionIsEquallyLikely) {
  SeededRandom random(1);
  std::map<Indices, double> counts;
  const int draws = 120000;
  for (int i = 0; i < draws; ++i) ++counts[choose(random_output(random), 3, 6)];
  ASSERT_EQ(counts.size(), 120u);  // 6 * 5 * 4
  std::vector<double> observed, expected(120, draws / 120.0);
  for (const auto& [selection, count] : counts) observed.push_back(count);
  EXPECT_LT(chi_square(observed, expected), chi_square_limit(119));
}

TEST(Choice, TakesDifferentOnesFromRowsOfAnyLength) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRandom random(seed);
    const VrfOutput output = random_output(random);
    const std::uint64_t n = *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, 50), rc::gen::just(~std::uint64_t{0}));
    const std::uint64_t m = *rc::gen::inRange<std::uint64_t>(0, 60);
    const Indices chosen = choose(output, m, n);
    RC_ASSERT(chosen.size() == std::min(m, n));
    RC_ASSERT(std::set<std::uint64_t>(chosen.begin(), chosen.end()).size() == chosen.size());
    RC_ASSERT(std::all_of(chosen.begin(), chosen.end(), [&](std::uint64_t i) { return i < n; }));
    // Fewer are the beginning of more.
    const Indices fewer = choose(output, m / 2, n);
    RC_ASSERT(std::equal(fewer.begin(), fewer.end(), chosen.begin()));
  }));
}

TEST(WeightedChoice, FirstAndSecondPlaceGoByWeight) {
  const std::vector<WeightedId> candidates{{id(1), 1}, {id(2), 2}, {id(3), 3}, {id(4), 10}, {id(5), 84}};
  const double total = 100;
  SeededRandom random(2);
  const int draws = 100000;
  std::vector<double> first(5), second(5), first_expected(5), second_expected(5);
  for (int i = 0; i < draws; ++i) {
    const auto chosen = choose_weighted(random_output(random), candidates, 2);
    ++first[chosen[0]];
    ++second[chosen[1]];
  }
  for (std::size_t i = 0; i < 5; ++i) {
    first_expected[i] = draws * candidates[i].weight / total;
    for (std::size_t j = 0; j < 5; ++j)
      if (j != i)
        second_expected[i] += draws * candidates[j].weight / total * candidates[i].weight / (total - candidates[j].weight);
  }
  EXPECT_LT(chi_square(first, first_expected), chi_square_limit(4));
  EXPECT_LT(chi_square(second, second_expected), chi_square_limit(4));
}

std::vector<WeightedId> some_candidates(SeededRandom& random) {
  std::vector<WeightedId> candidates(1 + random.below(30));
  for (WeightedId& one : candidates) one = {random.id<Digest>(), static_cast<std::uint32_t>(random.below(100))};
  return candidates;
}

TEST(WeightedChoice, WhoComesOrGoesMovesNobodyElse) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRandom random(seed);
    const VrfOutput output = random_output(random);
    std::vector<WeightedId> candidates = some_candidates(random);
    const auto ids = [&] {
      std::vector<Digest> result;
      for (const std::size_t i : choose_weighted(output, candidates, candidates.size()))
        result.push_back(candidates[i].id);
      return result;
    };
    std::vector<Digest> before = ids();
    const auto weighing = [](const WeightedId& one) { return one.weight > 0; };
    RC_ASSERT(before.size() == static_cast<std::size_t>(std::count_if(candidates.begin(), candidates.end(), weighing)));
    for (std::size_t i = candidates.size(); i-- > 1;) std::swap(candidates[i], candidates[random.below(i + 1)]);
    RC_ASSERT(ids() == before);
    const Digest gone = candidates.back().id;
    candidates.pop_back();
    std::erase(before, gone);
    RC_ASSERT(ids() == before);
  }));
}

TEST(Lot, NobodyWithoutWeightAndEverybodyWhenAllAreWanted) {
  SeededRandom random(3);
  for (int i = 0; i < 1000; ++i) {
    const VrfOutput output = random_output(random);
    EXPECT_FALSE(drawn_by_lot(output, 0, 5, 10));
    EXPECT_FALSE(drawn_by_lot(output, 5, 0, 10));
    EXPECT_TRUE(drawn_by_lot(output, 2, 5, 10));
    EXPECT_TRUE(drawn_by_lot(output, 4000000000u, 4000000000u, 7));
    EXPECT_FALSE(drawn_by_lot(output, 1, 1, ~std::uint64_t{0}));
  }
}

TEST(Lot, MoreWeightOrMoreWantedNeverLoses) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed, std::uint32_t expected, std::uint32_t weight, std::uint32_t more) {
    SeededRandom random(seed);
    const VrfOutput output = random_output(random);
    const std::uint64_t total = 1 + random.next_u64() % (std::uint64_t{1} << (1 + random.below(63)));
    if (!drawn_by_lot(output, expected, weight, total)) return;
    RC_ASSERT(drawn_by_lot(output, std::max(expected, more), weight, total));
    RC_ASSERT(drawn_by_lot(output, expected, std::max(weight, more), total));
  }));
}

TEST(Lot, TheNumberDrawnHasTheMeanWantedAndNoMoreSpreadThanBinomial) {
  SeededRandom random(4);
  const std::vector<std::uint32_t> weights{1, 1, 2, 3, 5, 8, 10, 20, 20, 30};
  const double total = 100;
  const std::uint32_t expected = 3;
  const int rounds = 40000;
  double sum = 0, squares = 0, variance = expected;
  std::vector<double> counts(weights.size());
  for (int round = 0; round < rounds; ++round) {
    double drawn = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (drawn_by_lot(random_output(random), expected, weights[i], 100)) {
        ++drawn;
        ++counts[i];
      }
    sum += drawn;
    squares += drawn * drawn;
  }
  for (const std::uint32_t weight : weights) variance -= expected * weight / total * (expected * weight / total);
  const double mean = sum / rounds;
  EXPECT_NEAR(mean, expected, 4 * std::sqrt(variance / rounds));
  EXPECT_NEAR(squares / rounds - mean * mean, variance, 0.05);
  EXPECT_LT(variance, expected * (1 - expected / total));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double p = expected * weights[i] / total;
    EXPECT_NEAR(counts[i] / rounds, p, 4 * std::sqrt(p * (1 - p) / rounds)) << i;
  }
}

}  // namespace
}  // namespace spatter
