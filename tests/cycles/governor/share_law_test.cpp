#include "cycles/share_law.h"

#include <gtest/gtest.h>

namespace spatter::cycles {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const TimePoint start{seconds(100)};

TEST(GrowingAmount, GrowsEvenlyBetweenItsPoints) {
  GrowingAmount amount;
  EXPECT_EQ(amount.at(start), Duration(0));
  amount.grow_until(start, Duration(0));
  amount.grow_until(start + seconds(2), seconds(1));
  EXPECT_EQ(amount.at(start - seconds(1)), Duration(0));
  EXPECT_EQ(amount.at(start + seconds(1)), milliseconds(500));
  EXPECT_EQ(amount.at(start + seconds(9)), seconds(1));
  amount.grow_evenly_until(start + seconds(4), seconds(1));
  EXPECT_EQ(amount.points().size(), 2U);
  EXPECT_EQ(amount.at(start + seconds(3)), milliseconds(1500));
}

TEST(GrowingAmount, ATimeGoneBackCountsAsTheLast) {
  GrowingAmount amount;
  amount.grow_until(start, Duration(0));
  amount.grow_until(start + seconds(1), seconds(1));
  amount.grow_until(start, seconds(1));
  EXPECT_EQ(amount.total(), seconds(2));
  EXPECT_EQ(amount.at(start + seconds(1)), seconds(2));
}

TEST(ShareLaw, ABurstBeginsWhenItsCreditIsThere) {
  ShareLaw law(200'000, start);
  const TimePoint when = law.may_begin(start, 1);
  EXPECT_GT(when, start + milliseconds(20));
  EXPECT_LT(when, start + milliseconds(30));
  const TimePoint then = start + seconds(1);  // at the very start the minute is as short as the bucket
  EXPECT_EQ(law.may_begin(then, 1), then);
  const Duration length = law.burst(then, 1, 1).length;
  EXPECT_GT(length, milliseconds(4));
  EXPECT_LT(length, milliseconds(11));
}

TEST(ShareLaw, NothingBeginsWithNoShare) {
  ShareLaw law(0, start);
  EXPECT_EQ(law.may_begin(start + seconds(10), 1), TimePoint::max());
}

TEST(ShareLaw, NothingGoesOnWhenNothingIsSharedAnyMore) {
  ShareLaw law(1'000'000, start);
  const TimePoint now = start + seconds(10);
  EXPECT_GT(law.burst(now, 1, 2).length, Duration(0));
  law.set_share(now, 0);
  EXPECT_EQ(law.burst(now, 1, 2).length, Duration(0));
}

TEST(ShareLaw, ABurstCutShortOutOfCautionSaysSo) {
  ShareLaw law(1'000'000, start);
  const TimePoint now = start + seconds(10);
  const ShareBurst among_others = law.burst(now, 1, 2);
  EXPECT_TRUE(among_others.cautious);
  EXPECT_LT(among_others.length, milliseconds(30));
  EXPECT_FALSE(law.burst(now, 2, 2).cautious);  // it ends when its credit does
  EXPECT_GT(law.burst(now, 1, 1).length, milliseconds(500));
  // What the clocks may hide is as good as used.
  EXPECT_EQ(law.burst(now, 1, 2, milliseconds(4)).length + milliseconds(4), among_others.length);
  EXPECT_EQ(law.burst(now, 1, 2, milliseconds(20)).length, Duration(0));
}

TEST(ShareLaw, AFullMinuteLeavesNoRoom) {
  ShareLaw law(100'000, start);
  const TimePoint now = start + seconds(60);
  law.charge(now - seconds(10), now - seconds(9), seconds(6));
  EXPECT_EQ(law.burst(now + seconds(20), 1, 1).length, Duration(0));
  EXPECT_GT(law.burst(now + seconds(60), 1, 1).length, Duration(0));
}

TEST(ShareLaw, WhatWasNotUsedForLongIsNotSavedUp) {
  ShareLaw law(100'000, start);
  const TimePoint later = start + std::chrono::hours(5);
  EXPECT_EQ(law.may_begin(later, 1), later);
  EXPECT_LT(law.burst(later, 1, 2).length, milliseconds(16));
}

TEST(ShareLaw, ACorrectionIsSetOffAgainstWhatComes) {
  ShareLaw law(500'000, start);
  law.charge(start, start + milliseconds(100), milliseconds(100));
  law.charge(start + milliseconds(100), start + milliseconds(100), milliseconds(-40));
  EXPECT_EQ(law.used(), milliseconds(60));
  law.charge(start + milliseconds(200), start + milliseconds(250), milliseconds(50));
  EXPECT_EQ(law.used(), milliseconds(110));
  EXPECT_EQ(law.used_within(start + milliseconds(250), seconds(60)), milliseconds(110));
}

}  // namespace
}  // namespace spatter::cycles
