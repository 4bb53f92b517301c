// Aim: a promise is what was pledged of what results showed, kept to the end of the month; and however it is
// asked for, no window ever gives more of it than was promised.
#include "cycles/promise.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/random.h"

namespace spatter::cycles {
namespace {

const LedgerRules rules{.founded_ms = 0, .epoch_ms = 1000, .month_epochs = 20, .guard_epochs = 3, .deadline_epochs = 4, .settle_epochs = 8};

class Promises : public testing::Test {
 protected:
  void go_to(std::uint64_t epoch) {
    while (promise.epoch() < epoch) promise.begin(rules, promise.epoch() + 1);
  }
  /// Half of its cores, and 1000 fuel a second with all of them: 500 an epoch from epoch 6 on.
  void open() {
    promise.pledge(rules, {500'000, 0});
    go_to(3);
    promise.learn(alice, 500, 1000);
    go_to(6);
  }
  PersonId alice{{1}}, bob{{2}}, carol{{3}};
  Promise promise;
};

TEST_F(Promises, NothingIsPromisedBeforeResultsShowASpeed) {
  promise.pledge(rules, {1'000'000, 0});
  go_to(15);
  EXPECT_EQ(promise.in_epoch(), 0u);
  EXPECT_EQ(promise.after(), 0u);
}

TEST_F(Promises, AShareOfTheSpeedThatWasShown) {
  open();
  EXPECT_EQ(promise.speed(), 1000u);
  EXPECT_EQ(promise.in_epoch(), 500u);
  EXPECT_EQ(promise.before(), 0u);
  go_to(8);
  EXPECT_EQ(promise.before(), 1000u);
  EXPECT_EQ(promise.at(rules, 8500), 1250u);
  EXPECT_EQ(promise.at(rules, 7000), 1000u) << "counts as the epoch's beginning";
  EXPECT_EQ(promise.at(rules, 99'000), 1500u) << "and as its end";
}

TEST_F(Promises, WhatIsLearntCountsThreeEpochsLater) {
  open();
  promise.learn(alice, 1500, 1000);  // now 2000 fuel in 2 s at half
  go_to(8);
  EXPECT_EQ(promise.in_epoch(), 500u);
  go_to(9);
  EXPECT_EQ(promise.in_epoch(), 1000u);
}

TEST_F(Promises, WhoHadResultsOfAServerWithoutPledgeMeasuredNothing) {
  promise.learn(alice, 500, 1000);
  promise.pledge(rules, {500'000, 0});
  go_to(10);
  EXPECT_EQ(promise.speed(), 0u);
}

TEST_F(Promises, OneFriendCannotMakeAServerQuick) {
  open();
  promise.learn(bob, 400'000'000, 1);
  go_to(9);
  EXPECT_EQ(promise.speed(), 1000u) << "the lower of two";
  promise.learn(carol, 600, 1000);
  go_to(12);
  EXPECT_EQ(promise.speed(), 1200u) << "the middle of three";
}

TEST_F(Promises, OlderMonthsCountForLess) {
  promise.pledge(rules, {500'000, 0});
  go_to(3);
  promise.learn(alice, 6'000'000, 3000);  // 4'000'000 a second
  go_to(20);
  EXPECT_EQ(promise.speed(), 4'000'000u);
  promise.learn(alice, 3'000'000, 3000);
  go_to(23);
  EXPECT_EQ(promise.speed(), 2'666'666u) << "of 3'000'000 in 1.5 s and as much in 3 s, at half";
  for (std::uint64_t month = 2; month < 60; ++month) go_to(rules.first_of(month));
  EXPECT_EQ(promise.speed(), 2'666'666u) << "who is not asked keeps his speed";
}

TEST_F(Promises, MoreCountsSoonLessFromTheNextMonth) {
  open();
  promise.pledge(rules, {800'000, 0});
  go_to(8);
  EXPECT_EQ(promise.share_ppm(), 500'000u);
  go_to(9);
  EXPECT_EQ(promise.share_ppm(), 800'000u);
  promise.pledge(rules, {0, 0});
  go_to(19);
  EXPECT_EQ(promise.share_ppm(), 800'000u) << "this month's promise is kept";
  EXPECT_EQ(promise.coming()->epoch, 20u);
  go_to(20);
  EXPECT_EQ(promise.in_epoch(), 0u);
}

TEST_F(Promises, ThatWhichIsPledgedForLaterCountsLater) {
  open();
  promise.pledge(rules, {800'000, 2});
  EXPECT_EQ(promise.share_in(39), 500'000u);
  EXPECT_EQ(promise.share_in(40), 800'000u);
  promise.pledge(rules, {600'000, 0});  // the newest counts
  go_to(40);
  EXPECT_EQ(promise.share_ppm(), 600'000u);
  promise.pledge(rules, {700'000, ~0ULL});
  EXPECT_EQ(promise.coming()->epoch, rules.first_of(2 + pledge_ahead_months_max));
  go_to(59);
  promise.pledge(rules, {100'000, 0});
  EXPECT_EQ(promise.coming()->epoch, 62u) << "not before everybody knows of it";
}

TEST_F(Promises, AnAbsurdSpeedEndsSomewhere) {
  promise.pledge(rules, {1'000'000, 0});
  go_to(3);
  promise.learn(alice, lease_fuel_max, 1);
  go_to(6);
  EXPECT_EQ(promise.speed(), speed_max);
  EXPECT_LE(promise.in_epoch(), promise_max);
}

TEST_F(Promises, ABurstMayTakeTheGuardAndNotOneUnitMore) {
  open();
  const WallMs now = 6000;
  EXPECT_TRUE(promise.conforms(rules, promise.next(rules, 0, 1500, now), now));
  EXPECT_FALSE(promise.conforms(rules, promise.next(rules, 0, 1501, now), now));
  const Mark taken = promise.next(rules, 0, 1500, now).end;
  EXPECT_FALSE(promise.conforms(rules, promise.next(rules, taken, 1, now), now));
  EXPECT_TRUE(promise.conforms(rules, promise.next(rules, taken, 250, now + 500), now + 500)) << "time has passed";
}

TEST_F(Promises, WhatNobodyAskedForIsOverWithItsTime) {
  open();
  go_to(10);
  EXPECT_EQ(promise.next(rules, 0, 10, 10'000).begin, 2000u);
  EXPECT_FALSE(promise.conforms(rules, promise.next(rules, 0, 1600, 10'000), 10'000));
}

/// Random pledges, results and asks over three months.
TEST(PromiseProperty, NoWindowGivesMoreThanWasPromised) {
  std::uint64_t accepted = 0, refused = 0;
  EXPECT_TRUE(rc::check("spans are disjoint, begin in time, and are no more than the guard ahead", [&] {
    SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
    Promise promise;
    Mark taken = 0;
    std::vector<Span> spans;
    std::vector<Mark> ends;
    for (std::uint64_t epoch = 0; epoch < 60; ++epoch) {
      if (epoch > 0) promise.begin(rules, epoch);
      if (random.below(6) == 0) promise.pledge(rules, {static_cast<std::uint32_t>(random.below(1'000'001)), random.below(5)});
      if (random.below(3) == 0) promise.learn(PersonId{{static_cast<std::uint8_t>(random.below(3))}}, 1 + random.below(3000), 1 + random.below(2000));
      WallMs moment = static_cast<WallMs>(epoch * rules.epoch_ms);
      for (std::uint64_t i = random.below(5); i > 0; --i) {
        moment = std::min<WallMs>(moment + static_cast<WallMs>(random.below(300)), static_cast<WallMs>((epoch + 1) * rules.epoch_ms) - 1);
        const Span span = promise.next(rules, taken, 1 + random.below(1500), moment);
        ++(promise.conforms(rules, span, moment) ? accepted : refused);
        if (!promise.conforms(rules, span, moment)) continue;
        RC_ASSERT(span.begin >= taken);
        RC_ASSERT(span.begin >= promise.at(rules, moment));
        RC_ASSERT(span.end <= promise.at(rules, moment) + Mark{promise.in_epoch()} * rules.guard_epochs);
        taken = span.end;
        spans.push_back(span);
      }
      ends.push_back(promise.after());
    }
    // Any window of epochs, by what the spans take of it.
    for (std::size_t from = 0; from < ends.size(); from += 7) {
      for (std::size_t to = from; to < ends.size(); to += 5) {
        const Mark begin = from == 0 ? 0 : ends[from - 1], end = ends[to];
        Mark sum = 0;
        for (const Span& span : spans) {
          const Mark low = std::max(span.begin, begin), high = std::min(span.end, end);
          if (low < high) sum += high - low;
        }
        RC_ASSERT(sum <= end - begin);
      }
    }
  }));
  EXPECT_GT(accepted, 1000u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace spatter::cycles
