// Whole servers whose network loses machines: when all of them stop serving and only mend, when they serve
// again, and that neither the smaller side of a network nor liars among its members can make them.
#include "mend/mode.h"
#include "mend/mode_desk.h"
#include "net/methods.h"
#include "node/mode_words.h"
#include "servers.h"

namespace spatter {
namespace {

constexpr std::uint32_t epoch_seconds = 60;
constexpr Duration epoch = std::chrono::seconds(epoch_seconds);

class ModeTest : public ServerTest {
 public:
  ~ModeTest() override {
    for (auto& server : dead)
      run([](Server& one) -> Task<Result<void>> {
        co_await one.stop();
        co_return Result<void>{};
      }(*server));
  }
  static NewNetwork quick() {
    NewNetwork network{.epoch_seconds = epoch_seconds};
    MendRules rules;
    rules.grace_epochs = 5;
    rules.absent_epochs = 15;
    network.mend = rules;
    return network;
  }
  Task<Result<void>> quick_network(std::size_t count) {
    CO_TRY_VOID(co_await node().init({}, quick()));
    CO_TRY_VOID(co_await nodes[0]->up());
    for (std::size_t i = 1; i < count; ++i) CO_TRY_VOID(co_await grow());
    co_return co_await all_up(count);
  }
  void crash(std::size_t at) {
    nodes[at]->machine.crash();
    dead.push_back(std::move(nodes[at]->server));
  }
  bool in_repair_only(std::size_t at) const { return nodes[at]->server->is_repair_only(); }
  bool all_in_repair_only(std::size_t count, bool wanted = true) const {
    for (std::size_t i = 0; i < count; ++i)
      if (in_repair_only(i) != wanted) return false;
    return true;
  }
  std::string modes() const {
    std::string text;
    for (const auto& node : nodes) {
      if (!node->server) continue;
      const auto status = node->server->mode();
      text += fmt::format("{} epoch {} reports {} threatened {} calm {} urgent {} lost {} quorum {}\n",
                          status.state.repair_only ? "repair-only" : "serving", status.tally.epoch, status.tally.reports,
                          status.tally.threatened, status.tally.calm, status.tally.sum.urgent, status.tally.sum.lost,
                          status.tally.quorum);
    }
    return text;
  }

  std::vector<std::unique_ptr<Server>> dead;  ///< stopped at the end, with their machines
};

/// Six persons with two servers each. One server goes that has written something, and of those that keep it more
/// than half, so that nothing can be rebuilt before the others count as absent: but of nearly every person one
/// server is still there.
TEST_F(ModeTest, MostServersDieAndTwoComeToHelp) {
  run([](ModeTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.node().init({}, quick()));
    CO_TRY_VOID(co_await test.nodes[0]->up());
    for (std::size_t i = 1; i < 6; ++i) CO_TRY_VOID(co_await test.grow());
    for (std::size_t i = 0; i < 6; ++i) {
      CO_TRY(const auto link, co_await test.invite(*test.nodes[0]));
      auto& second = test.node();
      CO_TRY_VOID(co_await second.join(link, *test.nodes[i]->words));
      CO_TRY_VOID(co_await second.up());
    }
    co_return co_await test.all_up(12);
  }(*this));
  const auto file = bytes_of(1, 3 << 20), own = bytes_of(2, 1 << 20);
  run(put(*nodes[6], "a", file, Level::full));
  run(put(*nodes[0], "b", own, Level::full));
  world.run_for(2 * epoch);
  EXPECT_TRUE(nodes[0]->server->may_serve());
  ASSERT_TRUE(world.run_until([&] { return nodes[3]->server->mode().tally.quorum; }, 2 * epoch)) << modes();
  EXPECT_EQ(nodes[3]->server->mode().tally.reports, 6u) << modes();
  nodes[1]->server->set_repair_rate(5 << 20);

