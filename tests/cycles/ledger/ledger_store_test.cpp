// Aim: what the store gave out is there whatever moment the machine fails at, so that no number is used
// twice. Method: in virtual time, a crash after each single event of a run, of the process and of the power; then the
// chain that is found must hold all that was given out and go on after it.
#include "cycles/ledger_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cycles/ledger.h"
#include "base/sync.h"
#include "sim/machine.h"

namespace spatter::cycles {
namespace {

using namespace std::chrono_literals;

struct Kept {
  SeededRandom random{8};
  SigningKey key = SigningKey::generate(random), other_key = SigningKey::generate(random);
  NetworkId network = random.id<NetworkId>();
  PersonId person = random.id<PersonId>(), other_person = random.id<PersonId>();

  Task<Result<std::unique_ptr<LedgerStore>>> open(Runtime& runtime) {
    return LedgerStore::open(runtime, "cycles.db", key, network, person);
  }
  MadeEntry foreign(const ChainHead& head) {
    return make_entry(other_key, network, other_person, head, Pledge{7, 0}, 50);
  }
};

class LedgerStoreTest : public testing::Test, protected Kept {
 protected:
  LedgerStoreTest() { reopen(); }
  ~LedgerStoreTest() override { close(); }
  void close() {
    if (store) world.wait_for(store->close(), 1h);
    store.reset();
  }
  void reopen() {
    close();
    store = std::move(world.wait_for(open(machine.runtime()), 1h).value().value());
  }
  template <class T>
  T wait(Task<T> task) { return world.wait_for(std::move(task), 1h).value(); }

  sim::World world{1};
  sim::Network sim_network{world};
  sim::Machine machine{world, sim_network, 0, 1 << 30};
  std::unique_ptr<LedgerStore> store;
};

TEST_F(LedgerStoreTest, TheChainGoesOnWhereItEnded) {
  EXPECT_EQ(wait(store->head()).value().number, 0u);
  const auto first = wait(store->append(Pledge{1, 0}, 100)).value();
  EXPECT_EQ(first.entry.number, 1u);
  EXPECT_FALSE(first.entry.previous);
  reopen();
  const auto second = wait(store->append(Pledge{2, 0}, 90, 95)).value();
  EXPECT_EQ(second.entry.number, 2u);
  EXPECT_EQ(second.entry.previous, first.entry.id);
  EXPECT_EQ(second.entry.made_ms, 100);
  const auto entries = wait(store->load()).value();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].id, second.entry.id);
}

TEST_F(LedgerStoreTest, AppendsThatOverlapGetNumbersOfTheirOwn) {
  std::vector<std::uint64_t> numbers;
  const auto run = [&]() -> Task<void> {
    TaskGroup group(machine.runtime().executor());
    const auto one = [](LedgerStore& at, std::vector<std::uint64_t>& got) -> Task<void> {
      auto made = co_await at.append(Pledge{}, 10);
      got.push_back(made.value().entry.number);
    };
    for (int i = 0; i < 20; ++i) group.spawn(one(*store, numbers));
    co_await group.drain();
  };
  ASSERT_TRUE(world.wait_for(run(), 1h));
  std::ranges::sort(numbers);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(numbers.at(i), i + 1);
}

TEST_F(LedgerStoreTest, OthersEntriesAreKeptOnceAndForksBoth) {
  const auto one = foreign({}), next = foreign({1, one.entry.id, 50});
  const auto fork = make_entry(other_key, network, other_person, {}, Pledge{8, 0}, 50);
  std::vector<LedgerStore::Kept> all = {{one.record, one.entry}, {next.record, next.entry}, {fork.record, fork.entry}, {one.record, one.entry}};
  ASSERT_TRUE(wait(store->add(all)));
  ASSERT_TRUE(wait(store->add(all)));
  EXPECT_EQ(wait(store->load()).value().size(), 3u);
  EXPECT_EQ(wait(store->chain(one.entry.server, 1, 10)).value().size(), 3u);
  EXPECT_EQ(wait(store->chain(one.entry.server, 2, 10)).value().size(), 1u);
  EXPECT_EQ(wait(store->chain(one.entry.server, 1, 2)).value().size(), 2u);
  EXPECT_EQ(wait(store->find({fork.entry.id, random.id<EntryId>()})).value().size(), 1u);
  EXPECT_EQ(wait(store->head()).value().number, 0u) << "not this server's";
}

