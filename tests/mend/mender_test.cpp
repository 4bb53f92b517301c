// Aim: holders keep a stripe alive while its owner is away, do nothing when nothing is wrong, agree on
// who holds what, and are not misled by one of them.
// Method: menders over simulated servers in virtual time; the owner writes, and then is killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mended.h"

namespace spatter {
namespace {

TEST(Mender, HoldersLearnOfEachOther) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  for (unsigned i = 1; i <= 8; ++i) {
    const auto kept = m.wait(m.servers[i]->store->kept_stripe(id)).value();
    ASSERT_TRUE(kept);
    EXPECT_GT(kept->holders_version, 0u);
  }
  EXPECT_EQ(m.sum(&MendReport::none), 8u);
  EXPECT_EQ(m.sum(&MendReport::untold), 0u);
}

TEST(Mender, RebuildsWithTheOwnerAway) {
  Mended m(10, quick());
  const auto position = m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  const auto before = m.servers[0]->table->find(id);
  ASSERT_EQ(before->k, 10);
  const auto kept_table_pack = position.pack;
  m.leave_owner();
  m.kill_one(*m.servers[0]);
  for (unsigned i : {1u, 2u, 3u, 4u}) m.kill_one(*m.servers[i]);  // 12 of 30 shards
  EXPECT_EQ(m.standing(id).size(), 18u);
  // Not before the grace is over.
  m.world.run_for(9min);
  EXPECT_EQ(m.standing(id).size(), 18u);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_shards) >= 12; }, 10min));
  EXPECT_EQ(m.standing(id).size(), 30u);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::none) == 6; }, 5min));
  EXPECT_EQ(m.sum(&MendReport::rebuilt_stripes), 1u);
  // Nothing of it is on trial for long, and nothing goes.
  m.world.run_for(3h);
  EXPECT_EQ(m.standing(id).size(), 30u);
  static_cast<void>(kept_table_pack);
}

TEST(Mender, TwoShardsMovedForEachThatWasLost) {
  Mended m(12, quick());
  m.owner->packs.add_sealed(12 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  for (unsigned i : {1u, 2u, 3u, 4u}) m.kill_one(*m.servers[i]);  // one copy's worth: 12 of 36
  ASSERT_TRUE(m.until_standing(id, 36, 30min));
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_stripes) == 1; }, 5min));
  const double moved = static_cast<double>(m.sum(&MendReport::moved_bytes));
  const double rebuilt = static_cast<double>(m.sum(&MendReport::rebuilt_bytes));
  EXPECT_LE(moved / rebuilt, 2.0);
  // Each of the 12 columns that it needed was hashed, and what was missing computed, by one of them.
  Duration heavy{0};
  for (const auto& [server, took] : m.heavy) heavy = std::max(heavy, took);
  EXPECT_GE(heavy, 13ms);
  RecordProperty("bytes_moved_per_byte_rebuilt", fmt::format("{:.2f}", moved / rebuilt));
}

TEST(Mender, AFewLostShardsAreLeftAloneUntilThereAreMore) {
  Mended m(10, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  m.kill_one(*m.servers[1]);
  m.world.run_for(2h);
  EXPECT_EQ(m.standing(id).size(), 27u);
  EXPECT_EQ(m.sum(&MendReport::tidy), 9u);
  EXPECT_EQ(m.sum(&MendReport::rebuilt_shards), 0u);
  m.kill_one(*m.servers[2]);  // 24 of 30 stand: more than 2k, fewer than 2.6k
  ASSERT_TRUE(m.until_standing(id, 30, 60min));
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::none) == 8u; }, 5min));
  EXPECT_EQ(m.sum(&MendReport::rebuilt_shards), 6u);
}

TEST(Mender, TheNextTakesOverWhenACoordinatorDies) {
  Mended m(10, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  for (unsigned i : {1u, 2u, 3u, 4u}) m.kill_one(*m.servers[i]);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::running) > 0; }, 20min));
  for (auto& [server, mender] : m.menders)
    if (mender->report().running > 0) {
      m.kill_one(*server);
      break;
    }
  ASSERT_TRUE(m.until_standing(id, 30, 60min));
}