  // Left are one server each of the persons 0 to 4.
  for (std::size_t i = 5; i < 12; ++i) crash(i);
  ASSERT_TRUE(world.run_until([&] { return all_in_repair_only(5); }, 12 * epoch)) << modes();
  const auto status = nodes[2]->server->mode();
  EXPECT_EQ(status.electorate, (Electorate{6, 6, 5, false, 6}));
  const auto refused = nodes[2]->server->may_serve();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  for (const auto* words : {"repair-only", "in danger", "spatter invite", "--local"})
    EXPECT_NE(refused.error().message.find(words), std::string::npos) << refused.error().message;
  EXPECT_NE(mode_cause(status).find(fmt::format("in epoch {}", status.state.since_epoch)), std::string::npos) << mode_cause(status);
  EXPECT_EQ(nodes[1]->server->mender().report().rate_bytes_per_s, 0u);
  nodes[1]->server->set_repair_rate(6 << 20);
  EXPECT_EQ(nodes[1]->server->mender().report().rate_bytes_per_s, 0u);
  run([](ModeTest& test) -> Task<Result<void>> {
    CO_TRY(const auto status, co_await test.nodes[4]->server->status());
    EXPECT_EQ(status.mode, "repair-only");
    EXPECT_NE(status.note.find("only mends"), std::string::npos);
    // One that restarts stays in it, before it has heard from anybody.
    co_await test.nodes[4]->down();
    CO_TRY_VOID(co_await test.nodes[4]->up());
    EXPECT_TRUE(test.in_repair_only(4));
    // Two come, and are in it as well as soon as they have asked.
    CO_TRY_VOID(co_await test.grow());
    co_return co_await test.grow();
  }(*this));
  ASSERT_TRUE(world.run_until([&] { return in_repair_only(12) && in_repair_only(13); }, epoch)) << modes();

