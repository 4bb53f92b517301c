// Aim: who lost something is found in time, and who lies moves nothing.
// Method: the schedule over all epochs of a day; auditors over simulated servers, one of which loses,
// drops or makes up things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/merkle.h"
#include "mended.h"

namespace spatter {
namespace {

TEST(AuditPlan, EveryShardIsAskedForOncePerDayByTwo) {
  SeededRandom random(1);
  std::vector<ServerId> servers;
  for (int i = 0; i < 9; ++i) servers.push_back(random.id<ServerId>());
  const auto holder = servers[8];
  std::vector<AuditedShard> shards;
  for (int i = 0; i < 200; ++i)
    shards.push_back({random.id<StripeId>(), static_cast<std::uint8_t>(i % 5), 3'000'000, servers});
  std::map<std::pair<StripeId, unsigned>, unsigned> due, asked;
  for (std::uint64_t epoch = 1000; epoch < 1000 + audit_period_epochs; ++epoch)
    for (const auto& shard : shards) {
      if (!is_audit_due(shard.stripe, shard.index, holder, epoch)) continue;
      ++due[{shard.stripe, shard.index}];
      for (int i = 0; i < 8; ++i)
        asked[{shard.stripe, shard.index}] += is_auditor(shard.stripe, shard.index, epoch, servers[i], holder, servers);
    }
  EXPECT_EQ(due.size(), shards.size());
  for (const auto& [key, times] : due) EXPECT_EQ(times, 1u);
  for (const auto& [key, times] : asked) EXPECT_EQ(times, audit_auditors);
}

TEST(AuditPlan, ASmallHolderIsAskedForAsManyLeaves) {
  SeededRandom random(1);
  std::vector<ServerId> servers;
  for (int i = 0; i < 9; ++i) servers.push_back(random.id<ServerId>());
  const std::vector<AuditedShard> shards{{random.id<StripeId>(), 0, 4 << 20, servers}};
  std::size_t leaves = 0;
  std::set<std::uint64_t> different;
  for (int i = 0; i < 8; ++i) {
    VrfOutput output;
    random.fill(output);
    const auto plan = plan_audit(servers[i], servers[8], 7, output, shards, 8);
    leaves += plan.size();
    for (const auto& challenge : plan) {
      EXPECT_LT(challenge.leaf, 256u);
      different.insert(challenge.leaf);
    }
  }
  EXPECT_GE(leaves, audit_leaves_min);
  EXPECT_GT(different.size(), 40u);  // not all the same ones
}

TEST(AuditPlan, WhoIsToldTheDrawComesToTheSameChallenges) {
  SeededRandom random(1);
  std::vector<ServerId> servers;
  for (int i = 0; i < 4; ++i) servers.push_back(random.id<ServerId>());
  std::vector<AuditedShard> shards;
  for (int i = 0; i < 30; ++i) shards.push_back({random.id<StripeId>(), 1, 100'000, servers});
  VrfOutput output{};
  const auto plan = plan_audit(servers[0], servers[1], 5, output, shards, 3);
  EXPECT_EQ(plan, plan_audit(servers[0], servers[1], 5, output, shards, 3));
  output[0] = 1;
  EXPECT_NE(plan, plan_audit(servers[0], servers[1], 5, output, shards, 3));
}

TEST(AuditPlan, DetectionAsTheDesignComputes) {
  EXPECT_GE(audit_detection(0.01, audit_leaves_min, 12), 0.99);
  EXPECT_NEAR(audit_detection(0.01, 1, 1), 0.01, 1e-9);
}

TEST(Audit, WhatIsWholeIsFoundWhole) {
  Mended m(6, quick());
  m.owner->packs.add_sealed(6 << 20);
  m.settle_written();
  m.start_auditors();
  m.world.run_for(24h);
  const auto counts = m.audited();
  EXPECT_GT(counts.asked, 1000u);
  EXPECT_EQ(counts.right, counts.asked);
  std::uint64_t shown = 0;
  for (const auto& [server, auditor] : m.auditors) shown += auditor->summary().shown;
  EXPECT_EQ(shown, counts.asked);
}

/// Some leaves of what a holder keeps are no longer what they were.
void damage(Cluster::Server& holder, const StripeId& stripe, unsigned index, std::uint64_t leaf) {
  auto file = holder.runtime().disk().open(
      fmt::format("server/shards/{}/{}.{}", stripe.hex().substr(0, 2), stripe.hex(), index), OpenMode::read_write);
  ASSERT_TRUE(file) << file.error().message;
  const std::uint8_t wrong[3] = {0xde, 0xad, 0xff};
  ASSERT_TRUE((*file)->write_at(leaf * leaf_bytes + 77, wrong));
  ASSERT_TRUE((*file)->sync());
}

TEST(Audit, AHolderThatLostOneLeafInAHundredIsFoundWithinADay) {
  Mended m(6, quick());
  m.owner->packs.add_sealed(24 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  auto& holder = *m.servers[2];
  const auto kept = m.wait(holder.store->kept_stripe(id)).value();
  ASSERT_TRUE(kept);
  const auto leaves = leaf_count(kept->shards.front().size);
  for (std::uint64_t leaf = 0; leaf < leaves; leaf += 100)
    for (const auto& shard : kept->shards) damage(holder, id, shard.index, leaf);
  m.start_auditors();
  const auto began = m.epoch();
  ASSERT_TRUE(m.run_until([&] { return m.audited().wrong > 0; }, 24h));
  EXPECT_LE(m.epoch() - began, 24u);
  RecordProperty("epochs_until_found", fmt::format("{}", m.epoch() - began + 1));
  // The owner is there: he mends it at once, and then all is right again.
  ASSERT_TRUE(m.run_until([&] { return !m.own_failed.empty(); }, 24h));
  EXPECT_EQ(std::get<2>(m.own_failed.front()), holder.id());
}

TEST(Audit, WhatAHolderThrewAwayIsRebuiltWithTheOwnerAway) {
  Mended m(6, quick());
  m.owner->packs.add_sealed(6 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.kill_owner();
  // Two of six throw away all that they have: a third of the shards.
  for (unsigned i : {2u, 4u}) {
    auto& holder = *m.servers[i];
    std::vector<ShardKey> keys;
    const auto kept = m.wait(holder.store->kept_stripe(id)).value();
    for (const auto& shard : kept->shards) keys.push_back({id, shard.index});
    ASSERT_EQ(m.wait(holder.store->let_go(keys, kept->holders_version, false)).value(), 3u);
  }
  EXPECT_EQ(m.standing(id).size(), 12u);
  m.start_auditors();
  ASSERT_TRUE(m.until_standing(id, 18, 48h));
  EXPECT_GT(m.audited().missing, 0u);
}

TEST(Audit, WhoReportsFailuresThatAreNoneIsNotedDownAndMovesNothing) {
  Mended m(6, quick());
  m.owner->packs.add_sealed(6 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.start_auditors();
  m.world.run_for(2h);
  auto& liar = *m.servers[1];
  auto& slandered = *m.servers[2];
  auto& judge = *m.servers[3];
  wire::AuditReport body;
  body.set_network(liar.identity.network.raw());
  body.set_auditor(liar.id().raw());
  body.set_holder(slandered.id().raw());
  body.set_epoch(m.epoch() + 1);
  body.set_asked(3);
  body.set_wrong(3);
  for (const auto& shard : m.wait(slandered.store->kept_stripe(id)).value()->shards) {
    auto* failed = body.add_failed();
    failed->set_stripe(id.raw());
    failed->set_index(shard.index);
  }
  wire::MendReportRequest request;
  *request.add_reports() = sign_message(liar.identity.server_key, kind::audit, body);
  for (auto* to : {&judge, m.servers[4].get()})
    ASSERT_TRUE(m.wait(liar.rpc->call(to->id(), {.method = method::mend_report, .body = request.SerializeAsString(), .payload = {}})));
  ASSERT_TRUE(m.run_until([&] { return m.auditors.at(&judge)->summary().auditors[liar.id()].contradicted == 3; }, 10min));
  EXPECT_EQ(m.menders.at(&judge)->report().none, 1u);
  m.world.run_for(2h);
  EXPECT_EQ(m.sum(&MendReport::rebuilt_shards), 0u);
}

TEST(Audit, ReportsOfOthersOrWithWrongSumsAreRefused) {
  Mended m(4, quick());
  m.owner->packs.add_sealed(2 << 20);
  m.settle_written();
  m.start_auditors();
  m.world.run_for(1h);
  auto& liar = *m.servers[1];
  auto& judge = *m.servers[3];
  const auto send = [&](const SigningKey& key, std::uint32_t right) {
    wire::AuditReport body;
    body.set_network(liar.identity.network.raw());
    body.set_auditor(liar.id().raw());
    body.set_holder(m.servers[2]->id().raw());
    body.set_epoch(m.epoch());
    body.set_asked(3);
    body.set_right(right);
    wire::MendReportRequest request;
    *request.add_reports() = sign_message(key, kind::audit, body);
    const auto reply = m.wait(liar.rpc->call(
        judge.id(), {.method = method::mend_report, .body = request.SerializeAsString(), .payload = {}}));
    return reply ? Errc::ok : reply.error().code;
  };
  EXPECT_EQ(send(judge.identity.server_key, 3), Errc::denied);
  EXPECT_EQ(send(liar.identity.server_key, 2), Errc::invalid);
  EXPECT_EQ(send(liar.identity.server_key, 3), Errc::ok);
}

TEST(Audit, AsksOnlyWithADrawOfItsOwn) {
  Mended m(4, quick());
  m.owner->packs.add_sealed(2 << 20);
  m.settle_written();
  const auto id = m.only_stripe();
  m.start_auditors();
  auto& asker = *m.servers[1];
  auto& holder = *m.servers[2];
  wire::MendAuditRequest request;
  request.set_epoch(m.epoch());
  request.set_draw(std::string(80, 'x'));
  auto* challenge = request.add_challenges();
  challenge->set_stripe(id.raw());
  const auto reply = m.wait(asker.rpc->call(
      holder.id(), {.method = method::mend_audit, .body = request.SerializeAsString(), .payload = {}}));
  EXPECT_FALSE(reply);
}

}  // namespace
}  // namespace spatter
