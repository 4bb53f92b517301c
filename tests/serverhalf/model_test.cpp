// Aim: any order of putting, putting in pieces, releasing, reading, renewing and reopening agrees
// with a plain map; and whatever moment a process is killed at, every receipt it gave out holds.
// The first by RapidCheck, the second with a child process that reports its receipts through a pipe,
// the third (power failing, which tears what was not synced) on a disk in memory.
#include <rapidcheck.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory_disk.h"
#include "fixture.h"

namespace spatter {
namespace {

class ModelTest : public HolderTest {};

TEST_F(ModelTest, TheStoreAgreesWithAMap) {
  std::vector<Stripe> stripes;
  for (const std::uint64_t size : {1, 20000, 65536, 65537, 150000})
    stripes.push_back(make_stripe(random, alice, {.shard_size = size}));
  ::setenv("RC_PARAMS", "max_success=30", 0);  // each step waits for the disk
  const bool good = rc::check("a map", [&] {
    std::map<ShardKey, const Stripe*> model;
    const auto steps = *rc::gen::resize(25, rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1000)));
    for (const int step : steps) {
      const Stripe& stripe = stripes[static_cast<std::size_t>(step) % stripes.size()];
      const unsigned index = static_cast<unsigned>(step / 5) % 3;
      const ShardKey key = stripe.key(index);
      switch (step / 100) {
        case 0: case 1: case 2: case 3:
          RC_ASSERT(put(alice, stripe, index).has_value());
          model[key] = &stripe;
          break;
        case 4: case 5:
          RC_ASSERT(release(alice, {key}).value() == model.erase(key));
          break;
        case 6:
          RC_ASSERT(release(bob, {key}).has_value() == !model.contains(key));
          break;
        case 7:
          RC_ASSERT(holds(stripe, index) == model.contains(key));
          break;
        case 8:
          RC_ASSERT(check_one(key, step % 2) == model.contains(key));
          break;
        default:
          if (step % 7 == 0) reopen();
      }
      std::uint64_t bytes = 0;
      for (const auto& [kept, of] : model) bytes += of->facts.shard_size;
      RC_ASSERT(store->usage().shards == model.size());
      RC_ASSERT(store->usage().reserved == 0u);
      RC_ASSERT(store->kept_for(alice.person) == bytes);
    }
    const auto page = runtime.wait_for(store->list({.limit = 1000})).value();
    RC_ASSERT(page.shards.size() == model.size());
    for (const auto& shard : page.shards) RC_ASSERT(model.contains(shard.key));
    RC_ASSERT(fsck(true).clean());
    std::vector<ShardKey> all;
    for (const auto& [key, of] : model) all.push_back(key);
    RC_ASSERT(release(alice, all).value() == model.size());
    RC_ASSERT(store->usage().used == 0u);
  });
  EXPECT_TRUE(good);
}

/// What a child does until it is killed: puts shards of many sizes, eight at a time, and reports
/// the number of each one it has a receipt for.
Task<void> put_forever(ShardStore& store, Asker asker, const std::vector<Stripe>& stripes,
                       const std::vector<wire::Contract>& offers, std::size_t first, int pipe) {
  for (std::size_t i = first; i < stripes.size(); i += 8) {
    auto put = co_await store.put(asker, stripes[i].descriptor, offers[i], stripes[i].shards[0]);
    const auto number = static_cast<std::uint32_t>(i);
    if (put && ::write(pipe, &number, sizeof number) != sizeof number) ::_exit(2);
  }
}

TEST(KillTest, EveryReceiptHoldsWheneverTheProcessIsKilled) {
  TemporaryFolder folder;
  SeededRandom random(5);
  const Owner alice(random);
  const SigningKey holder_key = SigningKey::generate(random);
  const ServerId holder = server_id(holder_key.public_key());
  constexpr WallMs now_ms = 1'700'000'000'000;
  const ShardStoreOptions options{.budget_bytes = 1 << 30, .disk_reserve_bytes = 0};
  std::vector<Stripe> stripes;
  std::vector<wire::Contract> offers;
  for (int i = 0; i < 400; ++i) {
    stripes.push_back(make_stripe(random, alice, {.shard_size = i % 3 ? 2000u : 70000u}));
    offers.push_back(offer_contract(alice.server_key, stripes.back().facts, 0, holder, now_ms,
                                    now_ms + contract_term_ms));
  }
  std::set<std::uint32_t> receipts;
  for (int round = 0; round < 8; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      TestRuntime runtime(folder.path());
      auto store = runtime.wait_for(ShardStore::open(runtime, holder_key, options));
      if (!store) ::_exit(1);
      const auto run = [&]() -> Task<void> {
        TaskGroup group(runtime.executor());
        for (std::size_t first = 0; first < 8; ++first)
          group.spawn(put_forever(**store, alice.asker(), stripes, offers, first, ends[1]));
        co_await group.drain();
      };
      runtime.wait_for(run());
      ::_exit(0);
    }
    ::close(ends[1]);
    // Killed after so many receipts of this round, which is at another point each time.
    std::uint32_t number = 0;
    for (std::uint64_t left = 1 + random.below(60);
         left > 0 && ::read(ends[0], &number, sizeof number) == sizeof number; --left)
      receipts.insert(number);
    ::kill(child, SIGKILL);
    while (::read(ends[0], &number, sizeof number) == sizeof number) receipts.insert(number);
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << WEXITSTATUS(status);

    const pid_t checker = ::fork();  // threads of a runtime here would not survive the next fork
    ASSERT_GE(checker, 0);
    if (checker == 0) {
      TestRuntime runtime(folder.path());
      auto store = runtime.wait_for(ShardStore::open(runtime, holder_key, options));
      if (!store) ::_exit(1);
      const auto checkup = runtime.wait_for((*store)->fsck(true, false));
      if (!checkup || !checkup->clean()) ::_exit(2);
      for (const std::uint32_t one : receipts) {
        const auto part = runtime.wait_for((*store)->read(stripes[one].key(0), 0, 0));
        if (!part || to_bytes(part->leaves) != to_bytes(stripes[one].shards[0])) ::_exit(3);
      }
      runtime.wait_for((*store)->stop());
      ::_exit(0);
    }
    ASSERT_EQ(::waitpid(checker, &status, 0), checker);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(WEXITSTATUS(status), 0) << "1: did not open, 2: fsck found damage, 3: a receipt broken";
  }
  EXPECT_GT(receipts.size(), 20u);
}

