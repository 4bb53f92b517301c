// What an epoch's reports make of the mode: quorum, two thirds, calm epochs, and what minorities can do.
#include "mend/mode.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "base/random.h"
#include "crypto/hash.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

/// Persons with one server each, and others made of them.
struct People {
  explicit People(std::size_t count, std::uint64_t seed = 1) : random(seed) {
    for (std::size_t i = 0; i < count; ++i) ids.push_back(random.id<PersonId>());
  }
  /// A report as it is after its check.
  ModeReportFacts says(std::size_t person, std::uint64_t epoch, bool threatened, bool calm, bool repair_only = false,
                       std::optional<ServerId> server = {}) {
    ModeReportFacts facts;
    facts.report.person = ids[person];
    facts.report.reporter = server ? *server : ServerId{ids[person].bytes};
    facts.report.epoch = epoch;
    facts.report.threatened = threatened;
    facts.report.calm = calm;
    facts.report.repair_only = repair_only;
    facts.report.facts.stripes = 100;
    facts.hash = random.id<Digest>();
    return facts;
  }

  SeededRandom random;
  std::vector<PersonId> ids;
};

Electorate all_of(std::uint64_t persons) { return {persons, persons, persons, false}; }

TEST(ModeFacts, WhatIsEndangeredThreatens) {
  const MendRules rules;
  const Duration hour = 1h;
  EXPECT_TRUE(judge_facts({}, rules, hour).calm);
  EXPECT_FALSE(judge_facts({}, rules, hour).threatened);
  const auto verdict = [&](ModeFacts facts) { return judge_facts(facts, rules, hour); };
  // 1 % is not more than 1 %.
  EXPECT_FALSE(verdict({.stripes = 1000, .urgent = 10}).threatened);
  EXPECT_TRUE(verdict({.stripes = 1000, .urgent = 11}).threatened);
  EXPECT_FALSE(verdict({.stripes = 1000, .urgent = 2}).calm);
  EXPECT_TRUE(verdict({.stripes = 1000, .urgent = 1}).calm);
  // What is only due is no danger.
  EXPECT_TRUE(verdict({.stripes = 1000, .due = 900}).calm);
}

TEST(ModeFacts, WhatNobodyCanRebuildCountsWhileItIsNew) {
  const MendRules rules;
  const auto lost = [&](std::uint64_t fresh) { return judge_facts({.stripes = 100, .lost = 40, .fresh = fresh}, rules, 1h); };
  EXPECT_TRUE(lost(40).threatened);
  EXPECT_FALSE(lost(40).calm);
  EXPECT_FALSE(lost(0).threatened);
  EXPECT_TRUE(lost(0).calm);
  EXPECT_TRUE(judge_facts({.stripes = 100, .urgent = 30, .stuck = 30}, rules, 1h).calm);
  EXPECT_TRUE(judge_facts({.stripes = 100, .urgent = 31, .stuck = 29}, rules, 1h).threatened);
}

TEST(ModeFacts, ARaceThatRepairWouldLose) {
  const MendRules rules;
  // At one of 90 servers in 24 hours another 30 are gone in 30 days.
  ModeFacts facts{.stripes = 100'000, .due = 40, .left_bytes = 31ull * 86400 * 3000, .repair_bytes_per_s = 1000,
                  .helpers = 3, .partners = 90, .departed = 1};
  EXPECT_TRUE(judge_facts(facts, rules, 1h).race);
  EXPECT_TRUE(judge_facts(facts, rules, 1h).threatened);
  EXPECT_FALSE(judge_facts(facts, rules, 1h).calm);
  facts.left_bytes = 29ull * 86400 * 3000;
  EXPECT_FALSE(judge_facts(facts, rules, 1h).race);
  facts.left_bytes *= 2;
  facts.departed = 0;
  EXPECT_FALSE(judge_facts(facts, rules, 1h).race);
  // A speed that has not been measured says nothing.
  facts.departed = 1;
  facts.repair_bytes_per_s = 0;
  EXPECT_FALSE(judge_facts(facts, rules, 1h).race);
  EXPECT_FALSE(facts.seconds_left());
}

TEST(ModeTally, APersonHasOneVoice) {
  People people(4);
  std::vector<ModeReportFacts> reports;
  for (int i = 0; i < 1000; ++i) reports.push_back(people.says(0, 7, true, false, false, people.random.id<ServerId>()));
  for (std::size_t i = 1; i < 4; ++i) reports.push_back(people.says(i, 7, false, true));
  reports.push_back(people.says(1, 8, true, false));  // another epoch
  const auto sum = tally(reports, 7, all_of(4), {});
  EXPECT_EQ(sum.reports, 4u);
  EXPECT_EQ(sum.threatened, 1u);
  EXPECT_TRUE(sum.quorum);
  EXPECT_FALSE(sum.is_threatened());
  EXPECT_TRUE(sum.is_calm());
}