TEST(Mender, WithoutAMajorityNobodyRebuildsBeforeTheOthersAreLongGone) {
  Mended m(10, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  for (unsigned i = 1; i <= 6; ++i) m.kill_one(*m.servers[i]);
  m.world.run_for(30min);
  EXPECT_EQ(m.standing(id).size(), 12u);
  EXPECT_EQ(m.sum(&MendReport::urgent), 4u);
  ASSERT_TRUE(m.until_standing(id, 30, 60min));
}

TEST(Mender, WhatNobodyHasRoomForIsStuckUntilSomebodyHas) {
  Mended m(10, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  const auto set_free = [&](std::uint64_t bytes) {
    for (auto& server : m.servers)
      if (server->running)
        for (auto& other : m.servers) server->members->set_free(other->id(), bytes);
  };
  set_free(1);
  for (unsigned i = 1; i <= 6; ++i) m.kill_one(*m.servers[i]);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::urgent) == 4 && m.sum(&MendReport::stuck) == 4; }, 60min));
  for (auto& [server, mender] : m.menders) EXPECT_EQ(mender->report().stuck_bytes, mender->report().left_bytes);
  set_free(1 << 30);
  ASSERT_TRUE(m.until_standing(id, 30, 90min));
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::none) == 4; }, 10min));
  EXPECT_EQ(m.sum(&MendReport::stuck) + m.sum(&MendReport::stuck_bytes), 0u);
}

TEST(Mender, TheOwnerTakesInWhatHoldersDid) {
  Mended m(10, quick());
  const auto position = m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.leave_owner();
  for (unsigned i : {1u, 2u, 3u, 4u}) m.kill_one(*m.servers[i]);
  // His server still answers, so holders give him his ten minutes first.
  ASSERT_TRUE(m.until_standing(id, 30, 60min));
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_stripes) == 1; }, 10min));
  m.return_owner();
  ASSERT_TRUE(m.run_until([&] { return m.lists->taken_in() > 0; }, 10min));
  ASSERT_TRUE(m.run_until([&] { return m.owner->report().full == 1; }, 20min));
  EXPECT_EQ(m.owner->report().lost + m.owner->report().at_risk, 0u);
  EXPECT_EQ(m.owner->keeper->report().total, 1u);
  static_cast<void>(position);
}

TEST(Mender, WhatIsDamagedHereIsMadeWholeFromTheOthers) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(24 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  auto& holder = *m.servers[3];
  const auto kept = m.wait(holder.store->kept_stripe(id)).value();
  ASSERT_TRUE(kept);
  const ShardKey key{id, kept->shards.front().index};
  auto file = holder.runtime().disk().open(
      fmt::format("server/shards/{}/{}.{}", id.hex().substr(0, 2), id.hex(), key.index), OpenMode::read_write);
  ASSERT_TRUE(file) << file.error().message;
  const std::uint8_t wrong[4] = {1, 2, 3, 4};
  ASSERT_TRUE((*file)->write_at(5000, wrong));
  ASSERT_TRUE((*file)->sync());
  EXPECT_FALSE(m.wait(holder.store->check({key}, true)).value().front());
  ASSERT_TRUE(m.run_until([&] { return m.menders.at(&holder)->report().rebuilt_shards == 1; }, 10min));
  EXPECT_TRUE(m.wait(holder.store->check({key}, true)).value().front());
}

TEST(Mender, WhatItKnowsSurvivesARestart) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  auto& holder = *m.servers[3];
  const auto before = m.menders.at(&holder)->report();
  m.wait(m.menders.at(&holder)->stop());
  m.start_mender(holder);
  EXPECT_EQ(before.stripes, 1u);
  EXPECT_EQ(m.menders.at(&holder)->report().stripes, 1u);
}

TEST(Mender, WhoComesBackLetsGoWhatOthersKeepByNow) {
  Mended m(10, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  // Cut off, not dead: their disks are as they were.
  std::vector<Cluster::Server*> away;
  for (unsigned i : {1u, 2u, 3u, 4u}) away.push_back(m.servers[i].get());
  for (auto* server : away) m.cut_off(*server);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_stripes) == 1; }, 60min));
  for (auto* server : away) m.bring_back(*server);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::let_go) == 12; }, 60min));
  EXPECT_EQ(m.standing(id).size(), 30u);
  for (auto* server : away) EXPECT_EQ(server->store->usage().shards, 0u);
}

