// Aim: what Database acknowledges survives the machine's crash at any moment, and nothing is half
// done. Method: writers in virtual time, power cut at random moments, the database opened anew and
// compared with what was acknowledged; many seeds.
#include "sim/machine.h"

#include <gtest/gtest.h>

#include "base/database.h"
#include "base/sync.h"

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> schema = {
    "CREATE TABLE pair(key INTEGER PRIMARY KEY, value INTEGER NOT NULL);"
    "CREATE TABLE twin(key INTEGER PRIMARY KEY, value INTEGER NOT NULL)"};

struct Model {
  std::map<std::int64_t, std::int64_t> acknowledged;
  std::map<std::int64_t, std::int64_t> attempted;  // the newest value tried
};

Task<void> write_one(Database& database, Model& model, std::int64_t key, std::int64_t value) {
  model.attempted[key] = value;
  Database::Work work = [key, value](Connected& db) -> Result<void> {
    for (const char* sql : {"INSERT OR REPLACE INTO pair VALUES(?, ?)",
                            "INSERT OR REPLACE INTO twin VALUES(?, ?)"}) {
      TRY(auto insert, db.prepare(sql));
      TRY_VOID(insert.bind(1, key).bind(2, value).run());
    }
    return {};
  };
  if (co_await database.write(std::move(work))) model.acknowledged[key] = value;
}

Task<void> write_for_ever(World& world, Database& database, Model& model, std::int64_t writer,
                            std::int64_t value) {
  for (;; ++value) {
    // A writer has its own keys, so that its last attempt is the newest value there can be.
    const auto key = writer * 100 + static_cast<std::int64_t>(world.random().below(20));
    co_await write_one(database, model, key, value);
    co_await world.sleep(Duration(world.random().below(3'000'000)));
  }
}

Task<Result<std::map<std::int64_t, std::int64_t>>> read_all(Database& database,
                                                            std::string_view table) {
  using Map = std::map<std::int64_t, std::int64_t>;
  co_return co_await database.read_for<Map>([table](Connected& db) -> Result<Map> {
    TRY(auto query, db.prepare(table));
    Map result;
    for (;;) {
      TRY(const bool row, query.step());
      if (!row) return result;
      result[query.integer(0)] = query.integer(1);
    }
  });
}

std::uint64_t crash_often(std::uint64_t seed, bool full_disk) {
  World world(seed);
  Network network(world);
  Machine machine(world, network, 0, 1 << 30);
  if (full_disk) machine.disk().set_foreign_bytes((1 << 30) - 300'000);
  Model model;
  for (int round = 0; round < 4; ++round) {
    auto opened = world.wait_for(Database::open(machine.runtime(), "x.db", schema), 1h);
    if (!opened.value()) {
      // With a full disk even opening may fail, but never for another reason.
      EXPECT_TRUE(full_disk) << opened->error().message;
      EXPECT_EQ(opened->error().code, Errc::no_space);
      machine.disk().set_foreign_bytes(0);
      opened = world.wait_for(Database::open(machine.runtime(), "x.db", schema), 1h);
    }
    const auto database = std::move(opened->value());
    const auto pairs = world.wait_for(read_all(*database, "SELECT * FROM pair"), 1h)->value();
    const auto twins = world.wait_for(read_all(*database, "SELECT * FROM twin"), 1h)->value();
    EXPECT_EQ(pairs, twins) << "seed " << seed;
    for (const auto& [key, value] : model.acknowledged) {
      EXPECT_TRUE(pairs.contains(key)) << "seed " << seed << " key " << key;
      if (!pairs.contains(key)) continue;
      EXPECT_GE(pairs.at(key), value) << "seed " << seed << " key " << key;
      EXPECT_LE(pairs.at(key), model.attempted[key]) << "seed " << seed << " key " << key;
    }
    TaskGroup writers(world.executor());
    for (int writer = 0; writer < 4; ++writer)
      writers.spawn(write_for_ever(world, *database, model, writer, round * 100'000));
    world.run_for(Duration(world.random().below(1'000'000'000)));
    machine.crash(world.random().below(4) != 0);
    EXPECT_TRUE(world.wait_for(writers.stop(), 1h));
    EXPECT_TRUE(world.wait_for(database->close(), 1h));
  }
  return world.record_hash();
}

TEST(DatabaseInASimulatedMachine, KeepsWhatItAcknowledgedThroughCrashes) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) crash_often(seed, false);
}

TEST(DatabaseInASimulatedMachine, KeepsWhatItAcknowledgedWhenTheDiskFillsUp) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) crash_often(seed, true);
}

TEST(DatabaseInASimulatedMachine, RunsTheSameFromTheSameSeed) {
  EXPECT_EQ(crash_often(5, false), crash_often(5, false));
  EXPECT_NE(crash_often(5, false), crash_often(6, false));
}

TEST(SimulatedMachine, ClocksDifferAndJumpButTimeGoesOn) {
  World world(3);
  Network network(world);
  Machine a(world, network, 0, 1 << 20), b(world, network, 1, 1 << 20);
  EXPECT_NE(a.runtime().now(), b.runtime().now());
  EXPECT_EQ(a.runtime().wall_ms(), b.runtime().wall_ms());
  b.set_wall_offset_ms(-5000);
  EXPECT_EQ(a.runtime().wall_ms(), b.runtime().wall_ms() + 5000);
  const TimePoint before = b.runtime().now();
  EXPECT_TRUE(world.wait_for(b.runtime().sleep(3s), 1min));
  EXPECT_EQ(b.runtime().now() - before, 3s);
}

TEST(SimulatedMachine, AnIncarnationHasOtherEntropyThanTheLast) {
  World world(3);
  Network network(world);
  Machine machine(world, network, 0, 1 << 20);
  const auto first = machine.runtime().entropy().id<Digest>();
  machine.crash();
  EXPECT_NE(machine.runtime().entropy().id<Digest>(), first);
}

TEST(SimulatedMachine, CancellationWaitsForBlockingWork) {
  World world(3);
  Network network(world);
  Machine machine(world, network, 0, 1 << 20);
  const auto work = [](Runtime& runtime, bool& ran, bool& returned) -> Task<void> {
    co_await runtime.run_blocking([&] { ran = true; });
    returned = true;
  };
  bool ran = false, returned = false;
  TaskGroup group(world.executor());
  group.spawn(work(machine.runtime(), ran, returned));
  EXPECT_TRUE(world.wait_for(group.stop(), 1min));
  EXPECT_TRUE(ran);
  EXPECT_TRUE(returned);
}

}  // namespace
}  // namespace spatter::sim