TEST(ModeTally, WhichOfTwoWordsCountsDoesNotDependOnTheirOrder) {
  People people(1);
  const auto one = people.says(0, 7, true, false), other = people.says(0, 7, false, true);
  const std::vector<ModeReportFacts> forth{one, other}, back{other, one};
  EXPECT_EQ(tally(forth, 7, all_of(2), {}).threatened, tally(back, 7, all_of(2), {}).threatened);
}

TEST(ModeTally, WhereOnePersonRunsEverythingHisServersHaveTheVoices) {
  People people(1);
  std::vector<ModeReportFacts> reports;
  for (int i = 0; i < 6; ++i) reports.push_back(people.says(0, 7, i < 4, false, false, people.random.id<ServerId>()));
  const auto sum = tally(reports, 7, {12, 12, 7, true}, {});
  EXPECT_EQ(sum.reports, 6u);
  EXPECT_TRUE(sum.is_threatened());
}

TEST(ModeTally, Quorum) {
  const MendRules rules;  // 16 reporters
  People people(1000);
  const auto quorum = [&](std::size_t reports, Electorate electorate) {
    std::vector<ModeReportFacts> said;
    for (std::size_t i = 0; i < reports; ++i) said.push_back(people.says(i, 7, true, false));
    return tally(said, 7, electorate, rules).quorum;
  };
  EXPECT_TRUE(quorum(1, {1, 1, 1, true}));      // the only one that there is
  EXPECT_FALSE(quorum(1, {2, 2, 1, false}));    // alone
  EXPECT_TRUE(quorum(3, {12, 12, 6, false}));   // half of the half that is left
  EXPECT_FALSE(quorum(2, {12, 12, 6, false}));
  EXPECT_FALSE(quorum(5, {12, 12, 5, false}));  // the smaller side
  EXPECT_TRUE(quorum(8, all_of(1000)));
  EXPECT_FALSE(quorum(7, all_of(1000)));
  EXPECT_TRUE(quorum(4, {1000, 1000, 500, false}));
  EXPECT_FALSE(quorum(3, {1000, 1000, 500, false}));
  EXPECT_FALSE(quorum(16, {1000, 1000, 499, false}));
}

/// An epoch in which everybody present says the same.
ModeTally word(std::uint64_t epoch, bool threatened, bool calm, bool repair_only) {
  return {.epoch = epoch, .reports = 10, .threatened = threatened ? 10u : 0u, .calm = calm ? 10u : 0u,
          .repair_only = repair_only ? 10u : 0u, .needed = 5, .needed_to_begin = 5, .quorum = true, .majority = true};
}

TEST(ModeTally, HalfOfThoseKnownBeginAndHalfOfTheVoicesEnd) {
  People people(20);
  std::vector<ModeReportFacts> said;
  for (std::size_t i = 0; i < 12; ++i) said.push_back(people.says(i, 7, true, false));
  const auto begins = [&](Electorate electorate) { return tally(said, 7, electorate, {}).is_threatened(); };
  EXPECT_TRUE(begins({12, 12, 7, false}));
  EXPECT_TRUE(begins({12, 12, 6, false}));       // half of all have died
  EXPECT_FALSE(begins({12, 12, 5, false}));      // the smaller side of a network that fell apart
  EXPECT_FALSE(begins({5, 5, 5, false, 12}));    // and when the other is no longer counted
  EXPECT_TRUE(begins({6, 6, 6, false, 12}));
  for (auto& one : said) {
    one.report.threatened = false;
    one.report.calm = true;
  }
  EXPECT_TRUE(tally(said, 7, {12, 12, 6, false}, {}).is_calm());
  EXPECT_TRUE(tally(said, 7, {6, 6, 6, false, 12}, {}).is_calm());
}

