// What results say of speed, and how good forecasts are.
#include "cycles/speed_book.h"
#include "cycles/worker_queues.h"

#include <gtest/gtest.h>

namespace spatter {
namespace {

ServerId server(std::uint8_t number) {
  ServerId id;
  id.bytes[0] = number;
  return id;
}

TEST(SpeedBook, KnowsNothingOfStrangers) {
  SpeedBook book;
  EXPECT_FALSE(book.fuel_per_s(server(1), "a"));
  EXPECT_FALSE(book.forecast(server(1), "a", 100, 0, 0));
}

TEST(SpeedBook, NewerResultsCountMore) {
  SpeedBook book;
  for (int i = 0; i < 40; ++i) book.record(server(1), "a", 1000, 10);
  EXPECT_NEAR(*book.fuel_per_s(server(1), "a"), 100, 1e-6);
  for (int i = 0; i < 20; ++i) book.record(server(1), "a", 1000, 20);
  EXPECT_NEAR(*book.fuel_per_s(server(1), "a"), 50, 5);
}

TEST(SpeedBook, AnotherKindIsScaledByThoseWhoHaveDoneBoth) {
  SpeedBook book;
  book.record(server(1), "a", 1000, 10);
  book.record(server(1), "b", 1000, 40);
  book.record(server(2), "a", 1000, 5);
  EXPECT_NEAR(*book.fuel_per_s(server(2), "b"), 50, 1e-9);
  EXPECT_FALSE(book.fuel_per_s(server(2), "c"));
}

TEST(SpeedBook, TheNinetiethPercentileFollowsTheErrors) {
  SpeedBook book;
  book.record(server(1), "a", 1000, 10);
  const auto before = *book.forecast(server(1), "a", 1000, 0.5, 1);
  EXPECT_NEAR(before.p50_s, 11.5, 1e-9);
  EXPECT_GT(before.p90_s, before.p50_s);
  for (int i = 0; i < 20; ++i) book.ended({"a", {10, 15}, i % 5 == 0 ? 13.0 : 10.0});
  const auto after = *book.forecast(server(1), "a", 1000, 0, 0);
  EXPECT_NEAR(after.p90_s / after.p50_s, 1.3, 1e-9);
}

TEST(SpeedBook, AccuracyCountsWhatItSays) {
  SpeedBook book;
  book.ended({"a", {10, 12}, 10});   // exact
  book.ended({"a", {10, 12}, 11.5}); // within 2 s
  book.ended({"a", {20, 25}, 24});   // within 20 %
  book.ended({"b", {10, 12}, 20});   // neither
  const auto all = book.accuracy();
  EXPECT_EQ(all.forecasts, 4u);
  EXPECT_NEAR(all.within, 0.75, 1e-9);
  EXPECT_NEAR(all.below_p90, 0.75, 1e-9);
  EXPECT_EQ(book.accuracy("b").forecasts, 1u);
  EXPECT_NEAR(book.accuracy("b").median_error, 0.5, 1e-9);
}

TEST(SpeedBook, WhatAKindCostsIsKnownFromEarlierJobs) {
  SpeedBook book;
  EXPECT_FALSE(book.fuel_of("a", 10));
  book.came_to("a", 100, 5000);
  EXPECT_EQ(*book.fuel_of("a", 10), 500u);
  book.came_to("b", 0, 70);
  EXPECT_EQ(*book.fuel_of("b", 0), 70u);
}

TEST(WorkerQueues, APieceWaitsForThoseBeforeIt) {
  WorkerQueues queues;
  const auto at = [](double seconds) { return TimePoint(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds))); };
  const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
  EXPECT_DOUBLE_EQ(queues.wait_s(server(1), 10, 100, at(0)), 0);
  const auto first = queues.took(server(1), 100, at(100));
  EXPECT_DOUBLE_EQ(queues.wait_s(server(1), 10, 100, at(104)), 6);
  EXPECT_DOUBLE_EQ(queues.wait_s(server(1), 10, 100, at(150)), 0);  // overdue: soon, as far as is known
  const auto second = queues.took(server(1), {}, at(104));
  EXPECT_DOUBLE_EQ(queues.wait_s(server(1), 10, 50, at(104)), 11);
  EXPECT_DOUBLE_EQ(seconds(queues.computed(server(1), first, at(112))), 12);
  // The second's turn came only then.
  EXPECT_DOUBLE_EQ(seconds(queues.computed(server(1), second, at(120))), 8);
  EXPECT_DOUBLE_EQ(seconds(queues.computed(server(1), second, at(120))), 0);
}

TEST(WorkerQueues, WhatIsDroppedLetsTheNextBegin) {
  WorkerQueues queues;
  const auto at = [](int seconds) { return TimePoint(std::chrono::seconds(seconds)); };
  const auto first = queues.took(server(1), 100, at(0));
  const auto second = queues.took(server(1), 100, at(1));
  queues.dropped(server(1), first, at(5));
  EXPECT_EQ(queues.computed(server(1), second, at(9)), std::chrono::seconds(4));
}

TEST(ScheduleEnd, IsThatOfListScheduling) {
  EXPECT_DOUBLE_EQ(schedule_end({0, 0}, {10, 10}, 4), 20);
  EXPECT_DOUBLE_EQ(schedule_end({0, 0}, {10, 5}, 3), 10);
  EXPECT_DOUBLE_EQ(schedule_end({7, 0}, {10, 10}, 0), 7);
  EXPECT_DOUBLE_EQ(schedule_end({}, {}, 0), 0);
  EXPECT_TRUE(std::isinf(schedule_end({}, {}, 1)));
  // Two equal ones share very many evenly.
  EXPECT_NEAR(schedule_end({0, 0}, {1, 1}, 1'000'000), 500'000, 2);
}

}  // namespace
}  // namespace spatter
