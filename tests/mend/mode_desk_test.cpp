// Aim: servers judge the same epochs alike through restarts, wrong clocks, silence and lies.
// Method: desks over real calls in virtual time, whose members and figures the test decides.
#include "mend/mode_desk.h"

#include "cluster.h"
#include "net/methods.h"

namespace spatter {
namespace {

constexpr std::uint32_t epoch_seconds = 60;
constexpr Duration epoch = std::chrono::seconds(epoch_seconds);

const ModeFacts bad{.stripes = 100, .urgent = 40}, good{.stripes = 100};

struct Desks : Cluster {
  explicit Desks(unsigned persons, MendRules rules = {}) {
    genesis.created_ms = 0;
    genesis.epoch_seconds = epoch_seconds;
    genesis.mend = rules;
    for (unsigned i = 0; i < persons; ++i) join();
  }
  ~Desks() {
    while (!desks.empty()) stop_desk(*desks.begin()->first);
  }

  Server& join(std::optional<PersonSecret> secret = {}) {
    auto& server = add(std::move(secret));
    static_cast<void>(server.runtime().disk().make_directories("network"));
    facts[&server] = good;
    return server;
  }
  Server& at(std::size_t i) { return *servers[i]; }
  void start_desk(Server& server) {
    const auto trusted = [this] {
      std::set<PersonId> persons;
      for (const auto& one : servers) persons.insert(one->identity.person);
      return std::vector<PersonId>(persons.begin(), persons.end());
    };
    const auto away = [&server](const ServerId& id) -> std::optional<Duration> {
      const auto member = server.members->find(id);
      return member && !member->up ? std::optional<Duration>(server.runtime().now() - member->since) : std::nullopt;
    };
    auto desk = std::make_unique<ModeDesk>(ModeDesk::Parts{server.runtime(), *server.rpc, *server.members, server.identity, genesis,
                                                           server.person.signing_key(), trusted, away,
                                                           [this, &server]() -> Task<ModeFacts> { co_return facts[&server]; }});
    ASSERT_TRUE(wait(desk->start()));
    desks[&server] = std::move(desk);
  }
  void start_all() {
    for (auto& server : servers) start_desk(*server);
  }
  void stop_desk(Server& server) {
    wait(desks.at(&server)->stop());
    desks.erase(&server);
  }
  void die(Server& server) {
    stop_desk(server);
    kill(server);
  }
  ModeDesk& desk(std::size_t i) { return *desks.at(servers[i].get()); }
  void all_see(const ModeFacts& what) {
    for (auto& [server, seen] : facts) seen = what;
  }
  bool all_in(bool repair_only) const {
    return std::ranges::all_of(desks, [&](const auto& one) { return one.second->repair_only() == repair_only; });
  }
  bool until_all_in(bool repair_only, Duration limit) {
    return world.run_until([&] { return all_in(repair_only); }, limit);
  }
  std::uint64_t number(Server& server) { return genesis.epoch_of(server.runtime().wall_ms()); }
  /// To a moment of the next epoch.
  void run_to(double part) {
    const auto into = std::chrono::milliseconds(at(0).runtime().wall_ms() % (1000 * epoch_seconds));
    world.run_for(epoch - into + std::chrono::duration_cast<Duration>(part * epoch));
  }
  void see_others(Server& server, bool up) {
    for (const auto& other : servers)
      if (other.get() != &server) server.members->set_up(other->id(), up, server.runtime().now());
  }