Task<void> put_and_release_until(ShardStore& store, Asker asker, const std::vector<Stripe>& stripes,
                                 const std::vector<wire::Contract>& offers, std::size_t first,
                                 std::map<std::size_t, bool>& promised, int& left,
                                 std::function<void()> crash) {
  for (std::size_t i = first; i < stripes.size() && left > 0; i += 6) {
    promised.erase(i);  // either is right while it is under way
    if (!co_await store.put(asker, stripes[i].descriptor, offers[i], stripes[i].shards[0])) co_return;
    if (left > 0) promised[i] = true;
    if (--left == 0) crash();
    if (i % 4 || left <= 0) continue;
    promised.erase(i);
    if (!co_await store.release(asker, {stripes[i].key(0)}, 1)) co_return;
    if (left > 0) promised[i] = false;
  }
}

TEST(CrashTest, EveryReceiptHoldsWhateverPowerFailureTears) {
  TemporaryFolder folder;
  SeededRandom random(9);
  const Owner alice(random);
  const SigningKey holder_key = SigningKey::generate(random);
  constexpr WallMs now_ms = 1'700'000'000'000;
  const ShardStoreOptions options{.budget_bytes = 1 << 30,
                                  .disk_reserve_bytes = 0,
                                  .releases_noted_max = 3};
  std::vector<Stripe> stripes;
  std::vector<wire::Contract> offers;
  for (int i = 0; i < 60; ++i) {
    stripes.push_back(make_stripe(random, alice, {.shard_size = i % 3 ? 70000u : 2000u}));
    offers.push_back(offer_contract(alice.server_key, stripes.back().facts, 0,
                                    server_id(holder_key.public_key()), now_ms,
                                    now_ms + contract_term_ms));
  }
  auto disk = std::make_unique<MemoryDisk>();
  std::map<std::size_t, bool> promised;  // true: a receipt, false: released
  for (int round = 0; round < 60; ++round) {
    std::unique_ptr<MemoryDisk> after;
    {
      TestRuntime runtime(folder.path(), disk.get());
      auto store = runtime.wait_for(ShardStore::open(runtime, holder_key, options));
      ASSERT_TRUE(store.has_value()) << store.error().message;
      const auto checkup = runtime.wait_for((*store)->fsck(true, false));
      ASSERT_TRUE(checkup && checkup->clean()) << checkup->damage.at(0).text;
      for (const auto& [i, kept] : promised) {
        const auto part = runtime.wait_for((*store)->read(stripes[i].key(0), 0, 0));
        ASSERT_EQ(part.has_value(), kept)
            << round << ": shard " << i << (part ? "" : ": " + part.error().message);
        if (kept) ASSERT_EQ(to_bytes(part->leaves), to_bytes(stripes[i].shards[0]));
      }
      std::vector<ShardKey> all;
      for (const Stripe& stripe : stripes)
        if (round % 5 == 0) all.push_back(stripe.key(0));
      if (!all.empty()) {
        ASSERT_TRUE(runtime.wait_for((*store)->release(alice.asker(), all, 1)));
        promised.clear();
      }
      int left = static_cast<int>(1 + random.below(40));
      const auto run = [&]() -> Task<void> {
        TaskGroup group(runtime.executor());
        for (std::size_t first = 0; first < 6; ++first)
          group.spawn(put_and_release_until(**store, alice.asker(), stripes, offers, first,
                                            promised, left, [&] { after = disk->crash(random); }));
        co_await group.drain();
      };
      runtime.wait_for(run());
      if (!after) after = disk->crash(random);
      runtime.wait_for((*store)->stop());
    }
    disk = std::move(after);
  }
}

}  // namespace
}  // namespace spatter