  const auto served = [&](const auto& node) { return !node->server || !node->server->is_repair_only(); };
  ASSERT_TRUE(world.run_until([&] { return std::ranges::all_of(nodes, served); }, 25 * epoch)) << modes();
  std::uint64_t urgent = 0, rebuilt = 0;
  for (const auto& node : nodes) {
    if (!node->server) continue;
    const auto report = node->server->mender().report();
    urgent += report.urgent;
    rebuilt += report.rebuilt_stripes;
  }
  EXPECT_EQ(urgent, 0u);
  EXPECT_GT(rebuilt, 0u);
  EXPECT_GT(nodes[12]->server->shards().usage().used + nodes[13]->server->shards().usage().used, 0u);
  EXPECT_EQ(nodes[1]->server->mender().report().rate_bytes_per_s, 6u << 20);
  EXPECT_TRUE(nodes[0]->server->may_serve());
  run(expect(*nodes[0], "b", own, ReadFrom::network));
}

TEST_F(ModeTest, TheSmallerSideOfANetworkDoesNotEnterAlone) {
  run(quick_network(12));
  run(put(*nodes[0], "a", bytes_of(1, 3 << 20), Level::full));
  run(put(*nodes[11], "b", bytes_of(2, 3 << 20), Level::full));
  world.run_for(2 * epoch);
  std::vector<std::vector<sim::MachineId>> groups(2);
  for (sim::MachineId id = 1; id <= 12; ++id) groups[id > 5].push_back(id);
  network.partition(groups);
  // The five of the smaller side see seven gone, and say so to each other.
  ASSERT_TRUE(world.run_until([&] { return nodes[1]->server->mode().tally.threatened >= 4; }, 10 * epoch)) << modes();
  world.run_for(3 * epoch);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_FALSE(in_repair_only(i)) << modes();
  const auto status = nodes[1]->server->mode();
  EXPECT_EQ(status.electorate, (Electorate{12, 12, 5, false, 12}));
  EXPECT_FALSE(status.tally.quorum);
  EXPECT_NE(mode_reason(status, nodes[1]->server->genesis().mend).find("5 of 12"), std::string::npos);
  network.mend_all_links();
}

TEST_F(ModeTest, DeparturesAreOfPersonsThatMatterAndWhoeverJoinsHelps) {
  run(quick_network(6));
  run(put(*nodes[0], "a", bytes_of(1, 3 << 20), Level::full));
  // What the report of a holder said that was heard last.
  const auto seen = [&]() -> ModeFacts {
    for (const auto& one : nodes[1]->server->mode().reports)
      if (one.report.reporter == nodes[1]->server->identity().server) return one.report.facts;
    return {};
  };
  ASSERT_TRUE(world.run_until([&] { return seen().stripes > 0 && seen().helpers == 6; }, 4 * epoch)) << modes();
  EXPECT_EQ(seen().partners, 4u);
  // While the owner is off, two come to whom nobody gives anything, and go: nobody misses them.
  crash(0);
  const auto come = [](ModeTest& test) -> Task<Result<void>> {
    CO_TRY(const auto link, co_await test.invite(*test.nodes[1]));
    auto& next = test.node();
    CO_TRY_VOID(co_await next.join(link));
    co_return co_await next.up();
  };
  for (const std::size_t newcomer : {6, 7}) {
    run(come(*this));
    crash(newcomer);
  }
  world.run_for(8 * epoch);
  for (const std::size_t newcomer : {1, 2}) {
    const auto id = dead[newcomer]->identity().server;
    ASSERT_TRUE(nodes[1]->server->members().find(id));
    ASSERT_TRUE(nodes[1]->server->mender().is_gone(id));
    ASSERT_FALSE(nodes[1]->server->mender().counterparts().contains(id));
  }
  EXPECT_EQ(seen().departed, 0u);
  EXPECT_EQ(seen().partners, 4u);
  // One more server shares in the work at once.
  EXPECT_EQ(seen().helpers, 5u);
  run(come(*this));
  ASSERT_TRUE(world.run_until([&] { return seen().helpers == 6; }, 3 * epoch)) << seen().helpers;
  // The owner keeps nothing together with it; a holder does, and misses it also when others have taken its place.
  crash(5);
  ASSERT_TRUE(world.run_until([&] { return seen().departed > 0; }, 10 * epoch)) << modes();
  EXPECT_EQ(seen().departed, 1u);
}

TEST_F(ModeTest, LiarsAreOutvoted) {
  run(quick_network(10));
  run(put(*nodes[0], "a", bytes_of(1, 3 << 20), Level::full));
  world.run_for(2 * epoch);
  // Three of ten say in each epoch that everything is lost, by five servers each that nobody knows, and that all
  // are in it.
  const auto lie = [](ModeTest& test) -> Task<Result<void>> {
    for (int i = 0; i < 8; ++i) {
      for (std::size_t liar = 0; liar < 3; ++liar) {
        auto& server = *test.nodes[liar]->server;
        const auto person = server.drive().keyring.person.numbered(1).signing_key();
        ModeReport report;
        report.person = server.identity().person;
        report.epoch = server.genesis().epoch_of(test.nodes[liar]->runtime().wall_ms());
        const auto draw = make_draw(person, reporter_draw(server.identity().network, report.epoch, report.person));
        report.draw_key = draw.proof.key;
        report.draw = draw.proof.proof;
        report.facts = {.stripes = 1000, .lost = 1000, .fresh = 1000, .partners = 10};
        report.threatened = report.repair_only = true;
        for (int one = 0; one < 5; ++one) {
          const auto identity = make_identity(server.identity().network, person, SigningKey::generate(test.world.random()), 1);
          report.reporter = identity.server;
          report.certificate = identity.certificate;
          wire::ModePushRequest request;
          *request.add_reports() = make_mode_report(identity.server_key, identity.network, report);
          for (std::size_t other = 3; other < 10; ++other)
            CO_TRY_VOID(co_await server.rpc().call(test.nodes[other]->server->identity().server,
                                                   {.method = method::mode_push, .body = request.SerializeAsString(), .payload = {}}));
        }
      }
      co_await test.world.sleep(epoch);
    }
    co_return Result<void>{};
  };
  run(lie(*this), 20 * epoch);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_FALSE(in_repair_only(i)) << modes();
  const auto tally = nodes[5]->server->mode().tally;
  EXPECT_EQ(tally.reports, 10u) << modes();
  EXPECT_GE(tally.threatened, 1u) << modes();
}

TEST_F(ModeTest, WhatDoesNotCountIsRefused) {
  run(quick_network(3));
  world.run_for(2 * epoch);
  auto& server = *nodes[0]->server;
  const auto to = nodes[1]->server->identity().server;
  const auto push = [&](std::string body) {
    auto reply = world.wait_for(server.rpc().call(to, {.method = method::mode_push, .body = std::move(body), .payload = {}}), 1min);
    return reply.has_value() && reply->has_value();
  };
  EXPECT_FALSE(push("\xff\xff\xff"));
  wire::ModePushRequest many;
  for (int i = 0; i < 65; ++i) many.add_reports();
  EXPECT_FALSE(push(many.SerializeAsString()));
  // A report that is no report is passed over, and so is one of long ago.
  wire::ModePushRequest request;
  request.add_reports()->set_body("no");
  const auto& identity = server.identity();
  ModeReport report;
  report.reporter = identity.server;
  report.person = identity.person;
  const auto draw = make_draw(server.drive().keyring.person.numbered(1).signing_key(), reporter_draw(identity.network, 900, identity.person));
  report.epoch = 900;
  report.draw_key = draw.proof.key;
  report.draw = draw.proof.proof;
  report.certificate = identity.certificate;
  *request.add_reports() = make_mode_report(identity.server_key, identity.network, report);
  EXPECT_TRUE(push(request.SerializeAsString()));
  auto reply = world.wait_for(server.rpc().call(to, {.method = method::mode_reports, .body = {}, .payload = {}}), 1min);
  ASSERT_TRUE(reply && *reply);
  wire::ModeReportsReply held;
  ASSERT_TRUE(held.ParseFromString((*reply)->body));
  EXPECT_GT(held.reports_size(), 0);
  for (const auto& record : held.reports()) {
    const auto checked = check_mode_report(record, identity.network);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_LT(checked->report.epoch, 900u);
  }
}

}  // namespace
}  // namespace spatter
