// Aim: the keeper brings what was written into the shape that the network has, whatever it was
// when it was written, never with fewer copies on the way, and who waits is told the truth.
// Method: keepers over simulated servers in virtual time.
#include <gtest/gtest.h>

#include "cluster.h"
#include "spatter/roots.h"

namespace spatter {
namespace {

struct Kept : Cluster {
  explicit Kept(unsigned others, std::uint64_t seed = 1, KeeperOptions options = {})
      : Cluster(seed) {
    for (unsigned i = 0; i <= others; ++i) add();
    owner = std::make_unique<Owner>(*this, *servers[0], options);
    owner->keeper->start();
  }
  ~Kept() { owner.reset(); }

  StripeTable& table() { return *servers[0]->table; }
  void wait_idle(Duration limit = 10min) { wait(owner->keeper->wait_idle(), limit); }
  Result<void> wait_for(PackPosition position, Level level, Duration limit = 10min) {
    return wait(owner->keeper->wait_for(position, level), limit);
  }
  /// Shards that holders really keep, of all servers.
  std::uint64_t kept_shards() {
    std::uint64_t sum = 0;
    for (auto& server : servers)
      if (server->running) sum += server->store->usage().shards;
    return sum;
  }
  std::uint64_t known_shards() {
    std::uint64_t sum = 0;
    for (const auto& stripe : table().all()) sum += stripe->shards.size();
    return sum;
  }

