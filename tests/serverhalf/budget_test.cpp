// Aim: the half is never passed, whatever is offered and however it races; room that is not used
// comes back; and the share rule does what its header says.
#include "fixture.h"
#include "ledger.h"

namespace spatter {
namespace {

class BudgetTest : public HolderTest {
 protected:
  BudgetTest() {
    options.budget_bytes = 12 << 20;
    reopen();
  }
  void expect_within_budget() {
    const auto usage = store->usage();
    EXPECT_LE(usage.used + usage.reserved, usage.budget);
    EXPECT_LE(bytes_on_disk(), usage.budget);
  }
};

/// Spawned many at a time: counts what came of it.
struct Tally {
  int kept = 0;
  int no_space = 0;
  int other = 0;
};
Task<void> put_and_count(ShardStore& store, Asker asker, const Stripe& stripe, unsigned index,
                         wire::Contract contract, Tally& tally) {
  const auto put =
      co_await store.put(asker, stripe.descriptor, std::move(contract), stripe.shards[index]);
  ++(put ? tally.kept : put.error().code == Errc::no_space ? tally.no_space : tally.other);
}

TEST_F(BudgetTest, RacingPutsOfAllSizesNeverPassTheHalf) {
  for (const std::uint64_t size : {std::uint64_t{1} << 20, std::uint64_t{60000}, std::uint64_t{9000},
                                   std::uint64_t{300}}) {
    std::vector<Stripe> stripes;
    for (int i = 0; i < 40; ++i)
      stripes.push_back(make_stripe(random, i % 2 ? alice : bob, {.shard_size = size}));
    Tally tally;
    const auto race = [&]() -> Task<void> {
      TaskGroup group(runtime.executor());
      for (std::size_t i = 0; i < stripes.size(); ++i)
        for (unsigned index = 0; index < 3; ++index)
          group.spawn(put_and_count(*store, (i % 2 ? alice : bob).asker(), stripes[i], index,
                                    offer(i % 2 ? alice : bob, stripes[i], index), tally));
      co_await group.drain();
    };
    runtime.wait_for(race());
    EXPECT_EQ(tally.other, 0);
    if (size == 1 << 20) {
      EXPECT_GE(tally.kept, 8);
      EXPECT_LE(tally.kept, 11);
    }
    expect_within_budget();
    EXPECT_EQ(store->usage().reserved, 0u);
  }
  EXPECT_TRUE(fsck(true).clean());
  reopen();
  expect_within_budget();
}

TEST_F(BudgetTest, SmallShardsAloneFillTheHalfAndNoMore) {
  Tally tally;
  std::vector<Stripe> stripes;
  for (int i = 0; i < 400; ++i)
    stripes.push_back(make_stripe(random, alice, {.shard_size = 15000}));
  const auto fill = [&]() -> Task<void> {
    TaskGroup group(runtime.executor());
    for (const Stripe& stripe : stripes)
      for (unsigned index = 0; index < 3; ++index)
        group.spawn(put_and_count(*store, alice.asker(), stripe, index,
                                  offer(alice, stripe, index), tally));
    co_await group.drain();
  };
  runtime.wait_for(fill());
  EXPECT_GT(tally.kept, 300) << "of about 700 that could be there without any overhead";
  EXPECT_GT(tally.no_space, 0);
  EXPECT_EQ(tally.other, 0);
  expect_within_budget();
}

TEST_F(BudgetTest, BegunShardsHoldTheirRoomInFullUntilTheyEnd) {
  std::vector<std::uint64_t> handles;
  Result<std::uint64_t> last = 0;
  while (true) {
    last = runtime.wait_for(store->begin(alice.asker(), {random.id<StripeId>(), 0}, 4 << 20,
                                         {alice.volume, 1}));
    if (!last) break;
    handles.push_back(*last);
  }
  EXPECT_EQ(handles.size(), 2u);
  EXPECT_EQ(last.error().code, Errc::no_space);
  EXPECT_THAT(last.error().message, testing::HasSubstr("free"));
  const Stripe stripe = make_stripe(random, bob, {.shard_size = 4 << 20});
  EXPECT_EQ(put(bob, stripe, 0).error().code, Errc::no_space);
  ASSERT_TRUE(runtime.wait_for(store->abort(alice.asker(), handles[0])));
  EXPECT_TRUE(put(bob, stripe, 0));
  expect_within_budget();
}

TEST_F(BudgetTest, WhatIsBegunAndLeftAloneExpiresWithItsFile) {
  const auto handle = runtime.wait_for(store->begin(alice.asker(), {random.id<StripeId>(), 0},
                                                    1 << 20, {alice.volume, 1})).value();
  ASSERT_TRUE(runtime.wait_for(
      store->write(alice.asker(), handle, 0, Buffer::copy_of(Bytes(100000, 1)))));
  const std::string tmp = folder.path() + "/server/tmp";
  EXPECT_FALSE(std::filesystem::is_empty(tmp));
  const auto settle = [&]() -> Task<void> {
    for (int i = 0; i < 100000 && store->usage().reserved > 0; ++i)
      co_await runtime.run_blocking([] {});
  };
  runtime.advance(options.begin_idle_max + std::chrono::seconds(1));
  runtime.wait_for(settle());
  EXPECT_EQ(store->usage().reserved, 0u);
  EXPECT_TRUE(std::filesystem::is_empty(tmp));
  EXPECT_EQ(runtime.wait_for(store->write(alice.asker(), handle, 100000, Buffer::allocate(1)))
                .error().code,
            Errc::not_found);
}

TEST_F(BudgetTest, OneServerMayNotBeginTooMuch) {
  options.begins_per_server_max = 3;
  options.begin_bytes_per_server_max = 1 << 20;
  reopen();
  const auto begin = [&](const Owner& who, std::uint64_t size) {
    auto begun = runtime.wait_for(
        store->begin(who.asker(), {random.id<StripeId>(), 0}, size, {who.volume, 1}));
    return begun ? Errc::ok : begun.error().code;
  };
  EXPECT_EQ(begin(alice, 600 << 10), Errc::ok);
  EXPECT_EQ(begin(alice, 600 << 10), Errc::busy);
  EXPECT_EQ(begin(alice, 1), Errc::ok);
  EXPECT_EQ(begin(alice, 1), Errc::ok);
  EXPECT_EQ(begin(alice, 1), Errc::busy);
  EXPECT_EQ(begin(bob, 1), Errc::ok);
  EXPECT_EQ(begin(bob, 0), Errc::invalid);
  EXPECT_EQ(begin(bob, (4 << 20) + 1), Errc::invalid);
}

TEST_F(BudgetTest, AFullDiskIsRespectedAndAReceiptStillRepeated) {
  const Stripe here = make_stripe(random, alice, {.shard_size = 100000});
  ASSERT_TRUE(put(alice, here, 0));
  runtime.tampered().pretended_space = DiskSpace{.total = 1 << 30, .free = 1 << 20};
  runtime.advance(std::chrono::seconds(2));
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  EXPECT_EQ(put(alice, stripe, 0).error().code, Errc::no_space);
  EXPECT_THAT(put(alice, stripe, 0).error().message, testing::HasSubstr("disk"));
  EXPECT_EQ(store->usage().free, 0u);
  EXPECT_TRUE(put(alice, here, 0));
  runtime.tampered().pretended_space.reset();
  EXPECT_TRUE(put(alice, stripe, 0));
}

TEST_F(BudgetTest, RoomReleasedIsRoomForOthers) {
  for (int round = 0; round < 4; ++round) {
    std::vector<ShardKey> keys;
    const std::uint64_t size = round % 2 ? 1 << 20 : 40000;
    while (true) {
      const Stripe stripe = make_stripe(random, alice, {.shard_size = size});
      if (!put(alice, stripe, 0)) break;
      keys.push_back(stripe.key(0));
    }
    if (round % 2 == 0) EXPECT_GT(keys.size(), 150u);
    expect_within_budget();
    EXPECT_EQ(release(alice, keys).value(), keys.size());
    EXPECT_EQ(store->usage().used, 0u);
  }
}

// --- The share rule ------------------------------------------------------------------------------

constexpr std::uint64_t half = 1000;

Result<void> admit(std::uint64_t kept, std::uint64_t used, std::size_t persons,
                   std::uint64_t kept_for_us = 0) {
  return FairAdmission().admit({.reciprocity = {.kept_for_us = kept_for_us, .persons = persons},
                                .need = 10,
                                .kept_for_person = kept,
                                .used = used,
                                .budget = half});
}

TEST(FairAdmissionTest, ThePersonOfAOnePersonNetworkMayFillTheHalf) {
  EXPECT_TRUE(admit(990, 990, 1));
}
TEST(FairAdmissionTest, TwoPersonsMayFillHalfOfItEach) {
  EXPECT_TRUE(admit(490, 990, 2));
  EXPECT_FALSE(admit(500, 990, 2));
}
TEST(FairAdmissionTest, WhoIsTrustedLessHasAPartOfHisShareAndNothingOfTheRest) {
  const auto admit_at = [](std::uint64_t kept, unsigned percent) {
    return FairAdmission().admit({.reciprocity = {.persons = 1, .allowance_percent = percent},
                                  .need = 10,
                                  .kept_for_person = kept,
                                  .used = kept,
                                  .budget = half});
  };
  EXPECT_TRUE(admit_at(240, 25));
  EXPECT_FALSE(admit_at(250, 25));
  EXPECT_FALSE(admit_at(0, 0));
  EXPECT_TRUE(admit_at(990, 100));
}
TEST(FairAdmissionTest, ThreeEqualMembersMayKeepAThirdEach) { EXPECT_TRUE(admit(320, 980, 3)); }
TEST(FairAdmissionTest, ALoneOwnerAmongManyStopsAtTheLastEighth) {
  EXPECT_TRUE(admit(860, 860, 50));
  EXPECT_FALSE(admit(870, 870, 50));
}
TEST(FairAdmissionTest, ANewcomerFindsRoomThatOthersCouldNotTake) {
  EXPECT_TRUE(admit(0, 870, 50));
  EXPECT_TRUE(admit(100, 970, 50));
}
TEST(FairAdmissionTest, WhoKeepsMuchForUsMayHaveMuchHere) {
  EXPECT_FALSE(admit(400, 900, 50));
  EXPECT_TRUE(admit(400, 900, 50, 400));
}

// --- The books -----------------------------------------------------------------------------------

TEST(LedgerTest, RoomComesBackUnlessItWasSettled) {
  using namespace serverhalf;
  Ledger ledger(100 << 20, 0);
  ledger.looked({.total = 1ULL << 40, .free = 1ULL << 40});
  const PersonId person{};
  const Charge need = charge_for(1 << 20, 500, 500);
  {
    auto room = ledger.reserve(person, need, FairAdmission(), {}).value();
    EXPECT_EQ(ledger.reserved(), need.total());
    auto moved = std::move(room);
    EXPECT_EQ(ledger.reserved(), need.total());
  }
  EXPECT_EQ(ledger.reserved(), 0u);
  ledger.settle(ledger.reserve(person, need, FairAdmission(), {}).value(), charge_for(1 << 20, 400, 400));
  EXPECT_EQ(ledger.reserved(), 0u);
  EXPECT_EQ(ledger.used(), charge_for(1 << 20, 400, 400).total());
  ledger.gone(person, charge_for(1 << 20, 400, 400));
  EXPECT_EQ(ledger.used(), 0u);
}

TEST(LedgerTest, AnUpperBoundIsNeverBelowWhatItBounds) {
  using namespace serverhalf;
  SeededRandom random(3);
  for (int i = 0; i < 10000; ++i) {
    const std::uint64_t size = 1 + random.below(shard_bytes_max);
    const Charge actual = charge_for(size, random.below(descriptor_bytes_max + 1),
                                     random.below(contract_bytes_max + 1));
    const Charge most = charge_at_most(size);
    ASSERT_LE(actual.rows, most.rows);
    ASSERT_LE(actual.files, most.files);
    ASSERT_GT(actual.total(), size);
  }
}

}  // namespace
}  // namespace spatter
