// Aim: each rule of the ledger where it can be counted by hand.
#include "cycles/ledger.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "cycles/ledger_view.h"
#include "market.h"

namespace spatter::cycles {
namespace {

using Finding = Verdict::Finding;
constexpr Fuel hour = Market::epoch_promise;

class LedgerRulesTest : public testing::Test, protected Market {
 protected:
  LedgerRulesTest() { open(); }
  /// All of month 0 and what is said of it.
  void close_month(std::uint64_t number = 0) { close(rules.first_of(number + 1) + rules.settle_epochs); }
};

TEST_F(LedgerRulesTest, NewcomersStartAtZero) {
  close(5);
  EXPECT_EQ(month(0).promised, 0u);
  EXPECT_EQ(month(0).entitlement, 0u);
  EXPECT_EQ(ledger.affordable(traders[0].person, at(5)), 0u);
  const auto lease = ask(0, 1, 1, 5.5);
  EXPECT_EQ(ledger.decide(lease.entry, at(5.5)).kind, Answer::Kind::not_entitled);
  close(10);
  EXPECT_EQ(month(0).promised, 4 * hour);
  EXPECT_EQ(month(0).entitlement, 4 * hour);
  EXPECT_EQ(ledger.affordable(random.id<PersonId>(), at(10)), 0u);
}

TEST_F(LedgerRulesTest, WhatWasNotAskedForIsNotOwed) {
  close_month();
  EXPECT_EQ(month(0).promised, 18 * hour);
  EXPECT_EQ(month(0).asked, 0u);
  EXPECT_EQ(month(0).owed, 0u);
  EXPECT_TRUE(month(0).closed);
  EXPECT_EQ(month(0, 1).entitlement, 12 * hour) << "last month's ended with it";
}

TEST_F(LedgerRulesTest, AskedAndDelivered) {
  trade(0, 1, 1000, 10);
  close(11);
  EXPECT_EQ(month(0).spent, 1000u);
  close_month();
  EXPECT_EQ(month(0).spent, 1000u);
  EXPECT_EQ(month(1).asked, 1000u);
  EXPECT_EQ(month(1).delivered, 1000u);
  EXPECT_EQ(month(1).owed, 0u);
  EXPECT_EQ(month(1).beyond, 1'000'000u) << "of the beginning";
}

TEST_F(LedgerRulesTest, TheVerifiedCounts) {
  const auto lease = ask(0, 1, 1000, 10);
  answer(1, lease, 10);
  const auto delivery = deliver(1, lease, 11, 5000);
  say(0, Receipt{delivery.entry.id, 700, 10}, 11);
  close_month();
  EXPECT_EQ(month(1).delivered, 700u);
  EXPECT_EQ(month(0).spent, 700u);
  EXPECT_EQ(month(1).owed, 0u) << "nobody said that the rest was not given";
}

TEST_F(LedgerRulesTest, RefusedIsOwedWhenTwoOfThreeAgree) {
  for (const std::size_t votes : {0u, 1u, 2u, 3u}) {
    Market market;
    market.open();
    const auto lease = market.ask(0, 1, 1000, 10);
    market.answer(1, lease, 10, Answer::Kind::time_taken);
    market.close(10);
    market.witness(0, 1, lease, Finding::not_given, 10.5, votes);
    market.close(36);
    EXPECT_EQ(market.month(1).owed, votes >= 2 ? 1000u : 0u) << votes;
    EXPECT_EQ(market.month(1).asked, votes >= 2 ? 1000u : 0u) << votes;
    EXPECT_EQ(market.ledger.debt(market.traders[1].person), votes >= 2 ? 1000u : 0u);
    EXPECT_EQ(market.month(0).spent, 0u);
  }
}

TEST_F(LedgerRulesTest, WhoDoesNotAnswerIsAskedAllTheSame) {
  const auto lease = ask(0, 1, 1000, 10);
  close(10);
  witness(0, 1, lease, Finding::not_given, 12, 2);
  close(12);
  EXPECT_EQ(month(0).spent, 1000u) << "until it is settled";
  close_month();
  EXPECT_EQ(month(1).owed, 1000u);
  EXPECT_EQ(month(0).spent, 0u);
}

TEST_F(LedgerRulesTest, OnlyTheDrawnWitness) {
  const auto lease = ask(0, 1, 1000, 10);
  answer(1, lease, 10, Answer::Kind::unwilling);
  close(10);
  const auto draw = draw_of(0, 0, 1, lease);
  const auto drawn = ledger.witnesses(lease.entry.id, draw).value();
  ASSERT_EQ(drawn.size(), 3u);
  EXPECT_EQ(std::ranges::count(drawn, traders[0].person) + std::ranges::count(drawn, traders[1].person), 0);
  for (std::size_t i = 0; i < traders.size(); ++i)
    if (i != number_of(drawn[0])) say(i, Verdict{lease.entry.id, Finding::not_given, std::ranges::count(drawn, traders[i].person) ? draw_of(1, 0, 1, lease).proof : draw.proof}, 10.5);
  close_month();
  EXPECT_EQ(month(1).owed, 0u) << "neither those not drawn, nor by a draw of the other";
  EXPECT_FALSE(ledger.witnesses(lease.entry.id, draw_of(2, 0, 1, lease)).has_value() &&
               *ledger.witnesses(lease.entry.id, draw_of(2, 0, 1, lease)) == drawn);
  EXPECT_EQ(ledger.witnesses(random.id<EntryId>(), draw).error().code, Errc::not_found);
  auto wrong = draw;
  wrong.proof[5] ^= 1;
  EXPECT_EQ(ledger.witnesses(lease.entry.id, wrong).error().code, Errc::corrupt);
}

TEST_F(LedgerRulesTest, WhoseTimeIsTakenOwesNothing) {
  close(10);
  for (const std::size_t asker : {0u, 2u, 3u}) answer(1, ask(asker, 1, 2 * hour, 10), 10);  // the guard: six hours
  const auto lease = ask(4, 1, 1000, 10);
  EXPECT_EQ(ledger.decide(lease.entry, at(10)).kind, Answer::Kind::time_taken);
  answer(1, lease, 10, Answer::Kind::time_taken);
  witness(4, 1, lease, Finding::not_given, 10.5);
  close_month();
  EXPECT_EQ(month(1).owed, 0u);
}

TEST_F(LedgerRulesTest, WhoRefusesOneAndGivesTheSameTimeToAnotherOwesNothing) {
  close(10);
  // Everything that month 0 still has is asked for: twice.
  std::vector<MadeEntry> refused;
  for (std::uint64_t epoch = 10; epoch < 24; ++epoch) {
    refused.push_back(ask(0, 1, hour, static_cast<double>(epoch)));
    answer(1, refused.back(), static_cast<double>(epoch), Answer::Kind::unwilling);
    const auto taken = ask(2, 1, hour, static_cast<double>(epoch));
    answer(1, taken, static_cast<double>(epoch));
    receipt(2, deliver(1, taken, static_cast<double>(epoch) + 0.5), static_cast<double>(epoch) + 0.6);
    close(epoch);
    witness(0, 1, refused.back(), Finding::not_given, static_cast<double>(epoch) + 0.7, 2);
  }
  close_month();
  EXPECT_EQ(month(1).promised, 18 * hour);
  EXPECT_EQ(month(1).delivered, 14 * hour);
  EXPECT_EQ(month(1).owed, 4 * hour) << "the four hours that nobody got, of the fourteen refused";
}

TEST_F(LedgerRulesTest, NotDeliveredByTheDeadlineIsOwed) {
  const auto lease = ask(0, 1, 1000, 8);
  answer(1, lease, 8);
  receipt(0, deliver(1, lease, 17), 17);  // the deadline was 16
  close(10);
  witness(0, 1, lease, Finding::not_given, 16.5);
  close_month();
  EXPECT_EQ(month(1).delivered, 0u);
  EXPECT_EQ(month(1).owed, 1000u);
  EXPECT_EQ(month(0).spent, 0u);
}

TEST_F(LedgerRulesTest, HalfDeliveredHalfOwed) {
  const auto lease = ask(0, 1, 1000, 8);
  answer(1, lease, 8);
  receipt(0, deliver(1, lease, 9, 400), 9);
  close(10);
  witness(0, 1, lease, Finding::not_given, 16.5);
  close_month();
  EXPECT_EQ(month(1).delivered, 400u);
  EXPECT_EQ(month(1).owed, 600u);
  EXPECT_EQ(month(0).spent, 400u);
}

TEST_F(LedgerRulesTest, AnAskerWhoDeniesHavingReceived) {
  for (const std::size_t votes : {1u, 2u}) {
    Market market;
    market.open();
    const auto lease = market.ask(0, 1, 1000, 8);
    market.answer(1, lease, 8);
    market.deliver(1, lease, 9);
    market.close(9);
    market.witness(0, 1, lease, Finding::delivered, 10, votes);
    market.witness(0, 1, lease, Finding::not_given, 10, 1);  // a friend of his
    market.close(36);
    EXPECT_EQ(market.month(1).delivered, votes == 2 ? 1000u : 0u);
    EXPECT_EQ(market.month(1).owed, 0u);
    EXPECT_EQ(market.month(0).spent, votes == 2 ? 1000u : 0u);
  }
}

TEST_F(LedgerRulesTest, ReplayedAndDoubledReceiptsChangeNothing) {
  const auto lease = ask(0, 1, 1000, 10);
  answer(1, lease, 10);
  const auto delivery = deliver(1, lease, 10);
  for (int i = 0; i < 3; ++i) receipt(0, delivery, 10.5, 1);
  say(1, Delivery{lease.entry.id, 1000, random.id<Digest>()}, 11);
  say(1, Answer{lease.entry.id, Answer::Kind::unwilling}, 11);
  say(2, Receipt{delivery.entry.id, 1000, 1}, 11);  // somebody else
  const std::size_t entries = ledger.size();
  for (const auto& record : records) EXPECT_FALSE(ledger.add(check_entry(record, network).value())->fresh);
  EXPECT_EQ(ledger.size(), entries);
  close_month();
  EXPECT_EQ(month(1).delivered, 1000u);
  EXPECT_EQ(month(0).spent, 1000u);
  Market other;
  other.open();
  const auto same = other.ask(0, 1, 1000, 10);
  other.answer(1, same, 10);
  other.receipt(0, other.deliver(1, same, 10), 10.5, 1);
  other.close(20);
  EXPECT_EQ(ledger.servers(traders[1].person).at(0).speed, other.ledger.servers(other.traders[1].person).at(0).speed)
      << "nor do they make a server quicker";
}

TEST_F(LedgerRulesTest, DebtDocksTheNextMonthUntilItIsWorkedOff) {
  // 9 of 18 hours are refused.
  for (std::uint64_t epoch = 10; epoch < 19; ++epoch) {
    const auto lease = ask(0, 1, hour, static_cast<double>(epoch));
    answer(1, lease, static_cast<double>(epoch), Answer::Kind::unwilling);
    close(epoch);
    witness(0, 1, lease, Finding::not_given, static_cast<double>(epoch) + 0.5, 2);
  }
  close_month();
  EXPECT_EQ(month(1).owed, 9 * hour);
  EXPECT_EQ(month(1, 1).entitlement, 12 * hour) << "until the month was closed";
  close(40);
  EXPECT_EQ(month(1, 1).docked_ppm, 500'000u) << "9 of 18";
  EXPECT_EQ(month(1, 1).entitlement, 14 * hour);
  EXPECT_EQ(month(1, 1).docked, 2 * hour);
  // Work that nobody owes reduces it one for one.
  const auto free = ask(2, 1, 6 * hour, 40.1, true);
  const auto decision = ledger.decide(free.entry, at(40.1));
  EXPECT_EQ(decision.kind, Answer::Kind::accepted);
  EXPECT_FALSE(decision.promised);
  EXPECT_TRUE(decision.reduces_debt);
  answer(1, free, 40.1);
  receipt(2, deliver(1, free, 41), 41.1);
  close(41);
  EXPECT_EQ(ledger.debt(traders[1].person), 9 * hour);
  close(54);
  EXPECT_EQ(ledger.debt(traders[1].person), 3 * hour);
  EXPECT_EQ(month(1, 1).repaid, 6 * hour);
  EXPECT_EQ(month(1, 1).beyond, 6 * hour);
  EXPECT_EQ(month(1, 2).docked_ppm, static_cast<std::uint32_t>(3 * hour * 1'000'000 / month(1, 1).promised));
  EXPECT_EQ(month(0, 1).docked, 0u) << "nobody else's";
  close(58);
  trade(3, 1, 4 * hour, 58.1, true);
  close(80);
  EXPECT_EQ(ledger.debt(traders[1].person), 0u);
  EXPECT_EQ(month(1, 2).repaid, 3 * hour) << "no more than there was";
  EXPECT_EQ(month(1, 3).docked, 0u);
}

TEST_F(LedgerRulesTest, DebtIsAtMostTwoMonthsPromise) {
  // From hour 6 on, everything is refused for four months.
  const std::uint64_t end = rules.first_of(4);
  for (std::uint64_t epoch = 8; epoch < end; ++epoch) {
    close(epoch);
    const auto lease = ask(epoch % 2 ? 0 : 2, 1, hour, static_cast<double>(epoch) + 0.01);
    answer(1, lease, static_cast<double>(epoch) + 0.01, Answer::Kind::unwilling);
    witness(epoch % 2 ? 0 : 2, 1, lease, Finding::not_given, static_cast<double>(epoch) + 0.5, 2);
  }
  close_month(3);
  EXPECT_GT(month(1, 3).owed, 20 * hour);
  EXPECT_LE(month(1, 3).owed, month(1, 3).promised);
  EXPECT_EQ(ledger.debt(traders[1].person), month(1, 3).promised + month(1, 2).promised);
  close(end + 20);
  EXPECT_EQ(month(1, 4).docked_ppm, 1'000'000u);
  EXPECT_EQ(ledger.affordable(traders[1].person, at(static_cast<double>(end) + 21)), month(1, 4).entitlement - month(1, 4).spent);
}

TEST_F(LedgerRulesTest, AMonthThatEndsWithinALeaseDividesItToTheUnit) {
  close(23);
  const WallMs moment = at(23) + 1'800'000;  // half an hour before the end
  const auto lease = ask(0, 1, 2 * hour + 1, 23.5);
  ASSERT_EQ(lease.entry.made_ms, moment);
  answer(1, lease, 23.5);
  receipt(0, deliver(1, lease, 24.1), 24.2);
  const auto refused = ask(2, 1, 10, 23.5);
  answer(1, refused, 23.5, Answer::Kind::unwilling);
  witness(2, 1, refused, Finding::not_given, 24, 2);
  close_month(0);
  close_month(1);
  EXPECT_EQ(month(1, 0).delivered, hour / 2);
  EXPECT_EQ(month(1, 1).delivered, hour / 2 + hour + 1);
  EXPECT_EQ(month(1, 0).owed, 0u);
  EXPECT_EQ(month(1, 1).owed, 10u) << "it would have come after the other";
  EXPECT_EQ(month(0, 0).spent, 2 * hour + 1) << "of the month in which it was asked";
}

TEST_F(LedgerRulesTest, WhoHasSpentHisEntitlementAsksInVain) {
  close(8);
  const Fuel mine = ledger.affordable(traders[0].person, at(8));
  EXPECT_EQ(mine, 3 * hour);
  const auto most = ask(0, 1, mine, 8);
  EXPECT_EQ(ledger.affordable(traders[0].person, at(8)), 0u);
  EXPECT_TRUE(ledger.decide(most.entry, at(8)).promised);
  answer(1, most, 8);
  const auto more = ask(0, 2, 1, 8.1);
  EXPECT_EQ(ledger.decide(more.entry, at(8.1)).kind, Answer::Kind::not_entitled);
  answer(2, more, 8.1);  // all the same: freely
  receipt(0, deliver(2, more, 8.2), 8.3);
  close_month();
  EXPECT_EQ(month(2).delivered, 0u);
  EXPECT_EQ(month(2).beyond, 1'000'001u);
}

TEST_F(LedgerRulesTest, OnesOwnServersCannotFillEachOther) {
  traders.emplace_back(random, traders[1].person);
  const std::size_t second = traders.size() - 1;
  say(second, Pledge{500'000, 0}, 8);
  const auto own = ask(second, 1, 6 * hour, 12);
  answer(1, own, 12);
  receipt(second, deliver(1, own, 12.1), 12.2, 1);
  const auto lease = ask(0, 1, 6 * hour, 12.5);
  close(12);
  answer(1, lease, 12.5, Answer::Kind::time_taken);
  witness(0, 1, lease, Finding::not_given, 13, 2);
  close_month();
  EXPECT_EQ(month(1).delivered, 0u);
  EXPECT_EQ(month(1).owed, 6 * hour);
  EXPECT_EQ(ledger.servers(traders[1].person).at(0).speed, Market::speed) << "nor show how quick they are";
}

TEST_F(LedgerRulesTest, TwoEntriesWithOneNumberCostTheEntitlementUntilTheNextMonthIsOver) {
  close(10);
  const ChainHead before = traders[0].head;
  const auto one = make(0, Lease{traders[1].id, hour, false, {}}, 10);
  traders[0].head = before;
  const auto other = make(0, Lease{traders[2].id, hour, false, {}}, 10);
  give(one);
  const auto added = ledger.add(check_entry(other.record, network).value()).value();
  ASSERT_EQ(added.conflict, one.entry.id);
  const auto fork = make_fork(one.record.entry(), other.record.entry(), network).value();
  say(3, fork, 11);
  say(4, fork, 30);  // said again, it costs no more
  close(13);
  EXPECT_EQ(ledger.barred_until(traders[0].person), 48u);
  EXPECT_EQ(ledger.affordable(traders[0].person, at(13)), 0u);
  EXPECT_EQ(ledger.decide(ask(0, 1, 1, 13).entry, at(13)).kind, Answer::Kind::not_entitled);
  close(60);
  EXPECT_EQ(month(0, 0).entitlement, 6 * hour) << "epochs 6 to 11";
  EXPECT_EQ(month(0, 1).entitlement, 0u);
  EXPECT_EQ(month(0, 1).promised, 24 * hour);
  EXPECT_EQ(month(0, 2).entitlement, 12 * hour);
  EXPECT_FALSE(ledger.barred_until(traders[0].person));
}

TEST_F(LedgerRulesTest, ALateEntryOpensItsMonthAgain) {
  const auto lease = ask(0, 1, 1000, 10);
  answer(1, lease, 10);
  const auto delivery = make(1, Delivery{lease.entry.id, 1000, {}}, 11);
  const auto receipt = make(0, Receipt{delivery.entry.id, 1000, 2}, 11.5);
  close(100);
  EXPECT_EQ(month(1).delivered, 0u);
  give(receipt);
  give(delivery);
  close(100);
  EXPECT_EQ(month(1).delivered, 1000u);
  EXPECT_EQ(ledger.closed_until(), 100u);
  Ledger at_once(network, rules);
  for (const auto& record : records) ASSERT_TRUE(at_once.add(check_entry(record, network).value()));
  at_once.close_until(100);
  for (const Trader& trader : traders) EXPECT_EQ(at_once.months(trader.person), ledger.months(trader.person));
}

TEST_F(LedgerRulesTest, WhatIsMissingOfAChainIsKnown) {
  const std::uint64_t before = traders[0].head.number;
  EXPECT_EQ(ledger.whole_until().at(traders[0].id), before);
  const auto missing = make(0, Pledge{1, 0}, 8);
  say(0, Pledge{2, 0}, 8);
  EXPECT_EQ(ledger.whole_until().at(traders[0].id), before);
  give(missing);
  EXPECT_EQ(ledger.whole_until().at(traders[0].id), before + 2);
}

TEST_F(LedgerRulesTest, AServerHasOnePerson) {
  Trader& trader = traders[0];
  const auto made = make_entry(trader.key, network, traders[1].person, trader.head, Pledge{}, at(5));
  EXPECT_EQ(ledger.add(made.entry).error().code, Errc::denied);
}

TEST_F(LedgerRulesTest, AWrongClockIsAnsweredSo) {
  close(10);
  const auto lease = ask(0, 1, 1000, 10.5);
  EXPECT_EQ(ledger.decide(lease.entry, at(10.9)).kind, Answer::Kind::accepted);
  EXPECT_EQ(ledger.decide(lease.entry, at(12)).kind, Answer::Kind::clocks_differ);
  EXPECT_EQ(ledger.decide(lease.entry, at(8.9)).kind, Answer::Kind::clocks_differ);
  answer(1, lease, 12.1);  // too late to count
  receipt(0, deliver(1, lease, 12.2), 12.3);
  close_month();
  EXPECT_EQ(month(1).delivered, 0u);
}

TEST_F(LedgerRulesTest, EveryNumberIsExplainedWithItself) {
  trade(0, 1, 1'234'567, 10);
  close(12);
  const auto mine = explain(month(1));
  std::vector<std::string_view> names;
  for (const LedgerLine& line : mine) {
    names.push_back(line.name);
    EXPECT_TRUE(line.words.ends_with(".")) << line.words;
  }
  EXPECT_THAT(names, testing::ElementsAre("promised", "asked", "delivered", "owed", "docked", "entitlement", "spent"));
  EXPECT_THAT(mine[0].words, testing::HasSubstr("10 800 000 000 fuel so far"));
  const auto his = explain(month(0));
  EXPECT_THAT(his[6].words, testing::HasSubstr("1 234 567"));
  MonthView view{.closed = true, .owed = 5, .repaid = 7, .debt = 3, .docked_ppm = 250'000, .docked = 9};
  EXPECT_THAT(explain(view)[3].words, testing::AllOf(testing::HasSubstr("5 fuel"), testing::HasSubstr("two of three"), testing::HasSubstr("3 fuel of debt")));
  EXPECT_THAT(explain(view)[4].words, testing::AllOf(testing::HasSubstr("9 fuel"), testing::HasSubstr("25 %")));
  EXPECT_THAT(explain(ledger.servers(traders[1].person).at(0)), testing::HasSubstr("50 % of its cores, which do 1 000 000 fuel a second"));
  EXPECT_THAT(explain(ServerView{}), testing::HasSubstr("speed is not known"));
}

}  // namespace
}  // namespace spatter::cycles