  std::unique_ptr<Owner> owner;
};

TEST(Keeper, TheFirstMachinesExactlyAsDesigned) {
  Kept k(0);
  auto& own = *k.servers[0];
  const auto one = k.owner->packs.add_sealed(3 << 20);
  const auto two = k.owner->packs.add_sealed(2 << 20);
  ASSERT_TRUE(k.wait_for(two, Level::full));
  k.wait_idle();
  EXPECT_EQ(own.store->usage().shards, 2u);  // alone: a copy in the own server half

  // At no moment fewer safe copies than before: watched at every change of the table.
  std::map<PackId, unsigned> copies;
  k.table().on_change([&] {
    for (const auto& pack : {one.pack, two.pack}) {
      unsigned best = 0;
      for (const auto& stripe : k.table().of_pack(pack)) {
        std::set<ServerId> holders;
        std::set<std::uint16_t> indices;
        for (const auto& shard : stripe->shards) {
          holders.insert(shard.holder);
          indices.insert(shard.index);
        }
        if (stripe->k == 1)
          best = std::max<unsigned>(best, static_cast<unsigned>(holders.size()));
        else
          best = std::max<unsigned>(best, static_cast<unsigned>(indices.size()) / stripe->k);
      }
      EXPECT_GE(best, copies[pack]);
      copies[pack] = std::min(best, 3u);
    }
  });

  k.add();
  k.wait_idle();
  EXPECT_EQ(own.store->usage().shards, 2u);  // one there and one here
  EXPECT_EQ(k.servers[1]->store->usage().shards, 2u);
  EXPECT_EQ(k.owner->report().can_lose, 1u);

  k.add();
  k.wait_idle();
  for (auto& server : k.servers) EXPECT_EQ(server->store->usage().shards, 2u);

  k.add();
  k.wait_idle();
  EXPECT_EQ(own.store->usage().shards, 0u);  // three copies elsewhere: the own one is dropped
  for (unsigned i = 1; i <= 3; ++i) EXPECT_EQ(k.servers[i]->store->usage().shards, 2u);
  EXPECT_EQ(k.owner->report().can_lose, 2u);

  k.add();
  k.wait_idle();
  for (const auto& stripe : k.table().all()) EXPECT_EQ(stripe->k, 4u);
  for (unsigned i = 1; i <= 4; ++i) EXPECT_EQ(k.servers[i]->store->usage().shards, 6u);
  EXPECT_EQ(k.owner->report().can_lose, 2u);

  for (int i = 5; i <= 8; ++i) k.add();  // doubled: widened
  k.wait_idle();
  for (const auto& stripe : k.table().all()) EXPECT_EQ(stripe->k, 8u);
  const auto report = k.owner->report();
  EXPECT_EQ(report.full, report.total);
  EXPECT_EQ(report.can_lose, 5u);
  EXPECT_EQ(report.widest_k, 8u);
  EXPECT_EQ(k.kept_shards(), k.known_shards());
  k.owner->expect_reads_back(one.pack);
  k.owner->expect_reads_back(two.pack);
}

TEST(Keeper, ANewcomerIsFilledWithoutReencoding) {
  Kept k(5);
  for (int i = 0; i < 6; ++i) k.owner->packs.add_sealed(4 << 20);
  ASSERT_TRUE(k.wait_for(k.owner->packs.end(), Level::full));
  k.wait_idle();
  auto& newcomer = k.add();
  k.wait_idle();
  for (const auto& stripe : k.table().all()) EXPECT_EQ(stripe->k, 5u);
  // 15 shards over six: two or three each.
  EXPECT_GE(newcomer.store->usage().shards, 12u);
  EXPECT_LE(newcomer.store->usage().shards, 18u);
  EXPECT_EQ(k.kept_shards(), k.known_shards());
  EXPECT_EQ(k.owner->report().full, k.owner->report().total);
}

TEST(Keeper, SafeIsQuickAndNarrowThenFolded) {
  Kept k(7);
  for (int i = 0; i < 50; ++i) {
    const auto position = k.owner->packs.append(16384);
    const auto before = k.world.now();
    ASSERT_TRUE(k.wait_for(position, Level::safe));
    EXPECT_LT(k.world.now() - before, 100ms);
  }
  EXPECT_EQ(k.table().size(), 50u);
  k.wait_idle();
  EXPECT_LE(k.table().size(), 3u);
  for (const auto& stripe : k.table().all()) EXPECT_EQ(stripe->k, 7u);
  EXPECT_EQ(k.owner->report().can_lose, 4u);
  EXPECT_EQ(k.kept_shards(), k.known_shards());
  const auto sealed = k.owner->packs.seal_now();
  k.wait_idle();
  EXPECT_EQ(k.table().size(), 1u);
  EXPECT_EQ(k.kept_shards(), 21u);
  k.owner->expect_reads_back(sealed.pack);
}

TEST(Keeper, FullMeansThatTwoThirdsMayDieAtOnce) {
  Kept k(7);
  k.owner->packs.add_sealed(20 << 20);
  const auto position = k.owner->packs.append(123456);
  ASSERT_TRUE(k.wait_for(position, Level::full));
  const auto report = k.owner->report();
  EXPECT_EQ(report.can_lose, 4u);
  EXPECT_EQ(report.backlog_bytes, 0u);
  for (const auto& pack : k.owner->packs.list())
    static_cast<void>(k.wait(k.owner->packs.drop_local(pack.id)));
  for (unsigned i = 1; i <= 4; ++i) k.kill(*k.servers[i]);
  for (const auto& pack : k.owner->packs.list()) k.owner->expect_reads_back(pack.id);
}

TEST(Keeper, WaitersAtTheSameTimeShareSlices) {
  Kept k(7);
  unsigned done = 0;
  TaskGroup group(k.world.executor());
  struct Run {
    static Task<void> one(Kept* k, unsigned* done) {
      const auto position = k->owner->packs.append(16384);
      if (co_await k->owner->keeper->wait_for(position, Level::safe)) ++*done;
    }
  };
  for (int i = 0; i < 200; ++i) group.spawn(Run::one(&k, &done));
  k.wait(group.drain());
  EXPECT_EQ(done, 200u);
  EXPECT_LT(k.table().size(), 20u);
}

TEST(Keeper, WaitersLearnWhyItCannotBe) {
  Kept k(3);
  k.owner->packs.append(1000);
  for (auto& server : k.servers) server->store->set_budget(1);
  const auto result = k.wait_for(k.owner->packs.append(5000), Level::full);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Errc::no_space) << result.error().message;
}

// Members that are full are members still: a full network is not one with fewer machines, of which less
// is asked.
TEST(Keeper, FullServersMakeNothingFull) {
  Kept k(4);
  ASSERT_TRUE(k.wait_for(k.owner->packs.append(100'000), Level::full));
  for (unsigned i = 1; i <= 4; ++i) k.servers[i]->store->set_budget(1);
  for (const auto level : {Level::full, Level::safe}) {
    const auto result = k.wait_for(k.owner->packs.append(5000), level);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, Errc::no_space) << result.error().message;
    EXPECT_NE(result.error().message.find("add servers"), std::string::npos) << result.error().message;
  }
  k.world.run_for(5min);
  auto report = k.owner->report();
  EXPECT_EQ(report.full, report.total);  // what was full before
  EXPECT_GT(report.backlog_bytes, 0u);
  EXPECT_EQ(report.can_lose, 0u) << "some of it is here alone";
  EXPECT_EQ(k.servers[0]->store->usage().shards, 0u) << "nothing in the own server half counts";
  EXPECT_FALSE(k.wait_for(k.owner->packs.end(), Level::full).has_value());
  for (unsigned i = 1; i <= 4; ++i) k.servers[i]->store->set_budget(64ull << 30);
  k.world.run_for(2min);
  ASSERT_TRUE(k.wait_for(k.owner->packs.end(), Level::full));
  EXPECT_EQ(k.owner->report().can_lose, 2u);
}

// A sealed pack of which the last holders took a part: nothing is under way any more, and who waits must
// not wait for ever.
TEST(Keeper, WhoWaitsForAPackThatNobodyTakesWholeIsTold) {
  Kept k(3);
  k.servers[2]->store->set_budget(1);
  const auto begun = k.world.now();
  const auto result = k.wait_for(k.owner->packs.add_sealed(3 << 20), Level::full);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Errc::no_space) << result.error().message;
  EXPECT_LT(k.world.now() - begun, 1min);
  EXPECT_EQ(k.owner->report().safe, 1u);
  EXPECT_EQ(k.owner->report().full, 0u);
}

TEST(Keeper, ANetworkThatFillsUpSaysSoAndCallsNothingFullThatIsNot) {
  Kept k(4);
  for (unsigned i = 1; i <= 4; ++i) k.servers[i]->store->set_budget((12 + 3 * i) << 20);
  Result<void> result;
  for (int i = 0; i < 20 && result; ++i) {
    k.owner->packs.append(7 << 20);
    const auto position = k.owner->packs.seal_now();
    const auto begun = k.world.now();
    result = k.wait_for(position, Level::full);
    EXPECT_LT(k.world.now() - begun, 2min);
  }
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Errc::no_space) << result.error().message;
  k.world.run_for(10min);
  const auto report = k.owner->report();
  if (report.full == report.total) EXPECT_GE(report.copies_min, 3);
  EXPECT_GT(report.backlog_bytes + (report.total - report.full), 0u);
}

TEST(Keeper, NothingIsReleasedUnlessAllowed) {
  Kept k(4);
  const auto first = k.owner->packs.add_sealed(100'000);
  k.owner->packs.add_sealed(100'000);
  ASSERT_TRUE(k.wait_for(k.owner->packs.end(), Level::full));
  k.wait_idle();
  bool allowed = false;
  k.owner->keeper->set_may_release([&](ServerId) -> Task<Result<void>> {
    if (!allowed) co_return fail(Errc::corrupt, "the index is not the newest");
    co_return Result<void>{};
  });
  k.owner->packs.remove(first.pack);
  k.world.run_for(5min);
  EXPECT_EQ(k.kept_shards(), 24u);
  allowed = true;
  k.world.run_for(1min);
  EXPECT_EQ(k.kept_shards(), 12u);
}

// An index that was set back (an old copy of the drive's files) does not know the newest packs. It
// must not take their shards for leftovers.
TEST(Keeper, StripesOfPacksThatComeAfterAllKnownOnesAreLeftAlone) {
  Kept k(4);
  k.owner->packs.add_sealed(100'000);
  const auto second = k.owner->packs.add_sealed(100'000);
  ASSERT_TRUE(k.wait_for(second, Level::full));
  k.wait_idle();
  k.wait(k.owner->keeper->stop());
  EXPECT_EQ(k.kept_shards(), 24u);
  auto& own = *k.servers[0];
  const auto forget_second = [&] {
    k.owner->packs.on_removed = {};
    k.owner->packs.remove(second.pack);
  };
  forget_second();
  const auto run = [&] {
    std::optional<Error> behind;
    Keeper next(own.context(), k.owner->owned(), k.owner->packs, k.owner->reader);
    next.on_behind([&](Error why) { behind = std::move(why); });
    next.start();
    k.world.run_for(5min);
    EXPECT_EQ(k.kept_shards(), 24u);
    EXPECT_TRUE(behind.has_value());
    k.wait(next.stop());
  };
  run();  // with a table that still knows their stripes
  k.wait(own.table->close());
  for (const auto& file : own.machine.disk().files())
    if (file.starts_with("user/")) static_cast<void>(own.machine.disk().remove(file));
  own.table = k.wait(StripeTable::open(own.runtime(), "user/stripes.db")).value();
  k.world.run_for(1s);
  Keeper next(own.context(), k.owner->owned(), k.owner->packs, k.owner->reader);
  bool behind = false;
  next.on_behind([&](Error) { behind = true; });
  next.start();
  k.world.run_for(5min);
  EXPECT_TRUE(behind);
  EXPECT_GE(k.kept_shards(), 24u);
  k.wait(next.stop());
}

TEST(Keeper, AHolderThatSaysItLostSomeIsAskedAtOnce) {
  Kept k(5);
  const auto position = k.owner->packs.add_sealed(4 << 20);
  ASSERT_TRUE(k.wait_for(position, Level::full));
  k.wait_idle();
  k.world.run_for(1min);
  auto& forgetful = *k.servers[2];
  const auto page = k.wait(forgetful.store->list({})).value();
  std::vector<ShardKey> keys;
  for (const auto& shard : page.shards) keys.push_back(shard.key);
  k.wait(forgetful.store->release({k.servers[0]->id(), k.servers[0]->identity.person}, keys, 1))
      .value();
  k.owner->keeper->holder_lost_some(forgetful.id());
  k.world.run_for(10s);
  k.wait_idle();
  EXPECT_EQ(forgetful.store->usage().shards, 3u);
}

TEST(Keeper, ShardsThatAHolderLostAreRebuilt) {
  KeeperOptions options;
  options.check_every = 1h;
  Kept k(5, 1, options);
  const auto position = k.owner->packs.add_sealed(4 << 20);
  ASSERT_TRUE(k.wait_for(position, Level::full));
  k.wait_idle();
  auto& forgetful = *k.servers[2];
  const auto page = k.wait(forgetful.store->list({})).value();
  std::vector<ShardKey> keys;
  for (const auto& shard : page.shards) keys.push_back(shard.key);
  ASSERT_EQ(keys.size(), 3u);
  k.wait(forgetful.store->release({k.servers[0]->id(), k.servers[0]->identity.person}, keys, 1))
      .value();
  k.world.run_for(2h);
  k.wait_idle();
  EXPECT_EQ(forgetful.store->usage().shards, 3u);
  EXPECT_EQ(k.owner->report().full, 1u);
}

TEST(Keeper, RottenShardsFoundByReadingAreRewritten) {
  Kept k(5);
  const auto position = k.owner->packs.add_sealed(5 << 20);
  ASSERT_TRUE(k.wait_for(position, Level::full));
  k.wait_idle();
  auto& disk = k.servers[3]->machine.disk();
  for (const auto& file : disk.files())
    if (file.find("shards/") != std::string::npos)
      for (int bit = 0; bit < 300; ++bit) disk.flip_bit(file, k.world.random());
  k.owner->expect_reads_back(position.pack);
  k.world.run_for(1s);
  k.wait_idle();
  // What was read was found and put right; the others hold what they held.
  std::uint64_t whole = 0;
  const auto page = k.wait(k.servers[3]->store->list({})).value();
  for (const auto& shard : page.shards)
    whole += k.wait(k.servers[3]->store->check({shard.key}, true)).value().front();
  EXPECT_GE(whole, 1u);
  k.owner->expect_reads_back(position.pack);
}

TEST(Keeper, AHolderGonePastTheGraceIsReplaced) {
  KeeperOptions options;
  options.grace = 10min;
  Kept k(6, 1, options);
  const auto position = k.owner->packs.add_sealed(4 << 20);
  ASSERT_TRUE(k.wait_for(position, Level::full));
  k.wait_idle();
  const auto gone = k.servers[4]->id();
  k.kill(*k.servers[4]);
  k.world.run_for(5min);
  EXPECT_EQ(k.known_shards(), 18u);  // within the grace nothing is moved
  EXPECT_EQ(k.owner->report().safe, 1u);
  // At once when it is over, though nothing else happens then.
  k.world.run_for(5min + 15s);
  EXPECT_EQ(k.owner->report().full, 1u);
  for (const auto& shard : k.table().all().front()->shards) EXPECT_NE(shard.holder, gone);
}

TEST(Keeper, ARemovedPackIsReleasedEverywhere) {
  Kept k(5);
  const auto first = k.owner->packs.add_sealed(1 << 20);
  const auto second = k.owner->packs.add_sealed(1 << 20);
  ASSERT_TRUE(k.wait_for(second, Level::full));
  k.wait_idle();
  k.owner->packs.remove(first.pack);
  k.wait_idle();
  EXPECT_EQ(k.kept_shards(), 15u);
  EXPECT_EQ(k.known_shards(), 15u);
  EXPECT_TRUE(k.table().of_pack(first.pack).empty());
}

TEST(Keeper, WhatACrashLeftAtHoldersIsReleased) {
  Kept k(4);
  // A stripe of an earlier run that never came into the table.
  auto& own = *k.servers[0];
  k.wait(k.owner->keeper->stop());
  const auto position = k.owner->packs.add_sealed(100000);
  {
    struct Source final : PackBytes {
      explicit Source(PackStore& store) : packs(store) {}
      Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) override {
        return packs.read(pack, offset, length, ReadFrom::anywhere);
      }
      PackStore& packs;
    } source(k.owner->packs);
    StripeWriter writer(own.context(), k.owner->owned(), source);
    StripeLabel label{.pack = position.pack, .offset = 0, .length = 100000, .pack_sequence = 1};
    ASSERT_TRUE(k.wait(writer.write(label, shape_for(4), {})).has_value());
    k.wait(writer.stop());
  }
  k.wait(own.table->close());
  for (const auto& file : own.machine.disk().files())
    if (file.starts_with("user/")) static_cast<void>(own.machine.disk().remove(file));
  own.table = k.wait(StripeTable::open(own.runtime(), "user/stripes.db")).value();
  EXPECT_EQ(k.kept_shards(), 12u);
  const auto packs_known = k.owner->packs.list();
  ASSERT_EQ(packs_known.size(), 1u);

  // The next run ships the pack anew and finds the leftovers.
  k.world.run_for(1s);
  Keeper next(own.context(), k.owner->owned(), k.owner->packs, k.owner->reader);
  next.start();
  ASSERT_TRUE(k.wait(next.wait_for(position, Level::full)).has_value());
  k.world.run_for(1min);
  k.wait(next.wait_idle());
  EXPECT_EQ(k.kept_shards(), 12u);
  EXPECT_EQ(k.known_shards(), 12u);
  k.wait(next.stop());
}

/// When each contract ends, in days from now, as the owner's table and as the holders have it.
struct Ends {
  std::vector<std::int64_t> owner;
  std::vector<std::int64_t> holders;
};
Ends ends_of(Kept& k) {
  constexpr std::int64_t day_ms = 24 * 3600 * 1000;
  const auto now = k.servers[0]->runtime().wall_ms();
  const auto days = [&](const wire::Contract& contract) {
    return (check_contract(contract).value().until_ms - now) / day_ms;
  };
  Ends ends;
  for (const auto& row : k.wait(k.table().contracts(10'000)).value()) {
    wire::Contract contract;
    EXPECT_TRUE(contract.ParseFromArray(row.contract.data(), static_cast<int>(row.contract.size())));
    ends.owner.push_back(days(contract));
  }
  for (auto& server : k.servers) {
    if (!server->running) continue;
    for (const auto& shard : k.wait(server->store->list({.limit = 1024})).value().shards)
      ends.holders.push_back(days(shard.contract));
  }
  std::ranges::sort(ends.owner);
  std::ranges::sort(ends.holders);
  return ends;
}

TEST(Keeper, ContractsAreRenewedFromTwoThirdsOfTheirTermOnWithoutMovingBytes) {
  Kept k(5, 1, {.check_every = 1h});
  const auto jump = [&](int days) {
    for (auto& server : k.servers)
      server->machine.set_wall_offset_ms(server->machine.wall_offset_ms() +
                                         days * std::int64_t{24} * 3600 * 1000);
  };
  const auto pack = k.owner->packs.add_sealed(3 << 20);
  ASSERT_TRUE(k.wait_for(k.owner->packs.append(5000), Level::full));
  k.wait_idle();
  const auto stripes = k.table().size();
  const auto sent = k.kept_shards();
  EXPECT_EQ(ends_of(k).owner.front(), 89);

  jump(55);
  k.world.run_for(2h);
  EXPECT_EQ(ends_of(k).owner.back(), 34);  // not due yet

  jump(8);
  k.world.run_for(2h);
  auto ends = ends_of(k);
  EXPECT_EQ(ends.owner.front(), 89);
  EXPECT_EQ(ends.owner, ends.holders);

  for (int i = 0; i < 5; ++i) {  // more than a year
    jump(80);
    k.world.run_for(2h);
  }
  ends = ends_of(k);
  EXPECT_EQ(ends.owner.front(), 89);
  EXPECT_EQ(ends.owner, ends.holders);
  EXPECT_EQ(k.table().size(), stripes);
  EXPECT_EQ(k.kept_shards(), sent);
  EXPECT_EQ(k.owner->report().full, k.owner->report().total);
  k.owner->expect_reads_back(pack.pack);
}

TEST(Keeper, WhoWaitsForSafeDoesNotWaitForTheTable) {
  Kept k(6);
  auto& own = *k.servers[0];
  const auto position = k.owner->packs.append(20480);
  ASSERT_TRUE(k.wait_for(position, Level::safe));
  const auto stripes = k.table().of_pack(position.pack);
  ASSERT_EQ(stripes.size(), 1u);
  EXPECT_FALSE(k.table().is_recorded(stripes[0]->id));
  k.world.run_for(50ms);
  EXPECT_TRUE(k.table().is_recorded(stripes[0]->id));
  k.wait(own.table->close());
  own.table = k.wait(StripeTable::open(own.runtime(), "user/stripes.db")).value();
  ASSERT_NE(k.table().find(stripes[0]->id), nullptr);
  EXPECT_EQ(k.table().find(stripes[0]->id)->shards.size(), 3u);
}

TEST(Keeper, APackIsNotCalledFullBeforeItsRowsAreDurable) {
  Kept k(6);
  const auto position = k.owner->packs.add_sealed(20480);
  ASSERT_TRUE(k.wait_for(position, Level::full));
  const auto& stripes = k.table().of_pack(position.pack);
  ASSERT_EQ(stripes.size(), 1u);
  EXPECT_EQ(k.owner->keeper->is_full(position.pack), k.table().is_recorded(stripes[0]->id));
  ASSERT_TRUE(k.wait(k.table().flush()));
  EXPECT_TRUE(k.owner->keeper->is_full(position.pack));
}

TEST(Keeper, WhatWasCalledSafeIsWithOthersWhenThePowerFailsAtThatMoment) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Kept k(6, seed);
    auto& own = *k.servers[0];
    std::vector<PackPosition> positions;
    for (unsigned i = 0; i <= seed % 3; ++i) {
      positions.push_back(k.owner->packs.append(4096 * (1 + seed)));
      ASSERT_TRUE(k.wait_for(positions.back(), Level::safe));
    }
    const auto expected = k.owner->packs.bytes(positions.back().pack);
    own.machine.crash(true);
    k.owner.reset();
    k.kill(own);
    // Two of the three holders of the last slice may be gone as well: any one shard is a copy.
    auto& fresh = k.add(own.person);
    Owner heir(k, fresh);
    const auto found = k.wait(recover_stripes(fresh.context(), heir.owned()));
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_EQ(found->packs.size(), 1u);
    EXPECT_EQ(found->packs[0].length, positions.back().offset);
    for (const auto& stripe : fresh.table->of_pack(positions.back().pack))
      EXPECT_GE(stripe->shards.size(), 2u);
    const auto back = k.wait(heir.reader.read(positions.back().pack, 0, positions.back().offset));
    ASSERT_TRUE(back.has_value()) << back.error().message;
    EXPECT_TRUE(std::ranges::equal(back->view(), expected));
  }
}

TEST(StripeTable, RowsThatTheDiskRefusesAreTriedAgainAndNewOnesRefusedMeanwhile) {
  Kept k(6);
  auto& own = *k.servers[0];
  const auto position = k.owner->packs.append(20480);
  ASSERT_TRUE(k.wait_for(position, Level::safe));
  const auto id = k.table().of_pack(position.pack).front()->id;
  auto& disk = own.machine.disk();
  disk.set_foreign_bytes(disk.capacity_bytes() - disk.used_bytes());
  EXPECT_FALSE(k.wait(k.table().flush()));
  EXPECT_FALSE(k.table().is_recorded(id));
  ASSERT_NE(k.table().find(id), nullptr);
  Stripe another = *k.table().find(id);
  another.id.bytes[0] ^= 1;
  EXPECT_FALSE(k.wait(k.table().add(another, {}, {})));
  EXPECT_EQ(k.table().find(another.id), nullptr);
  disk.set_foreign_bytes(0);
  k.world.run_for(2s);
  EXPECT_TRUE(k.table().is_recorded(id));
}

TEST(Recover, EveryPackComesBackFromTheSecretAlone) {
  Cluster cluster;
  for (int i = 0; i < 6; ++i) cluster.add();
  auto& old = *cluster.servers[0];
  const auto secret = old.person;
  std::map<PackId, Bytes> expected;
  {
    Owner owner(cluster, old);
    owner.keeper->start();
    owner.packs.add_sealed(3 << 20);
    owner.packs.add_sealed(5 << 20);
    const auto position = owner.packs.append(40960);
    ASSERT_TRUE(cluster.wait(owner.keeper->wait_for(position, Level::full)).has_value());
    for (const auto& pack : owner.packs.list()) expected[pack.id] = owner.packs.bytes(pack.id);
    wire::RootRecord root;
    root.set_person(secret.person().raw());
    root.set_volume(Owner::volume_id().raw());
    root.set_number(1);
    root.set_writer(old.id().raw());
    root.set_version(4);
    const auto sealed = VolumeKeys::derive(secret, Owner::volume_id()).metadata.seal(Owner::volume_id().view(), {});
    root.set_sealed(sealed.data(), sealed.size());
    const auto record = sign_message(old.identity.person_key, kind::root, root);
    for (const auto& server : cluster.servers) {
      const auto taken = cluster.wait(give_root(old.context(), server->id(), record));
      ASSERT_TRUE(taken.has_value()) << taken.error().message;
    }
  }
  cluster.kill(old);
  cluster.kill(*cluster.servers[2]);

  auto& fresh = cluster.add(secret);
  auto volumes = cluster.wait(find_volumes(fresh.context())).value().volumes;
  ASSERT_EQ(volumes.size(), 1u);
  EXPECT_EQ(volumes[0].volume, Owner::volume_id());
  EXPECT_EQ(volumes[0].writer, old.id());
  EXPECT_EQ(volumes[0].root.version(), 4u);
  EXPECT_FALSE(volumes[0].has_server());
  // The volume was made under a secret that is neither the first nor the newest of the person's.
  auto chance = SeededRandom(5);
  const std::vector secrets{PersonSecret::generate(chance), secret, PersonSecret::generate(chance)};
  const auto without = PersonKeys::from_secrets({secrets[0], secrets[2]}, {}).value();
  EXPECT_FALSE(keys_of_volume(without, volumes[0].root));
  const auto person_keys = PersonKeys::from_secrets(secrets, {}).value();
  EXPECT_TRUE(keys_of_volume(person_keys, volumes[0].root));
  ASSERT_TRUE(cluster.wait(find_empty_volumes(fresh.context(), person_keys, volumes)).has_value());
  EXPECT_FALSE(volumes[0].empty);
  Owner owner(cluster, fresh);
  const auto found = cluster.wait(recover_stripes(fresh.context(), owner.owned()));
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_EQ(found->stripes_unreadable, 0u);
  EXPECT_EQ(found->silent.size(), 2u);
  ASSERT_EQ(found->packs.size(), 3u);
  for (std::size_t i = 0; i < found->packs.size(); ++i) {
    const auto& pack = found->packs[i];
    EXPECT_EQ(pack.sequence, i + 1);
    EXPECT_EQ(pack.sealed, i < 2);
    ASSERT_EQ(pack.length, expected[pack.pack].size());
    const auto bytes = cluster.wait(owner.reader.read(pack.pack, 0, pack.length));
    ASSERT_TRUE(bytes.has_value()) << bytes.error().message;
    EXPECT_TRUE(std::equal(bytes->view().begin(), bytes->view().end(),
                           expected[pack.pack].begin()));
  }
  // A stranger with another secret finds nothing.
  auto& stranger = cluster.add();
  EXPECT_TRUE(cluster.wait(find_volumes(stranger.context()))->volumes.empty());
}

}  // namespace
}  // namespace spatter