  /// What a server says of an epoch, whatever its desk does.
  wire::Signed says(Server& server, std::uint64_t of, const ModeFacts& what) {
    const auto verdict = judge_facts(what, genesis.mend, epoch);
    ModeReport report;
    report.reporter = server.id();
    report.person = server.identity.person;
    report.epoch = of;
    const auto draw = make_draw(server.person.signing_key(), reporter_draw(genesis.network, of, report.person));
    report.draw_key = draw.proof.key;
    report.draw = draw.proof.proof;
    report.certificate = server.identity.certificate;
    report.facts = what;
    report.threatened = verdict.threatened ^ lying_flags;
    report.calm = verdict.calm;
    report.made_ms = static_cast<WallMs>(++said);
    return make_mode_report(server.identity.server_key, genesis.network, report);
  }
  Result<void> push(Server& from, Server& to, const wire::Signed& record) {
    wire::ModePushRequest request;
    *request.add_reports() = record;
    auto reply = wait(from.rpc->call(to.id(), {.method = method::mode_push, .body = request.SerializeAsString(), .payload = {}}));
    if (!reply) return fail(reply.error());
    return {};
  }
  Result<wire::ModeReportsReply> ask(Server& from, Server& to) {
    auto reply = wait(from.rpc->call(to.id(), {.method = method::mode_reports, .body = {}, .payload = {}}));
    if (!reply) return fail(reply.error());
    wire::ModeReportsReply message;
    EXPECT_TRUE(message.ParseFromString(reply->body));
    return message;
  }
  /// So many reports by a server has another.
  std::size_t held(Server& from, Server& by, Server& of) {
    const auto reply = ask(from, by);
    std::size_t count = 0;
    if (reply)
      for (const auto& record : reply->reports()) count += read_mode_report(record.body(), genesis.network)->reporter == of.id();
    return count;
  }

