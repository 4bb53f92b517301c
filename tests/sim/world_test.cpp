#include "sim/world.h"

#include <gtest/gtest.h>

#include "base/sync.h"

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;

Task<void> tick(World& world, Duration every, int count, std::string name) {
  for (int i = 0; i < count; ++i) {
    co_await world.sleep(every);
    world.note(name);
  }
}

TEST(World, EventsRunInTheOrderOfTheirTimes) {
  World world(1);
  std::string order;
  world.after(3s, [&] { order += 'c'; });
  world.after(1s, [&] { order += 'a'; });
  world.after(3s, [&] { order += 'd'; });
  const auto dropped = world.after(2s, [&] { order += 'x'; });
  world.after(2s, [&] { order += 'b'; });
  world.cancel(dropped);
  world.run_for(10s);
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(world.now(), TimePoint(10s));
}

TEST(World, AnHourOfSleepTakesNoTime) {
  World world(1);
  EXPECT_TRUE(world.wait_for(tick(world, 1h, 100, "tick"), 200h));
  EXPECT_EQ(world.now(), TimePoint(100h));
}

TEST(World, WaitingEndsAtTheLimit) {
  World world(1);
  EXPECT_FALSE(world.wait_for(tick(world, 1h, 100, "tick"), 1h));
}

TEST(World, StoppingAGroupEndsItsSleepers) {
  World world(1);
  const auto run = [](World& world) -> Task<void> {
    TaskGroup group(world.executor());
    for (int i = 0; i < 5; ++i) group.spawn(tick(world, 1h, 5, "never"));
    co_await world.sleep(1s);
    co_await group.stop();
  };
  EXPECT_TRUE(world.wait_for(run(world), 1min));
  EXPECT_EQ(world.now(), TimePoint(1s));
  EXPECT_TRUE(world.newest_notes().empty());
}

std::uint64_t hash_of_run(std::uint64_t seed) {
  World world(seed);
  const auto run = [](World& world) -> Task<void> {
    TaskGroup group(world.executor());
    for (int i = 0; i < 5; ++i)
      group.spawn(tick(world, Duration(world.random().below(1'000'000)), 20, std::to_string(i)));
    co_await group.drain();
  };
  EXPECT_TRUE(world.wait_for(run(world), 1h));
  return world.record_hash();
}

TEST(World, TheSameSeedGivesTheSameRecord) {
  EXPECT_EQ(hash_of_run(1), hash_of_run(1));
  EXPECT_NE(hash_of_run(1), hash_of_run(2));
}

}  // namespace
}  // namespace spatter::sim