TEST(ModeTally, WhoSeesNoStripesAbstains) {
  People people(40);
  const auto empty = [&](std::size_t person) {
    auto one = people.says(person, 7, false, true);
    one.report.facts.stripes = 0;
    return one;
  };
  std::vector<ModeReportFacts> said;
  for (std::size_t i = 0; i < 5; ++i) said.push_back(people.says(i, 7, true, false));
  for (std::size_t i = 5; i < 15; ++i) said.push_back(empty(i));
  // Ten who are new do not outvote five, nor stand in the way.
  auto sum = tally(said, 7, all_of(15), {});
  EXPECT_EQ(sum.reports, 5u);
  EXPECT_EQ(sum.abstained, 10u);
  EXPECT_TRUE(sum.is_threatened());
  // But one of sixteen begins nothing because all others abstain,
  said.resize(1);
  for (std::size_t i = 5; i < 20; ++i) said.push_back(empty(i));
  sum = tally(said, 7, all_of(16), {});
  EXPECT_TRUE(sum.quorum);
  EXPECT_FALSE(sum.is_threatened());
  EXPECT_FALSE(step({}, sum, {}).repair_only);
  said[0].report.repair_only = true;
  EXPECT_FALSE(step({}, tally(said, 7, all_of(16), {}), {}).repair_only);
  // though he can end it,
  said[0] = people.says(0, 7, false, true);
  EXPECT_TRUE(tally(said, 7, all_of(16), {}).is_calm());
  // and it ends where there is nothing that could be in danger.
  said[0] = empty(0);
  sum = tally(said, 7, all_of(16), {});
  EXPECT_EQ(sum.reports, 0u);
  EXPECT_FALSE(sum.is_threatened());
  EXPECT_FALSE(step({0, true, 0, 1}, sum, {}).repair_only);
  EXPECT_FALSE(step({}, sum, {}).repair_only);
  // Silence is no abstention.
  EXPECT_FALSE(tally({}, 7, all_of(16), {}).quorum);
}

TEST(ModeTally, OneLiarDoesNotDecideWhatIsShown) {
  People people(5);
  std::vector<ModeReportFacts> said;
  for (std::size_t i = 0; i < 5; ++i) {
    said.push_back(people.says(i, 7, false, false));
    said.back().report.facts = {.stripes = 100, .due = 10, .urgent = 10, .left_bytes = 1000, .repair_bytes_per_s = 10, .helpers = 10,
                                .partners = 8, .departed = 2};
  }
  said[3].report.facts = {.stripes = mode_figure_max, .lost = mode_figure_max, .left_bytes = mode_figure_max, .repair_bytes_per_s = 1,
                          .helpers = 1, .partners = mode_figure_max, .departed = mode_figure_max};
  const auto sum = tally(said, 7, all_of(5), {});
  EXPECT_DOUBLE_EQ(sum.share_in_danger, 0.1);
  EXPECT_DOUBLE_EQ(sum.seconds_left.value(), 10);
  EXPECT_EQ(sum.sum.partners, 8u);
  EXPECT_EQ(sum.sum.departed, 2u);
  EXPECT_EQ(sum.sum.stripes, 800u);
  EXPECT_EQ(sum.sum.urgent, 40u);
  EXPECT_EQ(sum.sum.lost, 400u);
}

TEST(ModeState, OnWithOneThreatenedEpochOffWithTwoCalmOnesInARow) {
  const MendRules rules;
  ModeState state;
  state = step(state, word(5, false, false, false), rules);
  EXPECT_FALSE(state.repair_only);
  state = step(state, word(6, true, false, false), rules);
  EXPECT_EQ(state, (ModeState{6, true, 6, 0}));
  state = step(state, word(7, false, true, true), rules);
  EXPECT_EQ(state, (ModeState{7, true, 6, 1}));
  state = step(state, word(8, false, false, true), rules);  // neither: the run is broken
  EXPECT_EQ(state, (ModeState{8, true, 6, 0}));
  state = step(state, word(9, false, true, true), rules);
  ModeTally silence{.epoch = 10};
  EXPECT_EQ(step(state, silence, rules), (ModeState{9, true, 6, 1}));
  state = step(step(state, silence, rules), word(11, false, true, true), rules);
  EXPECT_EQ(state, (ModeState{11, false, 11, 0}));
}

TEST(ModeState, TwoThirdsAreNeededAndEnough) {
  const MendRules rules;
  for (std::uint64_t reports = 1; reports <= 60; ++reports)
    for (std::uint64_t threatened = 0; threatened <= reports; ++threatened) {
      ModeTally sum{.epoch = 1, .reports = reports, .threatened = threatened, .needed = 1, .quorum = true, .majority = true};
      EXPECT_EQ(step({}, sum, rules).repair_only, 3 * threatened >= 2 * reports) << threatened << " of " << reports;
      sum.quorum = false;
      EXPECT_FALSE(step({}, sum, rules).repair_only);
      ModeTally calm{.epoch = 1, .reports = reports, .calm = threatened, .repair_only = reports, .needed = 1, .quorum = true};
      const ModeState on{0, true, 0, rules.calm_epochs - 1};
      EXPECT_EQ(step(on, calm, rules).repair_only, 3 * threatened < 2 * reports);
    }
}

