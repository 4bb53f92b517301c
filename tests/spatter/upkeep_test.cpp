// What the keeper decides, as pure functions: packs that need encoding, tails, superseded stripes,
// and upkeep that ends after one round, never drops below what was safe, and keeps the deal even.
#include "spatter/upkeep.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>

#include "base/random.h"
#include "spatter/safety.h"

namespace spatter {
namespace {

ServerId server(unsigned number) {
  ServerId id;
  id.bytes.fill(static_cast<std::uint8_t>(number));
  return id;
}

NetworkView network(unsigned width) {
  NetworkView view;
  view.own = server(200);
  view.width = width;
  for (unsigned i = 1; i <= width; ++i) {
    Candidate candidate;
    candidate.server = server(i);
    candidate.person.bytes.fill(static_cast<std::uint8_t>(i));
    view.holders.push_back(candidate);
  }
  return view;
}

StripePtr stripe(std::uint64_t offset, std::uint64_t length, unsigned k, unsigned holders) {
  static SeededRandom random(1);
  auto result = std::make_shared<Stripe>();
  result->id = random.id<StripeId>();
  result->offset = offset;
  result->length = length;
  result->k = static_cast<std::uint16_t>(k);
  result->n = static_cast<std::uint16_t>(3 * k);
  for (unsigned i = 0; i < result->n; ++i)
    result->shards.push_back(
        {.index = static_cast<std::uint16_t>(i), .holder = server(1 + i % holders)});
  return result;
}

constexpr std::uint64_t MiB = 1 << 20;

TEST(RangesToWrite, APackThatOneWideStripeCoversIsInShape) {
  EXPECT_TRUE(ranges_to_write(20 * MiB, {stripe(0, 20 * MiB, 7, 7)}, network(7)).empty());
  EXPECT_EQ(ranges_to_write(20 * MiB, {}, network(7)), (std::vector<ByteRange>{{0, 20 * MiB}}));
}

TEST(RangesToWrite, SlicesAloneAreNotEnough) {
  const auto slices = {stripe(0, 10 * MiB, 7, 7), stripe(10 * MiB, 10 * MiB, 7, 7)};
  EXPECT_EQ(ranges_to_write(20 * MiB, slices, network(7)).size(), 1u);
}

TEST(RangesToWrite, TooLongAPackIsCut) {
  const auto ranges = ranges_to_write(28 * MiB, {}, network(5));
  EXPECT_EQ(ranges, (std::vector<ByteRange>{{0, 20 * MiB}, {20 * MiB, 28 * MiB}}));
  const auto first = stripe(0, 20 * MiB, 5, 5), second = stripe(20 * MiB, 8 * MiB, 5, 5);
  EXPECT_EQ(ranges_to_write(28 * MiB, {first}, network(5)), (std::vector<ByteRange>{ranges[1]}));
  EXPECT_TRUE(ranges_to_write(28 * MiB, {first, second}, network(5)).empty());
}

TEST(RangesToWrite, OnlyADoubledNetworkOrTheStepFromOneEncodesAnew) {
  EXPECT_TRUE(ranges_to_write(16 * MiB, {stripe(0, 16 * MiB, 4, 4)}, network(7)).empty());
  EXPECT_EQ(ranges_to_write(16 * MiB, {stripe(0, 16 * MiB, 4, 4)}, network(8)).size(), 1u);
  EXPECT_TRUE(ranges_to_write(4 * MiB, {stripe(0, 4 * MiB, 1, 3)}, network(3)).empty());
  EXPECT_EQ(ranges_to_write(4 * MiB, {stripe(0, 4 * MiB, 1, 3)}, network(4)).size(), 1u);
  EXPECT_TRUE(ranges_to_write(64 * MiB, {stripe(0, 64 * MiB, 16, 16)}, network(100)).empty());
  // A shrunken network encodes nothing anew.
  EXPECT_TRUE(ranges_to_write(64 * MiB, {stripe(0, 64 * MiB, 16, 16)}, network(5)).empty());
}

TEST(TailToWrite, CoversWhatNothingCoversAndSmallSlicesBefore) {
  const auto view = network(7);
  EXPECT_EQ(tail_to_write(100000, {}, view), (ByteRange{0, 100000}));
  EXPECT_EQ(tail_to_write(0, {}, view), std::nullopt);
  // A large slice stays; the narrow ones after it are folded.
  const std::vector<StripePtr> stripes{stripe(0, 9 * MiB, 7, 7), stripe(9 * MiB, 4096, 1, 3),
                                       stripe(9 * MiB + 4096, 8192, 1, 3)};
  EXPECT_EQ(tail_to_write(9 * MiB + 12288, stripes, view), (ByteRange{9 * MiB, 9 * MiB + 12288}));
  EXPECT_EQ(tail_to_write(9 * MiB, {stripes[0]}, view), std::nullopt);
}

TEST(TailToWrite, DripsGiveLogarithmicallyManySlices) {
  const auto view = network(7);
  std::vector<StripePtr> stripes;
  std::uint64_t end = 0, written = 0;
  for (int i = 0; i < 1000; ++i) {
    end += 8192;
    const auto tail = tail_to_write(end, stripes, view);
    ASSERT_TRUE(tail);
    ASSERT_EQ(tail->end, end);
    written += tail->length();
    stripes.push_back(stripe(tail->begin, tail->length(), 7, 7));
    std::sort(stripes.begin(), stripes.end(), [](const StripePtr& a, const StripePtr& b) {
      return std::tuple(a->offset, b->length) < std::tuple(b->offset, a->length);
    });
    const auto gone = superseded(stripes, view);
    std::erase_if(stripes, [&](const StripePtr& s) {
      return std::find(gone.begin(), gone.end(), s->id) != gone.end();
    });
    ASSERT_EQ(covered_until(stripes, 0, [](const Stripe&) { return true; }), end);
    ASSERT_LE(stripes.size(), 12u);
  }
  EXPECT_LT(written, end * 12);
}

TEST(Superseded, NeedsACompleteBetterOne) {
  const auto view = network(7);
  const auto a = stripe(0, MiB, 1, 3), b = stripe(MiB, MiB, 1, 3), whole = stripe(0, 2 * MiB, 7, 7);
  EXPECT_EQ(superseded({whole, a, b}, view).size(), 2u);
  EXPECT_TRUE(superseded({a, b}, view).empty());
  auto partial = std::make_shared<Stripe>(*whole);
  partial->shards.pop_back();
  EXPECT_TRUE(superseded({partial, a, b}, view).empty());
  // Of two equal ranges the wider goes on.
  const auto wider = stripe(0, 4 * MiB, 4, 4), narrow = stripe(0, 4 * MiB, 1, 3);
  EXPECT_EQ(superseded({narrow, wider}, view), (std::vector<StripeId>{narrow->id}));
}

void apply_adds(Stripe& stripe, const Upkeep& upkeep) {
  for (const auto& [index, holder] : upkeep.add) {
    std::erase_if(stripe.shards, [&](const PlacedShard& shard) {
      return shard.index == index && shard.holder == holder;
    });
    stripe.shards.push_back({.index = index, .holder = holder});
  }
}

void apply_drops(Stripe& stripe, const Upkeep& upkeep) {
  for (const auto& drop : upkeep.drop)
    std::erase_if(stripe.shards, [&](const PlacedShard& shard) {
      return shard.index == drop.index && shard.holder == drop.holder;
    });
}

TEST(Upkeep, OneRoundBringsAnyStripeToRestAndNeverBelowWhatItWas) {
  EXPECT_TRUE(rc::check("upkeep ends", [] {
    const auto width = *rc::gen::inRange(0u, 13u);
    const auto k = *rc::gen::element(1u, 1u, 4u, 5u, 7u);
    auto view = network(width);
    Stripe it = *stripe(0, 100000, k, std::max(1u, *rc::gen::inRange(1u, 12u)));
    SeededRandom random(*rc::gen::inRange<std::uint64_t>(0, 10000));
    if (k == 1) {
      it.shards.clear();
      for (unsigned i = 0; i < 3; ++i)
        if (random.below(2)) it.shards.push_back({.index = static_cast<std::uint16_t>(i), .holder = server(1 + i)});
      if (it.shards.empty() || random.below(3) == 0)
        it.shards.push_back({.index = 2, .holder = view.own});
    }
    for (auto& shard : it.shards) shard.lost = random.below(8) == 0;
    const auto everyone = [&](const ServerId& id) { return view.keeps(id); };
    const auto shape = standing_shape(it, width);
    const auto before = judge(it, everyone, shape, view.own);

    const auto first = upkeep_of(it, view);
    apply_adds(it, first);
    const auto second = upkeep_of(it, view);
    RC_ASSERT(second.add.empty());
    const auto with_both = judge(it, everyone, shape, view.own);
    apply_drops(it, second);
    const auto after = judge(it, everyone, shape, view.own);
    RC_ASSERT(with_both.reachable >= before.reachable);
    RC_ASSERT(after.reachable >= std::min(before.reachable, 3u * it.k));
    RC_ASSERT(upkeep_of(it, view).empty());
    if (width >= 1) RC_ASSERT(is_complete(it, view));
    std::map<ServerId, unsigned> load;
    for (const auto& shard : it.shards) ++load[shard.holder];
    // A stripe that is too narrow by now is left as it is until it is encoded anew.
    if (k > 1 && width > 0 && has_present_k(it, view))
      for (const auto& [holder, count] : load) RC_ASSERT(count <= fair_share_max(it.n, width));
  }));
}

TEST(Upkeep, OwnCopiesGoOnlyOnceThreeStand) {
  Stripe it = *stripe(0, 1000, 1, 3);
  it.shards = {{.index = 2, .holder = server(200)}, {.index = 0, .holder = server(1)}};
  const auto upkeep = upkeep_of(it, network(3));
  EXPECT_EQ(upkeep.add.size(), 2u);
  apply_adds(it, upkeep);
  const auto then = upkeep_of(it, network(3));
  ASSERT_EQ(then.drop.size(), 1u);
  EXPECT_EQ(then.drop[0].holder, server(200));
}

}  // namespace
}  // namespace spatter
