// Aim: every rule of taking, serving, listing and giving back shards, each by its own situation.
#include <fstream>

#include "fixture.h"

namespace spatter {
namespace {

using ShardStoreTest = HolderTest;

TEST_F(ShardStoreTest, ShardsOfEverySizeComeBackBitForBitWithTheirProof) {
  for (const std::uint64_t size : {1, 64, 16383, 16384, 16385, 65536, 65537, 262144, 4 << 20}) {
    const Stripe stripe = make_stripe(random, alice, {.shard_size = size});
    const auto receipt = put(alice, stripe, 1);
    ASSERT_TRUE(receipt) << receipt.error().message;
    EXPECT_TRUE(check_contract(*receipt));
    EXPECT_TRUE(holds(stripe, 1)) << size;
    EXPECT_TRUE(check_one(stripe.key(1), true));
  }
  reopen();
  EXPECT_TRUE(fsck(true).clean());
  EXPECT_EQ(store->usage().shards, 9u);
}

TEST_F(ShardStoreTest, AnyRangeIsWidenedToLeavesAndProvesItself) {
  for (const std::uint64_t size : {60000, 300000}) {
    const Stripe stripe = make_stripe(random, alice, {.shard_size = size});
    ASSERT_TRUE(put(alice, stripe, 2));
    for (int i = 0; i < 50; ++i) {
      const std::uint64_t offset = random.below(size);
      const std::uint64_t length = 1 + random.below(size - offset);
      const auto part = read(stripe.key(2), offset, length).value();
      EXPECT_EQ(part.first_leaf, offset / leaf_bytes);
      EXPECT_EQ(part.leaf_count, (offset + length - 1) / leaf_bytes - part.first_leaf + 1);
      EXPECT_TRUE(verify_range(stripe.facts.shard_roots[2], size, part.first_leaf,
                               leaf_hashes(part.leaves), part.proof));
      const std::uint64_t skip = offset - part.first_leaf * leaf_bytes;
      EXPECT_TRUE(std::equal(part.leaves.data() + skip, part.leaves.data() + skip + length,
                             stripe.shards[2].data() + offset));
    }
    EXPECT_EQ(read(stripe.key(2), size, 1).error().code, Errc::invalid);
    EXPECT_EQ(read(stripe.key(2), 1, size).error().code, Errc::invalid);
    EXPECT_EQ(read(stripe.key(2), 1, UINT64_MAX).error().code, Errc::invalid);
  }
}

TEST_F(ShardStoreTest, WhatIsNotHereIsNotFound) {
  EXPECT_EQ(read({random.id<StripeId>(), 0}).error().code, Errc::not_found);
  EXPECT_FALSE(check_one({random.id<StripeId>(), 0}, true));
}

TEST_F(ShardStoreTest, ThePiecesOfAShardMakeTheWhole) {
  for (const std::uint64_t size : {50000, 1'000'000}) {
    const Stripe stripe = make_stripe(random, alice, {.shard_size = size});
    const Buffer& shard = stripe.shards[0];
    const auto handle =
        runtime.wait_for(store->begin(alice.asker(), stripe.key(0), size, {alice.volume, 1}))
            .value();
    EXPECT_GE(store->usage().reserved, size);
    std::uint64_t offset = 0;
    while (offset < size) {
      const std::uint64_t length = std::min(size - offset, 1 + random.below(100000));
      ASSERT_TRUE(runtime.wait_for(
          store->write(alice.asker(), handle, offset, shard.slice(offset, length))));
      offset += length;
    }
    const auto receipt = runtime.wait_for(
        store->commit(alice.asker(), handle, stripe.descriptor, offer(alice, stripe, 0)));
    ASSERT_TRUE(receipt) << receipt.error().message;
    EXPECT_TRUE(check_contract(*receipt));
    EXPECT_EQ(store->usage().reserved, 0u);
    reopen();
    EXPECT_TRUE(holds(stripe, 0));
  }
}

namespace {

Task<void> write_into(ShardStore& store, Asker asker, std::uint64_t handle, std::uint64_t offset,
                      Buffer piece, Result<void>& result) {
  result = co_await store.write(asker, handle, offset, std::move(piece));
}

}  // namespace

TEST_F(ShardStoreTest, PiecesThatOvertookOthersWaitForThem) {
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  const auto story = [&]() -> Task<Result<void>> {
    CO_TRY(const auto handle,
           co_await store->begin(alice.asker(), stripe.key(0), 100000, {alice.volume, 1}));
    const auto piece = [&](std::uint64_t at) { return stripe.shards[0].slice(at, 20000); };
    TaskGroup early(runtime.executor());
    std::vector<Result<void>> results(3, fail(Errc::cancelled, "not written"));
    for (std::size_t i = 0; i < 3; ++i)
      early.spawn(write_into(*store, alice.asker(), handle, 60000 - 20000 * i,
                             piece(60000 - 20000 * i), results[i]));
    // One more than may wait.
    const auto refused = co_await store->write(alice.asker(), handle, 80000, piece(80000));
    EXPECT_FALSE(refused);
    if (!refused) EXPECT_EQ(refused.error().code, Errc::invalid);
    CO_TRY_VOID(co_await store->write(alice.asker(), handle, 0, piece(0)));
    co_await early.drain();
    for (const auto& result : results) EXPECT_TRUE(result);
    CO_TRY_VOID(co_await store->write(alice.asker(), handle, 80000, piece(80000)));
    CO_TRY_VOID(co_await store->commit(alice.asker(), handle, stripe.descriptor, offer(alice, stripe, 0)));
    co_return Result<void>{};
  };
  ASSERT_TRUE(runtime.wait_for(story()));
  EXPECT_TRUE(holds(stripe, 0));
}

TEST_F(ShardStoreTest, APieceThatWaitsEndsWithWhatWasBegun) {
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  const auto story = [&]() -> Task<Result<void>> {
    CO_TRY(const auto handle,
           co_await store->begin(alice.asker(), stripe.key(0), 100000, {alice.volume, 1}));
    TaskGroup early(runtime.executor());
    Result<void> result;
    early.spawn(write_into(*store, alice.asker(), handle, 10, Buffer::allocate(10), result));
    CO_TRY_VOID(co_await store->abort(alice.asker(), handle));
    co_await early.drain();
    co_return result;
  };
  const auto ended = runtime.wait_for(story());
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Errc::not_found);
}

TEST_F(ShardStoreTest, PiecesTooLongOrTooFewAreRefused) {
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  const auto begin = [&] {
    return runtime.wait_for(store->begin(alice.asker(), stripe.key(0), 100000, {alice.volume, 1}))
        .value();
  };
  const auto write = [&](const Owner& who, std::uint64_t handle, std::uint64_t offset,
                         std::uint64_t length) {
    return runtime.wait_for(store->write(who.asker(), handle, offset, Buffer::allocate(length)));
  };
  auto handle = begin();
  EXPECT_EQ(write(alice, handle, 0, 100001).error().code, Errc::invalid);
  EXPECT_EQ(write(bob, handle, 0, 10).error().code, Errc::not_found);
  ASSERT_TRUE(write(alice, handle, 0, 99999));
  EXPECT_EQ(runtime.wait_for(store->commit(alice.asker(), handle, stripe.descriptor,
                                           offer(alice, stripe, 0))).error().code,
            Errc::invalid);
  EXPECT_EQ(write(alice, handle, 99999, 1).error().code, Errc::not_found);
  handle = begin();
  ASSERT_TRUE(runtime.wait_for(store->abort(alice.asker(), handle)));
  EXPECT_EQ(runtime.wait_for(store->abort(alice.asker(), handle)).error().code, Errc::not_found);
  EXPECT_EQ(store->usage().reserved, 0u);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(ShardStoreTest, BytesOfAnotherRootAreRefusedAndLeaveNothing) {
  for (const std::uint64_t size : {1000, 100000}) {
    Stripe stripe = make_stripe(random, alice, {.shard_size = size});
    stripe.shards[0].mutable_data()[size / 2] ^= 1;
    EXPECT_EQ(put(alice, stripe, 0).error().code, Errc::corrupt);
    stripe.shards[1] = stripe.shards[1].slice(0, size - 1);
    EXPECT_EQ(put(alice, stripe, 1).error().code, Errc::invalid);
  }
  EXPECT_EQ(store->usage().used, 0u);
  EXPECT_EQ(store->usage().reserved, 0u);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(ShardStoreTest, BadContractsAndDescriptorsAreRefused) {
  const Stripe stripe = make_stripe(random, alice, {});
  const Stripe other = make_stripe(random, alice, {});
  const auto with = [&](wire::Signed descriptor, wire::Contract contract) {
    auto put = runtime.wait_for(store->put(alice.asker(), std::move(descriptor),
                                           std::move(contract), stripe.shards[0]));
    EXPECT_FALSE(put.has_value());
    return put ? Errc::ok : put.error().code;
  };
  const auto good = offer(alice, stripe, 0);
  auto forged = good;
  (*forged.mutable_owner_signature())[5] ^= 1;
  EXPECT_EQ(with(stripe.descriptor, forged), Errc::corrupt);
  auto forged_descriptor = stripe.descriptor;
  (*forged_descriptor.mutable_signature())[5] ^= 1;
  EXPECT_NE(with(forged_descriptor, good), Errc::ok);
  EXPECT_EQ(with(other.descriptor, good), Errc::invalid);
  EXPECT_EQ(with(stripe.descriptor, offer(alice, stripe, 1)), Errc::corrupt);  // its root is another
  EXPECT_EQ(with(stripe.descriptor, offer_contract(alice.server_key, stripe.facts, 0, alice.server,
                                                   now_ms, now_ms + contract_term_ms)),
            Errc::invalid);  // another holder
  EXPECT_EQ(with(stripe.descriptor, offer(alice, stripe, 0, now_ms)), Errc::invalid);  // over
  EXPECT_EQ(with({}, {}), Errc::invalid);
  auto long_descriptor = stripe.descriptor;
  long_descriptor.mutable_body()->resize(20000);
  EXPECT_EQ(with(long_descriptor, good), Errc::invalid);
  EXPECT_EQ(runtime.wait_for(store->put(bob.asker(), stripe.descriptor, good, stripe.shards[0]))
                .error().code,
            Errc::denied);
  EXPECT_EQ(store->usage().shards, 0u);
}

TEST_F(ShardStoreTest, RepeatingAPutReturnsTheSameReceipt) {
  for (const std::uint64_t size : {1000, 100000}) {
    const Stripe stripe = make_stripe(random, alice, {.shard_size = size});
    const auto first = put(alice, stripe, 0).value();
    const auto used = store->usage().used;
    const auto second = put(alice, stripe, 0).value();
    EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
    reopen();
    EXPECT_EQ(put(alice, stripe, 0).value().SerializeAsString(), first.SerializeAsString());
    EXPECT_EQ(store->usage().used, used);
    ASSERT_EQ(release(alice, {stripe.key(0)}).value(), 1u);
  }
}

TEST_F(ShardStoreTest, ALaterTermRenewsTheContractAndAnEarlierOneDoesNot) {
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  ASSERT_TRUE(put(alice, stripe, 0));
  const auto until = [&](WallMs when) {
    const auto receipt = runtime.wait_for(store->put(
        alice.asker(), stripe.descriptor, offer(alice, stripe, 0, when), stripe.shards[0]));
    return check_contract(receipt.value()).value().until_ms;
  };
  EXPECT_EQ(until(now_ms + 2 * contract_term_ms), now_ms + 2 * contract_term_ms);
  EXPECT_EQ(until(now_ms + contract_term_ms), now_ms + 2 * contract_term_ms);
  EXPECT_EQ(store->usage().shards, 1u);
  EXPECT_TRUE(holds(stripe, 0));
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(ShardStoreTest, ContractsAreRenewedWithoutTheBytes) {
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  const Stripe small = make_stripe(random, alice, {.shard_size = 100});
  for (const unsigned index : {0u, 2u}) ASSERT_TRUE(put(alice, stripe, index));
  ASSERT_TRUE(put(alice, small, 1));
  const auto used = store->usage().used;
  const auto later = now_ms + 2 * contract_term_ms;
  const auto renewed = runtime.wait_for(store->renew(
      alice.asker(), {offer(alice, stripe, 2, later), offer(alice, small, 1, later),
                      offer(alice, stripe, 1, later), offer(alice, stripe, 0, now_ms + 1000)}));
  ASSERT_TRUE(renewed) << renewed.error().message;
  ASSERT_EQ(renewed->size(), 4u);
  EXPECT_TRUE(is_receipt((*renewed)[0], stripe.facts, 2, holder));
  EXPECT_EQ(check_contract((*renewed)[0])->until_ms, later);
  EXPECT_EQ(check_contract((*renewed)[1])->until_ms, later);
  EXPECT_EQ((*renewed)[2].body(), "");  // never was here
  EXPECT_EQ(check_contract((*renewed)[3])->until_ms, now_ms + contract_term_ms);  // ends later
  reopen();
  const auto page = runtime.wait_for(store->list({})).value();
  for (const auto& shard : page.shards)
    EXPECT_EQ(check_contract(shard.contract)->until_ms,
              shard.key == stripe.key(0) ? now_ms + contract_term_ms : later);
  EXPECT_EQ(store->usage().used, used);
  EXPECT_EQ(store->usage().shards, 3u);
  EXPECT_TRUE(holds(stripe, 2));
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(ShardStoreTest, RenewalsThatAreNotTheOwnersOrOfAnotherShardAreRefusedAllOrNone) {
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  const Stripe other = make_stripe(random, alice, {.shard_size = 100000, .id = stripe.facts.stripe});
  for (const unsigned index : {0u, 1u}) ASSERT_TRUE(put(alice, stripe, index));
  const auto later = now_ms + 2 * contract_term_ms;
  const auto refused = [&](const Owner& asker, wire::Contract contract) {
    auto done = runtime.wait_for(
        store->renew(asker.asker(), {offer(alice, stripe, 1, later), std::move(contract)}));
    return done ? Errc::ok : done.error().code;
  };
  EXPECT_EQ(refused(alice, offer(alice, other, 0, later)), Errc::invalid);
  EXPECT_EQ(refused(alice, offer(alice, stripe, 1, later)), Errc::invalid);  // twice in one
  EXPECT_EQ(refused(alice, offer(alice, stripe, 0, now_ms)), Errc::invalid);  // has ended
  EXPECT_EQ(refused(bob, offer(alice, stripe, 0, later)), Errc::denied);
  auto forged = offer(alice, stripe, 0, later);
  forged.mutable_owner_signature()->at(5) ^= 1;
  EXPECT_EQ(refused(alice, forged), Errc::corrupt);
  const auto elsewhere = offer_contract(alice.server_key, stripe.facts, 0, bob.server, now_ms, later);
  EXPECT_EQ(refused(alice, elsewhere), Errc::invalid);
  // Nothing of any of those requests was taken.
  for (const auto& shard : runtime.wait_for(store->list({})).value().shards)
    EXPECT_EQ(check_contract(shard.contract)->until_ms, now_ms + contract_term_ms);
  const Stripe foreign = make_stripe(random, bob, {.shard_size = 100000, .id = stripe.facts.stripe});
  EXPECT_EQ(runtime.wait_for(store->renew(bob.asker(), {offer(bob, foreign, 0, later)})).error().code,
            Errc::denied);
}

TEST_F(ShardStoreTest, ASuccessorRenewsWhatHisPredecessorMayNoLonger) {
  const Stripe old = make_stripe(random, alice, {.writer_number = 1});
  ASSERT_TRUE(put(alice, old, 0));
  Owner successor = alice;
  successor.server_key = SigningKey::generate(random);
  successor.server = server_id(successor.server_key.public_key());
  wire::RootRecord record;
  ASSERT_TRUE(record.ParseFromString(root(alice, 2, 1).body()));
  record.set_writer(successor.server.raw());
  ASSERT_TRUE(runtime.wait_for(store->put_root(
      successor.asker(), sign_message(alice.person_key, kind::root, record))));
  const auto later = now_ms + 2 * contract_term_ms;
  EXPECT_EQ(runtime.wait_for(store->renew(alice.asker(), {offer(alice, old, 0, later)})).error().code,
            Errc::fenced);
  const auto renewed =
      runtime.wait_for(store->renew(successor.asker(), {offer(successor, old, 0, later)}));
  ASSERT_TRUE(renewed) << renewed.error().message;
  EXPECT_TRUE(is_receipt(renewed->front(), old.facts, 0, holder));
  ASSERT_EQ(store->balances().size(), 1u);
  EXPECT_EQ(store->balances().front().server, successor.server);
}

TEST_F(ShardStoreTest, AStripeIdBelongsToWhoeverHadItFirst) {
  const Stripe stripe = make_stripe(random, alice, {.shard_size = 100000});
  ASSERT_TRUE(put(alice, stripe, 0));
  const Stripe stolen = make_stripe(random, bob, {.shard_size = 100000, .id = stripe.facts.stripe});
  EXPECT_EQ(put(bob, stolen, 0).error().code, Errc::denied);
  EXPECT_EQ(put(bob, stolen, 2).error().code, Errc::denied);
  const Stripe twice = make_stripe(random, alice, {.shard_size = 100000, .id = stripe.facts.stripe});
  EXPECT_EQ(put(alice, twice, 0).error().code, Errc::exists);
  EXPECT_TRUE(holds(stripe, 0));
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(ShardStoreTest, TwoPersonsRacingForOneStripeIdLeaveOneOfThemWhole) {
  const auto id = random.id<StripeId>();
  const Stripe a = make_stripe(random, alice, {.shard_size = 100000, .id = id});
  const Stripe b = make_stripe(random, bob, {.shard_size = 100000, .id = id});
  const auto one = [](ShardStore& store, Asker asker, const Stripe& stripe, wire::Contract contract,
                      int& good) -> Task<void> {
    if (co_await store.put(asker, stripe.descriptor, std::move(contract), stripe.shards[0])) ++good;
  };
  int good = 0;
  const auto race = [&]() -> Task<void> {
    TaskGroup group(runtime.executor());
    group.spawn(one(*store, alice.asker(), a, offer(alice, a, 0), good));
    group.spawn(one(*store, bob.asker(), b, offer(bob, b, 0), good));
    co_await group.drain();
  };
  runtime.wait_for(race());
  EXPECT_EQ(good, 1);
  EXPECT_TRUE(fsck(true).clean());
  EXPECT_EQ(store->usage().shards, 1u);
}

TEST_F(ShardStoreTest, ListingGoesPageByPageInOrderAndByPerson) {
  std::set<std::pair<StripeId, unsigned>> of_alice;
  for (int i = 0; i < 25; ++i) {
    const Stripe stripe = make_stripe(random, alice, {});
    for (unsigned index = 0; index < 3; ++index) {
      ASSERT_TRUE(put(alice, stripe, index));
      of_alice.emplace(stripe.facts.stripe, index);
    }
    ASSERT_TRUE(put(bob, make_stripe(random, bob, {}), 0));
  }
  std::vector<std::pair<StripeId, unsigned>> listed;
  ShardQuery query{.person = alice.person, .limit = 7, .with_descriptors = true};
  while (true) {
    const auto page = runtime.wait_for(store->list(query)).value();
    for (const auto& shard : page.shards) {
      listed.emplace_back(shard.key.stripe, shard.key.index);
      EXPECT_EQ(shard.person, alice.person);
      EXPECT_TRUE(check_contract(shard.contract));
      EXPECT_EQ(check_descriptor(shard.descriptor.value()).value().stripe, shard.key.stripe);
    }
    if (!page.more) break;
    ASSERT_EQ(page.shards.size(), 7u);
    query.after = page.shards.back().key;
  }
  EXPECT_EQ(listed.size(), 75u);
  EXPECT_TRUE(std::equal(listed.begin(), listed.end(), of_alice.begin(), of_alice.end()));
  EXPECT_EQ(runtime.wait_for(store->list({.limit = 1000})).value().shards.size(), 100u);
}

TEST_F(ShardStoreTest, BalancesFollowWhatIsKeptAndReleased) {
  Owner sister = alice;
  sister.server_key = SigningKey::generate(random);
  sister.server = server_id(sister.server_key.public_key());
  const Stripe a = make_stripe(random, alice, {.shard_size = 100000});
  const Stripe b = make_stripe(random, sister, {.shard_size = 3000});
  const Stripe c = make_stripe(random, bob, {.shard_size = 500});
  ASSERT_TRUE(put(alice, a, 0));
  ASSERT_TRUE(put(alice, a, 1));
  ASSERT_TRUE(put(sister, b, 0));
  ASSERT_TRUE(put(bob, c, 0));
  const auto expect = [&] {
    EXPECT_EQ(store->kept_for(alice.person), 203000u);
    EXPECT_EQ(store->kept_for(bob.person), 500u);
    EXPECT_EQ(store->balances().size(), 3u);
    for (const auto& balance : store->balances())
      if (balance.server == alice.server) {
        EXPECT_EQ(balance.bytes, 200000u);
        EXPECT_EQ(balance.shards, 2u);
      }
  };
  expect();
  reopen();
  expect();
  EXPECT_EQ(release(alice, {a.key(0), a.key(1), a.key(2), b.key(0), a.key(0)}).value(), 3u);
  EXPECT_EQ(store->kept_for(alice.person), 0u);
  EXPECT_EQ(store->balances().size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(file_of(a.key(0))));
  EXPECT_EQ(read(a.key(0)).error().code, Errc::not_found);
  EXPECT_EQ(release(bob, {c.key(0)}).value(), 1u);
  EXPECT_EQ(store->usage().used, 0u);
  reopen();
  EXPECT_EQ(store->usage().used, 0u);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(ShardStoreTest, NobodyReleasesWhatIsNotHis) {
  const Stripe a = make_stripe(random, alice, {});
  const Stripe b = make_stripe(random, bob, {});
  ASSERT_TRUE(put(alice, a, 0));
  ASSERT_TRUE(put(bob, b, 0));
  EXPECT_EQ(release(bob, {b.key(0), a.key(0)}).error().code, Errc::denied);
  EXPECT_TRUE(holds(a, 0));
  EXPECT_TRUE(holds(b, 0));
}

TEST_F(ShardStoreTest, ARootByTheKeyThatAPersonHasNowTakesThePlaceOfOneByAnOlderKey) {
  const auto put_root = [&](const wire::Signed& record, std::optional<PersonId> key) {
    auto asker = alice.asker();
    asker.key = key;
    auto done = runtime.wait_for(store->put_root(asker, record));
    return done ? Errc::ok : done.error().code;
  };
  const auto key = SigningKey::generate(random);
  const auto anew = [&](const wire::Signed& record) { return sign(key, kind::root, record.body()); };
  const Stripe stripe = make_stripe(random, alice, {.writer_number = 1});
  EXPECT_EQ(put_root(root(alice, 1000, 7), {}), Errc::ok);  // a thief's
  EXPECT_EQ(put(alice, stripe, 0).error().code, Errc::fenced);
  const auto now = person_id(key.public_key());
  EXPECT_EQ(put_root(root(alice, 1001, 1), now), Errc::denied) << "the old key signs nothing any more";
  EXPECT_EQ(put_root(anew(root(alice, 1, 2)), now), Errc::ok);
  ASSERT_TRUE(put(alice, stripe, 0));
  EXPECT_EQ(put_root(anew(root(alice, 1, 1)), now), Errc::exists) << "of two by one key the newer counts, as ever";
  const auto roots = runtime.wait_for(store->roots(alice.person)).value();
  ASSERT_EQ(roots.size(), 1u);
  EXPECT_EQ(roots[0].SerializeAsString(), anew(root(alice, 1, 2)).SerializeAsString());
  reopen();
  EXPECT_EQ(put_root(anew(root(alice, 1, 3)), now), Errc::ok);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(ShardStoreTest, OfTwoWritersWithOneNumberTheFirstStays) {
  EXPECT_TRUE(runtime.wait_for(store->put_root(alice.asker(), root(alice, 2, 1))));
  wire::RootRecord other;
  ASSERT_TRUE(other.ParseFromString(root(alice, 2, 9).body()));
  other.set_writer(std::string(32, 'x'));
  const auto second = runtime.wait_for(store->put_root(alice.asker(), sign_message(alice.person_key, kind::root, other)));
  EXPECT_EQ(second.error().code, Errc::fenced);
}

TEST_F(ShardStoreTest, RootsByAnOlderKeyMakeRoomForOneByTheKeyOfNow) {
  const auto of_volume = [&](std::uint8_t volume, const SigningKey& key) {
    wire::RootRecord record;
    EXPECT_TRUE(record.ParseFromString(root(alice, 1, 1).body()));
    record.set_volume(std::string(32, static_cast<char>(volume)));
    record.set_sealed(std::string(8 << 10, 's'));
    return sign_message(key, kind::root, record);
  };
  std::size_t put = 0;
  for (std::uint8_t volume = 1; volume < 100; ++volume)
    put += runtime.wait_for(store->put_root(alice.asker(), of_volume(volume, alice.person_key))).has_value();
  EXPECT_GE(put, 40u);
  EXPECT_LT(put, 64u) << "then it is full";
  const auto key = SigningKey::generate(random);
  auto asker = alice.asker();
  asker.key = person_id(key.public_key());
  EXPECT_TRUE(runtime.wait_for(store->put_root(asker, of_volume(200, key))));
  EXPECT_TRUE(runtime.wait_for(store->put_root(asker, of_volume(201, key))));
  const auto roots = runtime.wait_for(store->roots(alice.person)).value();
  EXPECT_EQ(roots.size(), put);
  EXPECT_EQ(std::ranges::count_if(roots, [&](const auto& one) { return one.key() == as_text(key.public_key()); }), 2);
  EXPECT_TRUE(fsck(true).clean()) << "and what they took up is given back";
}

TEST_F(ShardStoreTest, TheHighestRootRecordWinsAndFencesEarlierWriters) {
  const auto put_root = [&](const Owner& who, const wire::Signed& record) {
    auto done = runtime.wait_for(store->put_root(who.asker(), record));
    return done ? Errc::ok : done.error().code;
  };
  const Stripe kept = make_stripe(random, alice, {.writer_number = 1});
  ASSERT_TRUE(put(alice, kept, 0));
  EXPECT_EQ(put_root(alice, root(alice, 1, 5)), Errc::ok);
  EXPECT_EQ(put_root(alice, root(alice, 1, 5)), Errc::ok);
  EXPECT_EQ(put_root(alice, root(alice, 1, 5, "another")), Errc::exists);
  EXPECT_EQ(put_root(alice, root(alice, 1, 4)), Errc::exists);
  EXPECT_EQ(put_root(alice, root(alice, 2, 1)), Errc::ok);
  EXPECT_EQ(put_root(alice, root(alice, 1, 9)), Errc::fenced);
  EXPECT_EQ(put_root(bob, root(alice, 3, 1)), Errc::denied);
  auto signed_by_bob = root(alice, 3, 1);
  signed_by_bob = sign(bob.person_key, kind::root, signed_by_bob.body());
  EXPECT_EQ(put_root(alice, signed_by_bob), Errc::denied);
  auto forged = root(alice, 3, 1);
  (*forged.mutable_signature())[0] ^= 1;
  EXPECT_EQ(put_root(alice, forged), Errc::corrupt);
  reopen();
  const auto roots = runtime.wait_for(store->roots(alice.person)).value();
  ASSERT_EQ(roots.size(), 1u);
  EXPECT_EQ(roots[0].SerializeAsString(), root(alice, 2, 1).SerializeAsString());
  EXPECT_TRUE(runtime.wait_for(store->roots(bob.person)).value().empty());

  const Stripe late = make_stripe(random, alice, {.writer_number = 1});
  EXPECT_EQ(put(alice, late, 0).error().code, Errc::fenced);
  EXPECT_EQ(runtime.wait_for(store->begin(alice.asker(), late.key(0), 1000, {alice.volume, 1}))
                .error().code,
            Errc::fenced);
  EXPECT_EQ(release(alice, {kept.key(0)}, 1).error().code, Errc::fenced);
  EXPECT_TRUE(holds(kept, 0));
  EXPECT_TRUE(put(alice, make_stripe(random, alice, {.writer_number = 2}), 0));
  EXPECT_EQ(release(alice, {kept.key(0)}, 2).value(), 1u);
}

TEST_F(ShardStoreTest, ASuccessorMendsTheStripesOfTheWriterHeTookOver) {
  const Stripe old = make_stripe(random, alice, {.writer_number = 1});
  ASSERT_TRUE(put(alice, old, 0));
  Owner successor = alice;
  successor.server_key = SigningKey::generate(random);
  successor.server = server_id(successor.server_key.public_key());
  wire::RootRecord record;
  ASSERT_TRUE(record.ParseFromString(root(alice, 2, 1).body()));
  record.set_writer(successor.server.raw());
  ASSERT_TRUE(runtime.wait_for(store->put_root(
      successor.asker(), sign_message(alice.person_key, kind::root, record))));
  EXPECT_EQ(put(alice, old, 1).error().code, Errc::fenced);
  EXPECT_TRUE(put(successor, old, 1));
  EXPECT_TRUE(holds(old, 1));
}

TEST_F(ShardStoreTest, ASecondStoreOnTheSameFolderIsRefused) {
  TestRuntime second(folder.path());
  const auto opened = second.wait_for(ShardStore::open(second, holder_key, options));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::busy);
}

}  // namespace
}  // namespace spatter