TEST(ModeState, WhoMissedSomethingFollowsTwoThirds) {
  const MendRules rules;
  // The others have been in it since he was away.
  auto state = step({3, false, 0, 0}, word(9, false, false, true), rules);
  EXPECT_TRUE(state.repair_only);
  EXPECT_EQ(state.since_epoch, 9u);
  // And have left it.
  state = step({3, true, 2, 0}, word(9, false, true, false), rules);
  EXPECT_FALSE(state.repair_only);
  auto few = word(9, false, false, false);
  few.repair_only = 6;
  EXPECT_FALSE(step({3, false, 0, 0}, few, rules).repair_only);
}

TEST(ModeState, FewerThanAThirdCannotBegin) {
  EXPECT_TRUE(rc::check([] {
    const auto honest = *rc::gen::inRange<std::size_t>(2, 40);
    const auto liars = *rc::gen::inRange<std::size_t>(0, (honest + 1) / 2);
    RC_PRE(3 * liars < honest + liars);
    People people(honest + liars, *rc::gen::arbitrary<std::uint64_t>());
    ModeState state;
    for (std::uint64_t epoch = 1; epoch < 20; ++epoch) {
      std::vector<ModeReportFacts> reports;
      for (std::size_t i = 0; i < honest; ++i) reports.push_back(people.says(i, epoch, false, *rc::gen::arbitrary<bool>()));
      for (std::size_t i = 0; i < liars; ++i) {
        // They say what they like, with as many servers as they like, or nothing.
        const auto servers = *rc::gen::inRange(0, 5);
        for (int j = 0; j < servers; ++j)
          reports.push_back(people.says(honest + i, epoch, *rc::gen::arbitrary<bool>(), false, *rc::gen::arbitrary<bool>(),
                                        people.random.id<ServerId>()));
      }
      state = step(state, tally(reports, epoch, all_of(honest + liars), {}), {});
      RC_ASSERT(!state.repair_only);
    }
  }));
}

TEST(ModeState, FewerThanAThirdCannotProlong) {
  EXPECT_TRUE(rc::check([] {
    const auto honest = *rc::gen::inRange<std::size_t>(2, 40);
    const auto liars = *rc::gen::inRange<std::size_t>(0, (honest + 1) / 2);
    RC_PRE(3 * liars < honest + liars);
    People people(honest + liars, *rc::gen::arbitrary<std::uint64_t>());
    const MendRules rules;
    ModeState state{0, true, 0, 0};
    for (std::uint64_t epoch = 1; epoch <= rules.calm_epochs; ++epoch) {
      std::vector<ModeReportFacts> reports;
      for (std::size_t i = 0; i < honest; ++i) reports.push_back(people.says(i, epoch, false, true, true));
      for (std::size_t i = 0; i < liars; ++i)
        if (*rc::gen::arbitrary<bool>()) reports.push_back(people.says(honest + i, epoch, true, false, *rc::gen::arbitrary<bool>()));
      state = step(state, tally(reports, epoch, all_of(honest + liars), rules), rules);
    }
    RC_ASSERT(!state.repair_only);
  }));
}

/// Servers that see the same reports are in the same mode, whatever comes.
TEST(ModeState, SameReportsSameMode) {
  EXPECT_TRUE(rc::check([] {
    const auto persons = *rc::gen::inRange<std::size_t>(2, 12);
    People people(persons, *rc::gen::arbitrary<std::uint64_t>());
    ModeState one, other;
    for (std::uint64_t epoch = 1; epoch < 12; ++epoch) {
      std::vector<ModeReportFacts> reports;
      for (std::size_t i = 0; i < persons; ++i) {
        const auto what = *rc::gen::inRange(0, 4);
        if (what < 3) reports.push_back(people.says(i, epoch, what == 0, what == 1, one.repair_only));
      }
      one = step(one, tally(reports, epoch, all_of(persons), {}), {});
      std::ranges::reverse(reports);
      other = step(other, tally(reports, epoch, all_of(persons), {}), {});
      RC_ASSERT(one == other);
    }
  }));
}

/// A report as it goes over the wire.
struct Signer {
  SeededRandom random{3};
  SigningKey person = SigningKey::generate(random), server = SigningKey::generate(random);
  NetworkId network = random.id<NetworkId>();
  Identity identity = make_identity(network, person, server, 1000);