TEST(Mender, ANetworkOfTwoHasNothingToMend) {
  Mended m(1, quick());
  m.owner->packs.add_sealed(1 << 20);
  m.settle_written();
  m.world.run_for(1h);
  EXPECT_EQ(m.sum(&MendReport::none), m.sum(&MendReport::stripes));
  EXPECT_GT(m.sum(&MendReport::stripes), 0u);
  // And with a third machine, which might keep the third copy, the owner sees to that.
  m.join();
  m.settle_written();
  m.world.run_for(1h);
  EXPECT_EQ(m.sum(&MendReport::none), m.sum(&MendReport::stripes));
}

TEST(Mender, CoordinatorsThatBeginTogetherDoNotGetInEachOthersWay) {
  auto options = quick();
  options.turns.takeover = 100ms;
  options.turns.owner_first = 0s;
  Mended m(8, options);
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  for (unsigned i : {1u, 2u, 3u}) m.kill_one(*m.servers[i]);  // five of eight are left: all have to agree
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_stripes) > 0; }, 20min));
  m.world.run_for(10min);
  EXPECT_EQ(m.sum(&MendReport::none), 5u);
  EXPECT_EQ(m.standing(id).size(), 24u);
  EXPECT_EQ(m.sum(&MendReport::rebuilt_stripes), 1u);
  EXPECT_LE(m.sum(&MendReport::moved_bytes), 2 * m.sum(&MendReport::rebuilt_bytes));
}

TEST(Mender, AllHoldersAreToldTheSameBytesHoweverLate) {
  Mended m(6, quick());
  auto& late = *m.servers[2];
  for (int i = 0; i < 70; ++i) m.owner->packs.add_sealed(100'000);
  m.wait(m.owner->keeper->wait_idle(), 30min);
  m.world.run_for(7s);
  m.cut_off(late);
  m.world.run_for(40s);
  m.bring_back(late);
  m.settle();
  m.settle_written();
  const auto stripes = m.servers[0]->table->all();
  ASSERT_GE(stripes.size(), 70u);
  for (const auto& stripe : stripes) {
    std::set<Bytes> different;
    for (unsigned i = 1; i <= 6; ++i)
      if (const auto kept = m.wait(m.servers[i]->store->kept_stripe(stripe->id)).value()) different.insert(kept->holders);
    EXPECT_EQ(different.size(), 1u);
  }
  m.kill_owner();
  m.kill_one(*m.servers[1]);
  m.kill_one(late);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_stripes) >= stripes.size(); }, 6h));
}

TEST(Mender, TheOwnerTellsTheRestAfterARestart) {
  Mended m(6, quick());
  m.owner->packs.add_sealed(1 << 20);
  m.wait(m.owner->keeper->wait_idle(), 10min);
  auto& late = *m.servers[2];
  m.cut_off(late);
  m.world.run_for(1min);  // the others are told
  m.leave_owner();
  m.bring_back(late);
  m.settle();
  m.return_owner();
  m.settle_written();
  const auto kept = m.wait(late.store->kept_stripe(m.only_stripe())).value();
  ASSERT_TRUE(kept);
  EXPECT_GT(kept->holders_version, 0u);
}

TEST(Mender, ADayOfAbsenceIsNotForgottenByRestarting) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  for (unsigned i : {1u, 2u, 3u}) m.kill_one(*m.servers[i]);
  // Those who are left are started anew every six minutes, less than the grace.
  for (int round = 0; round < 5 && m.standing(id).size() < 24; ++round) {
    m.world.run_for(6min);
    for (unsigned i = 4; i <= 8; ++i) {
      m.wait(m.menders.at(m.servers[i].get())->stop());
      for (unsigned dead : {0u, 1u, 2u, 3u}) m.servers[i]->members->forget_since(m.servers[dead]->id(), m.servers[i]->runtime().now());
      m.start_mender(*m.servers[i]);
    }
  }
  EXPECT_EQ(m.standing(id).size(), 24u);
}

