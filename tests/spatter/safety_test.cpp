// Safety figures against brute force: kill every set of holders and look.
#include "spatter/safety.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>

namespace spatter {
namespace {

ServerId server(unsigned number) {
  ServerId id;
  id.bytes.fill(static_cast<std::uint8_t>(number + 1));
  return id;
}

bool readable(const Stripe& stripe, unsigned dead_mask) {
  std::set<std::uint16_t> indices;
  for (const auto& shard : stripe.shards) {
    const unsigned number = shard.holder.bytes[0] - 1u;
    if (!shard.lost && !(dead_mask >> number & 1)) indices.insert(shard.index);
  }
  return stripe.k == 1 ? !indices.empty() : indices.size() >= stripe.k;
}

/// The largest m such that every set of m out of `servers` may die.
unsigned can_lose_by_trying(const Stripe& stripe, unsigned servers, unsigned down_mask) {
  unsigned best = servers;
  for (unsigned mask = 0; mask < 1u << servers; ++mask) {
    if (mask & down_mask || readable(stripe, mask | down_mask)) continue;
    best = std::min(best, static_cast<unsigned>(std::popcount(mask)));
  }
  return best == 0 ? 0 : best - 1;
}

Shape shape_of(const Stripe& stripe) {
  Shape shape;
  shape.k = stripe.k;
  shape.n = shape.placed = stripe.n;
  return shape;
}

TEST(Safety, CanLoseIsExactWhenNothingIsBeingMoved) {
  EXPECT_TRUE(rc::check("can_lose equals brute force", [] {
    const auto servers = *rc::gen::inRange(1u, 9u);
    Stripe stripe;
    stripe.k = static_cast<std::uint16_t>(*rc::gen::inRange(1, 6));
    stripe.n = static_cast<std::uint16_t>(3 * stripe.k);
    for (unsigned i = 0; i < stripe.n; ++i) {
      if (*rc::gen::inRange(0, 6) == 0) continue;
      PlacedShard shard;
      shard.index = static_cast<std::uint16_t>(i);
      shard.lost = *rc::gen::inRange(0, 10) == 0;
      shard.holder = server(*rc::gen::inRange(0u, servers));
      stripe.shards.push_back(shard);
    }
    unsigned down = 0;
    for (unsigned i = 0; i < servers; ++i) down |= (*rc::gen::inRange(0, 5) == 0) << i;
    const auto safety = judge(
        stripe, [&](const ServerId& id) { return !(down >> (id.bytes[0] - 1u) & 1); },
        shape_of(stripe), {});
    RC_ASSERT((safety.health != StripeHealth::lost) == readable(stripe, down));
    if (readable(stripe, down))
      RC_ASSERT(safety.can_lose == can_lose_by_trying(stripe, servers, down));
  }));
}

TEST(Safety, CanLoseNeverPromisesTooMuchWhileShardsMove) {
  EXPECT_TRUE(rc::check("can_lose is at most brute force", [] {
    const auto servers = *rc::gen::inRange(2u, 8u);
    Stripe stripe;
    stripe.k = static_cast<std::uint16_t>(*rc::gen::inRange(1, 5));
    stripe.n = static_cast<std::uint16_t>(3 * stripe.k);
    for (unsigned i = 0; i < stripe.n; ++i) {
      const auto first = *rc::gen::inRange(0u, servers), second = *rc::gen::inRange(0u, servers);
      stripe.shards.push_back({.index = static_cast<std::uint16_t>(i), .holder = server(first)});
      if (first != second)
        stripe.shards.push_back({.index = static_cast<std::uint16_t>(i), .holder = server(second)});
    }
    const auto safety =
        judge(stripe, [](const ServerId&) { return true; }, shape_of(stripe), {});
    RC_ASSERT(safety.can_lose <= can_lose_by_trying(stripe, servers, 0));
  }));
}

TEST(Safety, ReportCountsEveryStripeOnce) {
  const auto make = [](unsigned k, std::vector<unsigned> holders) {
    auto stripe = std::make_shared<Stripe>();
    stripe->id.bytes.fill(static_cast<std::uint8_t>(holders.size()));
    stripe->k = static_cast<std::uint16_t>(k);
    stripe->n = static_cast<std::uint16_t>(3 * k);
    stripe->shard_size = 10;
    for (std::size_t i = 0; i < holders.size(); ++i)
      stripe->shards.push_back(
          {.index = static_cast<std::uint16_t>(i), .holder = server(holders[i])});
    return StripePtr(stripe);
  };
  const auto all = [](const ServerId&) { return true; };
  // k = 4 over four servers, three each: any two may die. Two shards short: one. And so on.
  const std::vector<StripePtr> stripes{
      make(4, {1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4}), make(4, {1, 2, 3, 4, 1, 2, 3, 4}),
      make(4, {1, 2, 3, 4, 1}), make(4, {1, 2, 3})};
  const auto report = judge_all(stripes, server(0), all, 4);
  EXPECT_EQ(report.total, 4u);
  EXPECT_EQ(report.full, 1u);
  EXPECT_EQ(report.safe, 1u);
  EXPECT_EQ(report.at_risk, 1u);
  EXPECT_EQ(report.lost, 1u);
  EXPECT_EQ(report.can_lose, 0u);
  EXPECT_DOUBLE_EQ(report.copies_min, 0.75);
  EXPECT_EQ(report.widest_k, 4u);
  EXPECT_EQ(report.unreadable.size(), 1u);
  ASSERT_EQ(report.held.size(), 4u);
  EXPECT_EQ(report.held[0].bytes, 80u);

  const auto good = judge_all({stripes[0]}, server(0), all, 4);
  EXPECT_EQ(good.can_lose, 2u);
  EXPECT_DOUBLE_EQ(good.copies_min, 3);
  EXPECT_EQ(judge_all({}, server(0), all, 4).copies_min, 0);
}

TEST(Safety, TheChanceOfLossIsThatOfAllTheWaysInWhichItCanHappen) {
  EXPECT_TRUE(rc::check("it equals the sum over all sets of holders that may go", [] {
    const auto holders = *rc::gen::inRange(1u, 11u);
    std::vector<unsigned> shards;
    unsigned total = 0;
    for (unsigned i = 0; i < holders; ++i) {
      shards.push_back(*rc::gen::inRange(0u, 5u));
      total += shards.back();
    }
    const auto k = *rc::gen::inRange(1u, 13u);
    const double gone = *rc::gen::inRange(0u, 101u) / 100.0;
    double sum = 0;
    for (unsigned mask = 0; mask < 1u << holders; ++mask) {
      unsigned left = total;
      double chance = 1;
      for (unsigned i = 0; i < holders; ++i) {
        const bool goes = mask >> i & 1;
        chance *= goes ? gone : 1 - gone;
        if (goes) left -= shards[i];
      }
      if (left < k) sum += chance;
    }
    RC_ASSERT(std::abs(chance_of_loss(shards, k, gone) - sum) < 1e-9);
  }));
  EXPECT_EQ(chance_of_loss({}, 1, 0), 1);
  EXPECT_EQ(chance_of_loss(std::vector<unsigned>{3, 3}, 4, 0), 0);
  // Small chances are not rounded to nothing: five of seven must go.
  const std::vector<unsigned> seven(7, 1);
  EXPECT_NEAR(chance_of_loss(seven, 3, 1e-3) / (21 * 1e-15), 1, 0.01);
}

TEST(Safety, DeparturesAreExpectedUntilTheyAreMeasured) {
  EXPECT_NEAR(30 * departures_per_server_day(0, 12, 0), 0.02, 1e-6);
  EXPECT_LT(departures_per_server_day(0, 100, 365), 1e-4);
  EXPECT_NEAR(departures_per_server_day(100, 1000, 30), 100.0 / 30'000, 2e-4);
  EXPECT_EQ(departures_per_server_day(0, 5, -1), departures_per_server_day(0, 5, 0)) << "a clock that was set back";
}

TEST(Safety, StripesWithTheSameSharesAreLostTogether) {
  const auto make = [](std::uint8_t id, std::vector<unsigned> holders) {
    auto stripe = std::make_shared<Stripe>();
    stripe->id.bytes.fill(id);
    stripe->k = 2;
    stripe->n = 6;
    for (std::size_t i = 0; i < holders.size(); ++i)
      stripe->shards.push_back({.index = static_cast<std::uint16_t>(i), .holder = server(holders[i])});
    return StripePtr(stripe);
  };
  const auto all = [](const ServerId&) { return true; };
  const double gone = 0.01;
  const std::vector<unsigned> ones(6, 1);
  const double of_one = chance_of_loss(ones, 2, gone);
  std::vector<StripePtr> stripes;
  for (std::uint8_t i = 0; i < 50; ++i) stripes.push_back(make(i, {1, 2, 3, 4, 5, 6}));
  EXPECT_DOUBLE_EQ(judge_all(stripes, server(0), all, 6, gone).loss_per_day, of_one);
  EXPECT_EQ(judge_all(stripes, server(0), all, 6).loss_per_day, 0);
  stripes.push_back(make(60, {1, 2, 3, 4, 5, 7}));
  EXPECT_DOUBLE_EQ(judge_all(stripes, server(0), all, 7, gone).loss_per_day, 2 * of_one);
}

TEST(Safety, AFileIsAsSafeAsItsWorstByteInTheBestStripeThatHasIt) {
  PackId pack;
  pack.bytes.fill(1);
  const auto make = [&](std::uint8_t id, std::uint64_t from, std::uint64_t to, std::vector<unsigned> holders) {
    auto stripe = std::make_shared<Stripe>();
    stripe->id.bytes.fill(id);
    stripe->pack = pack;
    stripe->offset = from;
    stripe->length = to - from;
    stripe->k = 2;
    stripe->n = 6;
    for (std::size_t i = 0; i < holders.size(); ++i)
      stripe->shards.push_back({.index = static_cast<std::uint16_t>(i), .holder = server(holders[i])});
    return StripePtr(stripe);
  };
  const std::vector<StripePtr> stripes{make(1, 0, 100, {1, 2, 3, 4, 5, 6}), make(2, 100, 200, {1, 2, 3, 4}),
                                       make(3, 150, 300, {1, 2, 3, 4, 5}), make(4, 400, 500, {1})};
  const auto judged = [&](std::vector<PackPiece> pieces) {
    return judge_file(pieces, [&](const PackId&) -> const std::vector<StripePtr>& { return stripes; }, server(0),
                      [](const ServerId&) { return true; }, 6, 0.01);
  };
  EXPECT_FALSE(judged({}));
  EXPECT_EQ(judged({{pack, 10, 50}})->can_lose, 4u);
  EXPECT_EQ(judged({{pack, 10, 50}})->health, StripeHealth::full);
  EXPECT_EQ(judged({{pack, 10, 50}})->stripes, 1u);
  EXPECT_DOUBLE_EQ(judged({{pack, 10, 50}})->loss_per_day, chance_of_loss(std::vector<unsigned>(6, 1), 2, 0.01));
  EXPECT_EQ(judged({{pack, 10, 50}, {pack, 120, 10}})->can_lose, 2u) << "the worst of the two";
  EXPECT_EQ(judged({{pack, 160, 40}})->can_lose, 3u) << "the better of the two that have it";
  EXPECT_EQ(judged({{pack, 50, 250}})->can_lose, 2u) << "the stretch that only one has";
  EXPECT_EQ(judged({{pack, 50, 250}})->stripes, 3u);
  EXPECT_DOUBLE_EQ(judged({{pack, 50, 100}})->copies, 2);
  const auto open = judged({{pack, 250, 100}});
  EXPECT_FALSE(open->everywhere) << "from 300 on it is nowhere yet";
  EXPECT_EQ(open->can_lose, 0u);
  EXPECT_EQ(open->copies, 0);
  EXPECT_GE(open->loss_per_day, 0.01);
  const auto lost = judged({{pack, 420, 10}});
  EXPECT_EQ(lost->health, StripeHealth::lost);
  EXPECT_EQ(lost->loss_per_day, 1);
}

TEST(Safety, TheFirstMachinesAreFullWithWhatTheyCanHave) {
  Stripe alone;
  alone.shards = {{.index = 2, .holder = server(0)}};
  const auto all = [](const ServerId&) { return true; };
  const auto judge_at = [&](const Stripe& stripe, unsigned width) {
    return judge(stripe, all, standing_shape(stripe, width), server(0));
  };
  EXPECT_EQ(judge_at(alone, 0).health, StripeHealth::full);
  EXPECT_EQ(judge_at(alone, 1).health, StripeHealth::at_risk);
  Stripe two = alone;
  two.shards.push_back({.index = 0, .holder = server(1)});
  EXPECT_EQ(judge_at(two, 1).health, StripeHealth::full);
  EXPECT_EQ(judge_at(two, 1).can_lose, 1u);
  // Where there are more machines, a copy in the own server half is no copy with others.
  EXPECT_EQ(judge_at(two, 7).health, StripeHealth::at_risk);
  two.shards.push_back({.index = 1, .holder = server(2)});
  EXPECT_EQ(judge_at(two, 2).health, StripeHealth::full);
  EXPECT_EQ(judge_at(two, 7).health, StripeHealth::safe);
  EXPECT_EQ(judge_at(alone, 7).health, StripeHealth::at_risk);
}

}  // namespace
}  // namespace spatter