  ModeReport report() const {
    ModeReport made;
    made.reporter = identity.server;
    made.person = identity.person;
    made.epoch = 77;
    const auto draw = make_draw(person, reporter_draw(network, 77, identity.person));
    made.draw_key = draw.proof.key;
    made.draw = draw.proof.proof;
    made.certificate = identity.certificate;
    made.facts = {.stripes = 90, .tidy = 1, .due = 2, .urgent = 3, .lost = 4, .stuck = 1, .fresh = 5, .left_bytes = 6,
                  .repair_bytes_per_s = 7, .helpers = 8, .partners = 9, .departed = 2};
    made.threatened = true;
    made.made_ms = 123;
    return made;
  }
};

TEST(ModeReport, SaysWhatWasSaid) {
  const Signer signer;
  const auto checked = check_mode_report(make_mode_report(signer.server, signer.network, signer.report()), signer.network);
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_EQ(checked->report.reporter, signer.identity.server);
  EXPECT_EQ(checked->report.person, signer.identity.person);
  EXPECT_EQ(checked->report.epoch, 77u);
  EXPECT_EQ(checked->report.facts, signer.report().facts);
  EXPECT_TRUE(checked->report.threatened);
  EXPECT_FALSE(checked->report.calm);
  EXPECT_EQ(checked->signed_by, signer.identity.person);
}

TEST(ModeReport, WhatDoesNotProveItselfIsRefused) {
  Signer signer;
  const auto refused = [&](const ModeReport& report, std::string_view why, const SigningKey* key = nullptr) {
    const auto checked = check_mode_report(make_mode_report(key ? *key : signer.server, signer.network, report), signer.network);
    ASSERT_FALSE(checked) << why;
    EXPECT_NE(checked.error().message.find(why), std::string::npos) << checked.error().message;
  };
  const auto stranger = SigningKey::generate(signer.random);
  refused(signer.report(), "another key", &stranger);
  auto report = signer.report();
  report.person = signer.random.id<PersonId>();
  refused(report, "another's certificate");
  report = signer.report();
  report.epoch = 78;  // its draw was made for another
  refused(report, "draw");
  report = signer.report();
  const auto draw = make_draw(stranger, reporter_draw(signer.network, 77, report.person));
  report.draw_key = draw.proof.key;
  report.draw = draw.proof.proof;
  refused(report, "not its person's");
  report = signer.report();
  report.certificate = make_certificate(signer.person, signer.network, stranger.public_key(), 1);
  refused(report, "another's certificate");
  report = signer.report();
  report.facts.urgent = 91;
  refused(report, "more stripes in danger");
  report = signer.report();
  report.facts.stripes = mode_figure_max + 1;
  refused(report, "beyond all bounds");
  report = signer.report();
  report.facts.fresh = 6;
  refused(report, "contradict");
  report = signer.report();
  report.calm = true;
  refused(report, "at once");
  auto padded = make_mode_report(signer.server, signer.network, signer.report());
  EXPECT_TRUE(check_mode_report(padded, signer.network));
  wire::ModeReport body;
  ASSERT_TRUE(body.ParseFromString(padded.body()));
  body.mutable_certificate()->mutable_body()->append(mode_report_bytes_max, 'x');
  padded = sign_message(signer.server, kind::mode_report, body);
  const auto too_long = check_mode_report(padded, signer.network);
  ASSERT_FALSE(too_long);
  EXPECT_NE(too_long.error().message.find("4096 are allowed"), std::string::npos) << too_long.error().message;
  report = signer.report();
  EXPECT_FALSE(check_mode_report(make_mode_report(signer.server, signer.random.id<NetworkId>(), report), signer.network));
}

TEST(ModeReport, ReportersAreDrawnByPerson) {
  const Signer signer;
  const MendRules rules;
  SeededRandom random(5);
  int drawn = 0, taken = 0;
  constexpr int persons = 400;
  for (int i = 0; i < persons; ++i) {
    const auto key = SigningKey::generate(random);
    const auto output = make_draw(key, reporter_draw(signer.network, 3, person_id(key.public_key()))).output;
    drawn += is_reporter(output, rules, persons);
    taken += may_report(output, rules, persons);
    EXPECT_TRUE(is_reporter(output, rules, rules.reporters));
  }
  EXPECT_GT(drawn, 4);
  EXPECT_LT(drawn, 32);
  EXPECT_GE(taken, drawn);
}

}  // namespace
}  // namespace spatter