TEST(Mender, WhoeverIsLeftOutKeepsWhatNobodyElseShows) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  auto& away = *m.servers[1];
  m.cut_off(away);
  m.kill_one(*m.servers[2]);
  m.kill_one(*m.servers[3]);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_stripes) == 1; }, 60min));
  m.world.run_for(1min);
  // Those who got what it had throw it away; they are up, and say so when they are asked.
  const auto own = m.wait(away.store->kept_stripe(id)).value();
  for (unsigned i = 4; i <= 8; ++i) {
    const auto kept = m.wait(m.servers[i]->store->kept_stripe(id)).value();
    std::vector<ShardKey> keys;
    for (const auto& shard : kept->shards)
      if (std::ranges::find(own->shards, shard.index, &KeptStripe::Shard::index) != own->shards.end())
        keys.push_back({id, shard.index});
    m.wait(m.menders.at(m.servers[i].get())->stop());  // so that it does not get them back at once
    if (!keys.empty()) {
      ASSERT_TRUE(m.wait(m.servers[i]->store->let_go(keys, kept->holders_version, false)));
    }
  }
  m.bring_back(away);
  m.world.run_for(1h);
  EXPECT_EQ(m.wait(away.store->kept_stripe(id)).value()->shards.size(), own->shards.size());
}

TEST(Mender, WhoDoesNotHoldAStripeClaimsNothing) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  auto& stranger = m.join();
  const auto kept = m.wait(m.servers[2]->store->kept_stripe(id)).value();
  wire::MendSignRequest request;
  ASSERT_TRUE(request.mutable_chain()->ParseFromArray(kept->holders.data(), static_cast<int>(kept->holders.size())));
  const auto reply = m.wait(stranger.rpc->call(m.servers[2]->id(), {.method = method::mend_sign,
                                                                    .body = request.SerializeAsString(),
                                                                    .payload = {}}));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::denied);
}