  GenesisFacts genesis;
  std::map<Server*, ModeFacts> facts;
  std::map<Server*, std::unique_ptr<ModeDesk>> desks;
  std::uint64_t said = 0;
  bool lying_flags = false;
};

TEST(ModeDesk, BeginsAndEndsEverywhere) {
  Desks d(5);
  d.start_all();
  d.world.run_for(2 * epoch);
  EXPECT_TRUE(d.all_in(false));
  d.all_see(bad);
  ASSERT_TRUE(d.until_all_in(true, 2 * epoch));
  const auto cause = d.desk(3).status().cause;
  ASSERT_TRUE(cause);
  EXPECT_EQ(cause->threatened, 5u);
  EXPECT_EQ(cause->sum.urgent, 200u);
  // Why it began is known after a restart, too.
  d.stop_desk(d.at(3));
  d.start_desk(d.at(3));
  EXPECT_EQ(d.desk(3).status().cause.value_or(ModeTally{}).threatened, 5u);
  d.all_see(good);
  ASSERT_TRUE(d.until_all_in(false, 4 * epoch));
  EXPECT_FALSE(d.desk(3).status().cause);
}

TEST(ModeDesk, AClockThatWasFarAheadHoldsNothingUp) {
  Desks d(4);
  auto& ahead = d.at(3);
  ahead.machine.set_wall_offset_ms(1000 * 1000 * epoch_seconds);
  d.start_all();
  d.world.run_for(3 * epoch);
  d.stop_desk(ahead);
  ahead.machine.set_wall_offset_ms(0);
  d.start_desk(ahead);
  d.all_see(bad);
  ASSERT_TRUE(d.until_all_in(true, 3 * epoch));
  d.all_see(good);
  ASSERT_TRUE(d.until_all_in(false, 5 * epoch));
}

/// Of two, the own report makes a quorum for an epoch that is far away.
TEST(ModeDesk, AFileFromTheFutureIsNotGoneBy) {
  Desks d(2);
  auto& ahead = d.at(1);
  ahead.machine.set_wall_offset_ms(1000 * 1000 * epoch_seconds);
  d.start_all();
  d.world.run_for(3 * epoch);
  ASSERT_GT(d.desk(1).status().state.epoch, 900u);
  d.stop_desk(ahead);
  ahead.machine.set_wall_offset_ms(0);
  d.start_desk(ahead);
  d.all_see(bad);
  ASSERT_TRUE(d.until_all_in(true, 3 * epoch));
}

TEST(ModeDesk, TheLastServerOfOnePersonServesAgain) {
  MendRules rules;
  rules.grace_epochs = 1;
  rules.absent_epochs = 3;
  Desks d(1, rules);
  const auto secret = d.at(0).person;
  for (int i = 0; i < 2; ++i) d.join(secret);
  d.start_all();
  d.all_see(bad);
  ASSERT_TRUE(d.until_all_in(true, 3 * epoch));
  d.die(d.at(1));
  d.die(d.at(2));
  d.all_see(good);
  d.world.run_for(2 * epoch);
  EXPECT_TRUE(d.all_in(true));  // the others may come back and say otherwise
  ASSERT_TRUE(d.until_all_in(false, 5 * epoch));
  // But alone it begins nothing.
  d.all_see(bad);
  d.world.run_for(3 * epoch);
  EXPECT_TRUE(d.all_in(false));
}

TEST(ModeDesk, OneOfTwoPersonsLeavesForGood) {
  MendRules rules;
  rules.grace_epochs = 1;
  rules.absent_epochs = 3;
  Desks d(2, rules);
  d.start_all();
  d.all_see(bad);
  ASSERT_TRUE(d.until_all_in(true, 3 * epoch));
  d.die(d.at(1));
  d.all_see({});  // nothing of his is left, either
  ASSERT_TRUE(d.until_all_in(false, 8 * epoch));
}

TEST(ModeDesk, TheSmallerSideBeginsNothingWhileItKnowsOfTheOthers) {
  MendRules rules;
  rules.grace_epochs = 1;
  rules.absent_epochs = 2;
  Desks d(6, rules);
  d.start_all();
  d.world.run_for(2 * epoch);
  for (std::size_t i = 2; i < 6; ++i) d.die(d.at(i));
  d.all_see(bad);
  d.world.run_for(6 * epoch);
  EXPECT_TRUE(d.all_in(false));
  EXPECT_EQ(d.desk(0).electorate(), (Electorate{2, 2, 2, false, 6}));
  // In the end the others are forgotten.
  ASSERT_TRUE(d.until_all_in(true, 20 * epoch));
}

TEST(ModeDesk, WhoStartsInTheSecondHalfCatchesUpInIt) {
  Desks d(5);
  d.start_all();
  d.world.run_for(2 * epoch);
  auto& late = d.at(4);
  d.stop_desk(late);
  d.all_see(bad);
  d.run_to(0.6);
  d.run_to(0.7);
  ASSERT_TRUE(d.all_in(true));
  d.see_others(late, false);
  const auto number = d.number(late);
  d.start_desk(late);
  d.world.run_for(2s);
  EXPECT_FALSE(d.desk(4).repair_only());
  d.see_others(late, true);
  d.world.run_for(2s);
  EXPECT_TRUE(d.desk(4).repair_only());
  EXPECT_EQ(d.number(late), number);
}

TEST(ModeDesk, NobodyReportsBeforeOthersHadTimeToCome) {
  Desks d(5);
  for (auto& server : d.servers) d.see_others(*server, false);
  d.run_to(0.01);
  d.all_see(bad);  // as everybody sees it whom nobody has reached yet
  d.start_all();
  d.world.run_for(epoch * 3 / 10);
  for (auto& server : d.servers) d.see_others(*server, true);
  d.all_see(good);
  d.world.run_for(epoch * 9 / 10);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_FALSE(d.desk(i).repair_only());
    EXPECT_EQ(d.desk(i).status().tally.threatened, 0u);
  }
  EXPECT_EQ(d.desk(0).status().tally.reports, 5u);
}

TEST(ModeDesk, AnEpochAfterItsStartAServerReportsWhoeverIsThere) {
  Desks d(3);
  auto& alone = d.at(0);
  d.see_others(alone, false);
  d.run_to(0.1);
  d.start_desk(alone);
  d.world.run_for(epoch * 8 / 10);
  EXPECT_EQ(d.held(d.at(1), alone, alone), 0u);
  d.world.run_for(epoch);
  EXPECT_EQ(d.held(d.at(1), alone, alone), 1u);
}

/// Few are drawn in an epoch; whoever is has looked before.
TEST(ModeDesk, WhatIsNewlyLostIsSeenByWhoeverIsDrawn) {
  MendRules rules;
  rules.reporters = 3;
  Desks d(9, rules);
  d.start_all();
  d.run_to(0.6);
  d.run_to(0.6);
  d.all_see({.stripes = 100, .lost = 40});
  std::size_t reports = 0;
  for (int i = 0; i < 2; ++i) {
    d.run_to(0.6);
    for (const auto& one : d.desk(0).status().reports) {
      EXPECT_EQ(one.report.facts.fresh, 40u);
      ++reports;
    }
  }
  EXPECT_GT(reports, 0u);
}

TEST(ModeDesk, ARestartMakesNoSecondReport) {
  Desks d(3);
  d.start_all();
  d.world.run_for(2 * epoch);
  d.run_to(0.3);
  d.stop_desk(d.at(2));
  d.facts[&d.at(2)] = bad;
  d.start_desk(d.at(2));
  d.run_to(0.2);  // until well into the next
  EXPECT_EQ(d.desk(0).status().tally.reports, 3u);
}

TEST(ModeDesk, AReportThatOneIsToldReachesAll) {
  Desks d(8);
  for (std::size_t i = 0; i < 7; ++i) d.start_desk(d.at(i));
  d.run_to(0.05);
  ASSERT_TRUE(d.push(d.at(7), d.at(0), d.says(d.at(7), d.number(d.at(0)), good)));
  d.world.run_for(5s);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(d.held(d.at(7), d.at(i), d.at(7)), 1u) << i;
}

TEST(ModeDesk, WhoSaysTwoThingsSaysNothing) {
  Desks d(8);
  for (std::size_t i = 0; i < 7; ++i) d.start_desk(d.at(i));
  d.world.run_for(2 * epoch);
  d.run_to(0.05);
  auto& liar = d.at(7);
  ASSERT_TRUE(d.push(liar, d.at(0), d.says(liar, d.number(liar), good)));
  ASSERT_TRUE(d.push(liar, d.at(1), d.says(liar, d.number(liar), bad)));
  ASSERT_TRUE(d.push(liar, d.at(2), d.says(liar, d.number(liar), {.stripes = 7})));
  d.world.run_for(epoch * 6 / 10);
  for (std::size_t i = 0; i < 7; ++i) {
    const auto status = d.desk(i).status();
    EXPECT_EQ(status.tally.reports, 7u) << i;
    for (const auto& one : status.reports) EXPECT_NE(one.report.reporter, liar.id());
    EXPECT_EQ(d.held(liar, d.at(i), liar), 2u) << i;  // for whoever comes late
  }
}

TEST(ModeDesk, AVerdictThatItsFiguresDoNotCallForIsRefused) {
  Desks d(4);
  d.start_desk(d.at(0));
  d.run_to(0.05);
  d.lying_flags = true;
  ASSERT_TRUE(d.push(d.at(1), d.at(0), d.says(d.at(1), d.number(d.at(0)), {.stripes = 100, .urgent = 1})));
  EXPECT_EQ(d.held(d.at(1), d.at(0), d.at(1)), 0u);
  d.lying_flags = false;
  ASSERT_TRUE(d.push(d.at(1), d.at(0), d.says(d.at(1), d.number(d.at(0)), {.stripes = 100, .urgent = 1})));
  EXPECT_EQ(d.held(d.at(1), d.at(0), d.at(1)), 1u);
}

TEST(ModeDesk, ReportsOfTheNextEpochAreKeptAndNotHandedOut) {
  Desks d(4);
  d.start_desk(d.at(0));
  d.run_to(0.9);
  ASSERT_TRUE(d.push(d.at(1), d.at(0), d.says(d.at(1), d.number(d.at(0)) + 1, good)));
  EXPECT_EQ(d.held(d.at(1), d.at(0), d.at(1)), 0u);
  d.run_to(0.01);
  EXPECT_EQ(d.held(d.at(1), d.at(0), d.at(1)), 1u);
}

TEST(ModeDesk, NobodyAsksWithoutEnd) {
  Desks d(2);
  d.start_desk(d.at(0));
  int answered = 0;
  for (int i = 0; i < 40; ++i) {
    const auto reply = d.ask(d.at(1), d.at(0));
    answered += reply.has_value();
    if (!reply) EXPECT_EQ(reply.error().code, Errc::busy);
  }
  EXPECT_GE(answered, 10);
  EXPECT_LT(answered, 40);
}

}  // namespace
}  // namespace spatter