TEST_F(LedgerStoreTest, WhatOthersRememberOfALostDriveIsGoneOnFrom) {
  const auto one = make_entry(key, network, person, {}, Pledge{1, 0}, 10);
  const auto two = make_entry(key, network, person, {1, one.entry.id, 10}, Pledge{2, 0}, 20);
  ASSERT_TRUE(wait(store->add({{two.record, two.entry}})));
  const auto made = wait(store->append(Pledge{3, 0}, 15)).value();
  EXPECT_EQ(made.entry.number, 3u);
  EXPECT_EQ(made.entry.previous, two.entry.id);
  EXPECT_EQ(made.entry.made_ms, 20);
}

TEST_F(LedgerStoreTest, ADamagedRecordIsNamed) {
  wait(store->append(Pledge{1, 0}, 100)).value();
  close();
  {
    auto database = world.wait_for(Database::open(machine.runtime(), "cycles.db", {""}), 1h).value().value();
    ASSERT_TRUE(wait(database->write([](Connected& db) { return db.execute("UPDATE entries SET record = x'0102'"); })));
    world.wait_for(database->close(), 1h);
  }
  reopen();
  const auto loaded = wait(store->load());
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, Errc::corrupt);
  EXPECT_THAT(loaded.error().message, testing::HasSubstr("in the cycles database"));
}

Task<void> say_some(LedgerStore& store, std::vector<MadeEntry>& given, const MadeEntry& foreign, bool& foreign_kept) {
  for (int i = 0; i < 3; ++i) {
    auto made = co_await store.append(Pledge{static_cast<std::uint32_t>(i), 0}, 100 + i);
    if (!made) co_return;
    given.push_back(std::move(*made));
    if (i == 1) foreign_kept = (co_await store.add({{foreign.record, foreign.entry}})).has_value();
  }
}

/// Whether the run was over before the crash.
bool crash_after(std::uint64_t events, bool power) {
  Kept kept;
  sim::World world(events + 1);
  sim::Network network(world);
  sim::Machine machine(world, network, 0, 1 << 30);
  std::vector<MadeEntry> given;
  bool foreign_kept = false;
  const auto foreign = kept.foreign({});
  std::unique_ptr<LedgerStore> store;
  bool over = false;
  Runtime& runtime = machine.runtime();  // the one that the crash cuts off
  const auto run = [&]() -> Task<void> {
    auto opened = co_await kept.open(runtime);
    if (!opened) co_return;
    store = std::move(*opened);
    co_await say_some(*store, given, foreign, foreign_kept);
    over = true;
  };
  bool ended = false;
  asio::co_spawn(world.executor(), run(), [&](std::exception_ptr) { ended = true; });
  std::uint64_t passed = 0;
  world.run_until([&] { return passed++ == events || ended; }, 1h);
  const std::size_t given_before = given.size();
  const bool kept_before = foreign_kept, over_before = over;
  machine.crash(power);
  world.run_until([&] { return ended; }, 1h);
  EXPECT_TRUE(ended);
  if (store) world.wait_for(store->close(), 1h);
  given.resize(given_before, MadeEntry{});

  auto again = world.wait_for(kept.open(machine.runtime()), 1h).value();
  EXPECT_TRUE(again.has_value()) << events;
  if (!again) return true;
  const auto entries = world.wait_for((*again)->load(), 1h).value().value();
  const auto has = [&](const EntryId& id) { return std::ranges::count(entries, id, &Entry::id) == 1; };
  for (const MadeEntry& made : given) EXPECT_TRUE(has(made.entry.id)) << events;
  if (kept_before) EXPECT_TRUE(has(foreign.entry.id)) << events;
  const auto next = world.wait_for((*again)->append(Pledge{9, 0}, 100), 1h).value().value();
  EXPECT_GT(next.entry.number, given.size()) << events;
  EXPECT_LE(next.entry.number, given.size() + 2) << events << ": one more may be there that was not given out";
  const auto chain = world.wait_for((*again)->chain(next.entry.server, 1, 100), 1h).value().value();
  EXPECT_EQ(chain.size(), next.entry.number) << events;
  std::optional<EntryId> last;
  for (const auto& record : chain) {
    const auto entry = check_entry(record, kept.network).value();
    EXPECT_EQ(entry.previous, last) << events;
    last = entry.id;
  }
  world.wait_for((*again)->close(), 1h);
  return over_before;
}

TEST(LedgerStoreCrash, NothingThatWasGivenOutIsLostAtAnyStep) {
  for (const bool power : {false, true}) {
    std::uint64_t steps = 0;
    while (!crash_after(steps, power) && !testing::Test::HasFailure()) ++steps;
    EXPECT_GT(steps, 8u);
  }
}

}  // namespace
}  // namespace spatter::cycles