TEST(Mender, WhatIsUntidyIsLeftToAnOwnerWhoIsUp) {
  Mended m(10, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.leave_owner();  // the server stays up, and mends nothing
  for (unsigned i : {1u, 2u}) m.kill_one(*m.servers[i]);
  m.world.run_for(2h);
  EXPECT_EQ(m.standing(id).size(), 24u);
  m.kill_one(*m.servers[0]);
  ASSERT_TRUE(m.until_standing(id, 30, 60min));
}

/// What several holders would say to a claim.
struct Claiming : Mended {
  explicit Claiming(MendOptions options) : Mended(8, options) {
    owner->packs.add_sealed(3 << 20);
    settle_written();
    id = only_stripe();
    const auto kept = wait(servers[1]->store->kept_stripe(id)).value();
    EXPECT_TRUE(request.mutable_chain()->ParseFromArray(kept->holders.data(), static_cast<int>(kept->holders.size())));
    std::vector<ServerId> holders;
    for (unsigned i = 2; i <= 8; ++i) holders.push_back(servers[i]->id());
    const auto order = coordinators(id, kept->holders_version, holders);
    const auto server = [&](const ServerId& of) {
      return std::ranges::find(servers, of, [](const auto& one) { return one->id(); })->get();
    };
    first = server(order.front());
    last = server(order.back());
  }
  bool claim(Server& coordinator, bool release = false) {
    request.set_release(release);
    const auto reply = wait(coordinator.rpc->call(
        servers[1]->id(), {.method = method::mend_sign, .body = request.SerializeAsString(), .payload = {}}));
    if (!reply) EXPECT_EQ(reply.error().code, Errc::busy) << reply.error().message;
    return reply.has_value();
  }

  StripeId id;
  wire::MendSignRequest request;
  Server* first = nullptr;  ///< in the draw
  Server* last = nullptr;
};

TEST(Mender, WhoComesFirstInTheDrawHasItOnlyWhenBothBegin) {
  Claiming m(quick());
  EXPECT_TRUE(m.claim(*m.last));
  EXPECT_TRUE(m.claim(*m.first));
  EXPECT_FALSE(m.claim(*m.last));

  Claiming later(quick());
  EXPECT_TRUE(later.claim(*later.last));
  later.world.run_for(2min);
  EXPECT_FALSE(later.claim(*later.first));
}

TEST(Mender, AClaimThatIsGivenBackIsFreeForOthers) {
  Claiming m(quick());
  EXPECT_TRUE(m.claim(*m.first));
  EXPECT_FALSE(m.claim(*m.last));
  EXPECT_TRUE(m.claim(*m.last, true));  // releases nothing: it is not his
  EXPECT_FALSE(m.claim(*m.last));
  EXPECT_TRUE(m.claim(*m.first, true));
  EXPECT_TRUE(m.claim(*m.last));
}

TEST(Mender, TheOwnersOtherServersHaveNoTurnBesideOthers) {
  Mended m(7, quick());
  auto& second = m.join(m.servers[0]->person);
  for (int i = 0; i < 6; ++i) m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  m.kill_owner();
  for (unsigned i : {1u, 2u, 3u}) m.kill_one(*m.servers[i]);
  ASSERT_TRUE(m.run_until([&] { return m.sum(&MendReport::rebuilt_stripes) == 6; }, 60min));
  EXPECT_EQ(m.menders.at(&second)->report().moved_bytes, 0u);
  EXPECT_TRUE(m.run_until([&] { return m.sum(&MendReport::due) + m.sum(&MendReport::urgent) == 0; }, 5min));
}

TEST(Mender, WhoWasReplacedIsRememberedUntilHeIsBack) {
  Mended m(10, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  for (unsigned i : {1u, 2u, 3u, 4u}) m.kill_one(*m.servers[i]);
  ASSERT_TRUE(m.until_standing(id, 30, 60min));
  auto& mender = *m.menders.at(m.servers[5].get());
  ASSERT_TRUE(m.run_until([&] { return mender.report().none == 1; }, 5min));
  EXPECT_FALSE(mender.counterparts().contains(m.servers[1]->id()));
  EXPECT_TRUE(mender.former_counterparts().contains(m.servers[1]->id()));
  EXPECT_FALSE(mender.former_counterparts().contains(m.servers[6]->id()));
}

TEST(Mender, WhatTheOwnerReleasedIsForgotten) {
  Mended m(6, quick());
  const auto position = m.owner->packs.add_sealed(1 << 20);
  m.settle_written();
  m.start_auditors();
  m.owner->packs.remove(position.pack);
  m.wait(m.owner->keeper->wait_idle(), 10min);
  m.world.run_for(3h);
  EXPECT_EQ(m.sum(&MendReport::stripes), 0u);
  EXPECT_EQ(m.audited().missing, 0u);
}

TEST(Mender, NobodySignsAgainstAHolderThatIsThere) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  auto& liar = *m.servers[1];
  auto& honest = *m.servers[2];
  const auto kept = m.wait(liar.store->kept_stripe(id)).value();
  wire::HolderChain chain;
  ASSERT_TRUE(chain.ParseFromArray(kept->holders.data(), static_cast<int>(kept->holders.size())));
  auto next = read_holder_list(chain.lists(0).body()).value();
  next.previous = holder_list_id(chain.lists(0).body());
  next.version += 1;
  std::erase_if(next.holders, [&](const HolderEntry& entry) { return entry.server == m.servers[3]->id(); });
  wire::MendSignRequest request;
  *request.mutable_chain() = chain;
  request.set_body(holder_list_body(next));
  const auto reply = m.wait(liar.rpc->call(
      honest.id(), {.method = method::mend_sign, .body = request.SerializeAsString(), .payload = {}}));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::denied);
  EXPECT_THAT(reply.error().message, testing::HasSubstr("still has"));
}

TEST(Mender, ShardsThatAreNotTheOwnersAreRefused) {
  Mended m(8, quick());
  m.owner->packs.add_sealed(3 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  auto& liar = *m.servers[1];
  auto& honest = *m.servers[2];
  const auto kept = m.wait(liar.store->kept_stripe(id)).value();
  wire::MendPutRequest request;
  ASSERT_TRUE(request.mutable_chain()->ParseFromArray(kept->holders.data(), static_cast<int>(kept->holders.size())));
  ASSERT_TRUE(request.mutable_stripe_descriptor()->ParseFromArray(kept->descriptor.data(),
                                                                 static_cast<int>(kept->descriptor.size())));
  const auto descriptor = check_descriptor(request.stripe_descriptor()).value();
  const auto index = kept->shards.front().index;
  const auto now = liar.runtime().wall_ms();
  *request.mutable_contract() =
      offer_contract(liar.identity.server_key, descriptor, index, honest.id(), now, now + contract_term_ms);
  Bytes junk(descriptor.shard_size, 7);
  const auto reply = m.wait(liar.rpc->call(honest.id(), {.method = method::mend_put,
                                                         .body = request.SerializeAsString(),
                                                         .payload = Buffer::take(std::move(junk))}));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::corrupt);
}

}  // namespace
}  // namespace spatter
