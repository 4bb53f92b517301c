// Which results are believed: agreement, a third vote, trust and samples, and what a cheat takes with him.
#include "cycles/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "cycles/job.h"

namespace spatter {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

ServerId server(std::uint8_t number) {
  ServerId id;
  id.bytes[0] = number;
  return id;
}
PersonId person(std::uint8_t number) {
  PersonId id;
  id.bytes[0] = number;
  return id;
}
Digest result(std::uint8_t flavour) {
  Digest digest;
  digest.bytes[0] = flavour;
  return digest;
}

/// Workers 1, 2, ... in this order for each piece; each of a person of its own unless said otherwise.
struct Table {
  explicit Table(std::uint32_t pieces, unsigned workers = 4, DispatchOptions options = {})
      : dispatcher(pieces, trust,
                   {[](std::uint32_t, const std::vector<JobWorker>& all) {
                      std::vector<std::size_t> order(all.size());
                      for (std::size_t i = 0; i < all.size(); ++i) order[i] = i;
                      return order;
                    },
                    [this](std::uint32_t piece) { return checked.contains(piece); }},
                   options) {
    for (std::uint8_t i = 1; i <= workers; ++i) all.push_back({server(i), person(i)});
    dispatcher.set_workers(all);
    dispatcher.on_verdict = [this](std::uint32_t piece, ServerId who, bool right) {
      verdicts.push_back({piece, who.bytes[0], right});
    };
  }
  void trust_in(std::uint8_t number) { trust.put(server(number), {10, 0, 10}); }
  /// The worker commits, and everybody who may then shows the result that `says` has for him.
  void computes(std::uint32_t piece, std::uint8_t worker, std::uint8_t flavour) {
    says[{piece, server(worker)}] = flavour;
    dispatcher.committed(piece, server(worker));
    for (const auto& one : dispatcher.reveals())
      dispatcher.revealed(one.piece, one.worker, result(says.at({one.piece, one.worker})), 100);
  }
  std::vector<unsigned> given(std::uint32_t piece) {
    std::vector<unsigned> who;
    for (const auto& one : dispatcher.assign())
      if (one.piece == piece) who.push_back(one.worker.bytes[0]);
    return who;
  }

  WorkerTrust trust;
  std::set<std::uint32_t> checked;
  Dispatcher dispatcher;
  std::vector<JobWorker> all;
  std::map<std::pair<std::uint32_t, ServerId>, std::uint8_t> says;
  std::vector<std::tuple<std::uint32_t, unsigned, bool>> verdicts;
};

TEST(Dispatcher, AStrangersPieceIsComputedTwiceByTwoPersons) {
  Table table(1);
  table.all[1].person = person(1);  // the second server is of the first one's person
  table.dispatcher.set_workers(table.all);
  EXPECT_THAT(table.given(0), ElementsAre(1, 3));
  table.computes(0, 1, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::waiting);
  table.computes(0, 3, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::agreed);
  EXPECT_TRUE(table.dispatcher.is_done());
  EXPECT_THAT(table.verdicts, UnorderedElementsAre(std::tuple(0u, 1u, true), std::tuple(0u, 3u, true)));
  EXPECT_EQ(table.trust.of(server(1)).right, 1u);
}

TEST(Dispatcher, NobodyShowsAResultBeforeTheOtherHasCommitted) {
  Table table(1);
  EXPECT_THAT(table.given(0), ElementsAre(1, 2));
  table.dispatcher.committed(0, server(1));
  EXPECT_THAT(table.dispatcher.reveals(), IsEmpty());
  table.dispatcher.committed(0, server(2));
  EXPECT_THAT(table.dispatcher.reveals(), ElementsAre(CopyAssignment{0, server(1)}, CopyAssignment{0, server(2)}));
  EXPECT_THAT(table.dispatcher.reveals(), IsEmpty());
}

TEST(Dispatcher, WhoIsTrustedMeanwhileShowsHisResultAlone) {
  Table table(1);
  table.given(0);
  table.dispatcher.committed(0, server(1));
  table.dispatcher.failed(0, server(2), CopyFailure::lost);
  EXPECT_THAT(table.dispatcher.reveals(), IsEmpty());
  table.trust_in(1);
  EXPECT_THAT(table.dispatcher.reveals(), ElementsAre(CopyAssignment{0, server(1)}));
}

TEST(Dispatcher, AThirdDecidesAndTheWrongOneIsCaught) {
  Table table(1);
  table.given(0);
  table.computes(0, 1, 7);
  table.computes(0, 2, 8);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::waiting);
  EXPECT_THAT(table.given(0), ElementsAre(3));
  table.computes(0, 3, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::agreed);
  EXPECT_EQ(table.dispatcher.believed(0)->result, result(7));
  EXPECT_THAT(table.dispatcher.caught(), ElementsAre(server(2)));
  EXPECT_EQ(table.trust.of(server(2)).wrong, 1u);
  EXPECT_EQ(table.trust.wanted(server(2)), 20u);
}

TEST(Dispatcher, ThreeDifferentResultsNeedAFourth) {
  Table table(1);
  table.given(0);
  table.computes(0, 1, 7);
  table.computes(0, 2, 8);
  table.given(0);
  table.computes(0, 3, 9);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::waiting);
  EXPECT_THAT(table.given(0), ElementsAre(4));
  table.computes(0, 4, 9);
  EXPECT_EQ(table.dispatcher.believed(0)->result, result(9));
  EXPECT_THAT(table.dispatcher.caught(), UnorderedElementsAre(server(1), server(2)));
}

TEST(Dispatcher, TheTrustedComputeAloneUnlessChecked) {
  Table table(2);
  table.trust_in(1);
  table.checked = {1};
  const auto given = table.dispatcher.assign();
  EXPECT_THAT(given, ElementsAre(CopyAssignment{0, server(1)}, CopyAssignment{1, server(1)}, CopyAssignment{1, server(2)}));
  table.computes(0, 1, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::held);
  table.computes(1, 1, 7);
  EXPECT_EQ(table.dispatcher.standing(1), PieceStanding::waiting);
  table.computes(1, 2, 7);
  EXPECT_EQ(table.dispatcher.standing(1), PieceStanding::agreed);
  EXPECT_TRUE(table.dispatcher.is_done());
}

TEST(Dispatcher, WhatACaughtOneHeldIsComputedAgain) {
  Table table(3);
  table.trust_in(1);
  table.checked = {1};
  table.dispatcher.assign();
  table.computes(0, 1, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::held);
  table.computes(1, 1, 66);
  table.computes(1, 2, 7);
  EXPECT_THAT(table.given(1), ElementsAre(3));
  table.computes(1, 3, 7);
  EXPECT_THAT(table.dispatcher.caught(), ElementsAre(server(1)));
  // What he alone had computed is open again, and never his.
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::waiting);
  EXPECT_FALSE(table.dispatcher.is_done());
  const auto again = table.dispatcher.assign();
  EXPECT_FALSE(again.empty());
  for (const auto& one : again) EXPECT_NE(one.worker, server(1));
  EXPECT_FALSE(table.trust.is_trusted(server(1)));
}

TEST(Dispatcher, AgreementWithACaughtOneIsNoAgreement) {
  Table table(2);
  // 1 and 2 agree on a wrong result of piece 0; then 1 is caught with piece 1.
  EXPECT_EQ(table.dispatcher.assign().size(), 4u);
  table.computes(0, 1, 66);
  table.computes(0, 2, 66);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::agreed);
  table.computes(1, 1, 66);
  table.computes(1, 2, 7);
  table.given(1);
  table.computes(1, 3, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::waiting);
}

TEST(Dispatcher, TheOwnServerIsBelievedAndNotChecked) {
  Table table(1);
  table.all[0].own = true;
  table.dispatcher.set_workers(table.all);
  table.checked = {0};
  EXPECT_THAT(table.given(0), ElementsAre(1));
  table.computes(0, 1, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::agreed);
  EXPECT_EQ(table.trust.of(server(1)).right_total, 0u);
}

TEST(Dispatcher, WithNobodyElseThereTheOwnServerDecides) {
  Table table(1, 2);
  table.all[1].own = true;
  table.dispatcher.set_workers(table.all);
  EXPECT_THAT(table.given(0), ElementsAre(1, 2));
  table.computes(0, 1, 66);
  table.computes(0, 2, 7);
  EXPECT_EQ(table.dispatcher.believed(0)->result, result(7));
  EXPECT_THAT(table.dispatcher.caught(), ElementsAre(server(1)));
}

TEST(Dispatcher, OneStrangerAloneIsNotBelievedAndSaidToBeStuck) {
  Table table(1, 1);
  EXPECT_THAT(table.given(0), ElementsAre(1));
  table.computes(0, 1, 7);
  EXPECT_THAT(table.given(0), IsEmpty());
  EXPECT_EQ(table.dispatcher.stuck(), 1u);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::waiting);
  table.all.push_back({server(9), person(9)});
  table.dispatcher.set_workers(table.all);
  EXPECT_THAT(table.given(0), ElementsAre(9));
}

TEST(Dispatcher, WhoDiesIsReplacedAndWhoRefusesIsNoFailure) {
  Table table(1);
  EXPECT_THAT(table.given(0), ElementsAre(1, 2));
  table.dispatcher.failed(0, server(1), CopyFailure::lost);
  EXPECT_THAT(table.given(0), ElementsAre(3));
  table.dispatcher.failed(0, server(2), CopyFailure::refused);
  EXPECT_THAT(table.given(0), ElementsAre(2));
}

TEST(Dispatcher, WhoFailedIsAskedAgainWhenNobodyElseIsThere) {
  Table table(1, 2);
  table.given(0);
  table.computes(0, 1, 7);
  table.dispatcher.failed(0, server(2), CopyFailure::lost);
  EXPECT_THAT(table.given(0), ElementsAre(2));
  table.computes(0, 2, 7);
  EXPECT_TRUE(table.dispatcher.is_done());
}

TEST(Dispatcher, ASlowOneIsRacedAndHisVoteStillCounts) {
  Table table(1);
  table.trust_in(1);
  EXPECT_THAT(table.given(0), ElementsAre(1));
  table.dispatcher.is_slow(0, server(1));
  EXPECT_THAT(table.given(0), ElementsAre(2, 3));
  table.computes(0, 1, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::held);
}

/// He has committed, and is not to be had when he should show it.
TEST(Dispatcher, OneWhoDoesNotShowWhatHeHasIsRacedToo) {
  Table table(1);
  table.trust_in(1);
  EXPECT_THAT(table.given(0), ElementsAre(1));
  table.dispatcher.committed(0, server(1));
  EXPECT_EQ(table.dispatcher.reveals().size(), 1u);
  EXPECT_THAT(table.given(0), IsEmpty());
  table.dispatcher.is_slow(0, server(1));
  EXPECT_THAT(table.given(0), ElementsAre(2, 3));
  table.computes(0, 2, 7);
  table.computes(0, 3, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::agreed);
}

TEST(Dispatcher, SlotsBoundWhatOneHas) {
  Table table(10, 1);
  table.trust_in(1);
  EXPECT_EQ(table.dispatcher.assign().size(), 2u);
  EXPECT_THAT(table.dispatcher.assign(), IsEmpty());
  table.computes(0, 1, 7);
  EXPECT_THAT(table.dispatcher.assign(), ElementsAre(CopyAssignment{2, server(1)}));
}

TEST(Dispatcher, APieceNobodyCanComputeIsGivenUp) {
  Table table(1, 4, {.copies_max = 9, .failures_max = 3});
  for (int i = 0; i < 3; ++i) {
    const auto given = table.dispatcher.assign();
    for (const auto& one : given) table.dispatcher.failed(0, one.worker, CopyFailure::lost);
  }
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::hopeless);
  EXPECT_TRUE(table.dispatcher.is_done());
}

TEST(Dispatcher, WhatCannotBeComputedIsGivenUpAtOnce) {
  Table table(1);
  table.given(0);
  table.dispatcher.give_up(0);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::hopeless);
  EXPECT_TRUE(table.dispatcher.is_done());
  EXPECT_THAT(table.given(0), IsEmpty());
}

TEST(Dispatcher, ShowingAnotherResultThanCommittedToIsCheating) {
  Table table(2);
  table.trust_in(1);
  table.dispatcher.assign();
  table.computes(0, 1, 7);
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::held);
  table.dispatcher.failed(1, server(1), CopyFailure::broken);
  EXPECT_THAT(table.dispatcher.caught(), ElementsAre(server(1)));
  EXPECT_EQ(table.dispatcher.standing(0), PieceStanding::waiting);
}

TEST(Commitment, BindsWorkerPieceAndResult) {
  WorkResult one{WorkEnd::exited, 0, 5, 3, result(1)};
  WorkResult other = one;
  other.fuel = 6;
  EXPECT_NE(result_digest(one), result_digest(other));
  other = one;
  other.exit_code = 1;
  EXPECT_NE(result_digest(one), result_digest(other));
  const Digest nonce = result(9);
  const auto commitment = commitment_to(server(1), JobId{}, 4, result_digest(one), nonce);
  EXPECT_NE(commitment, commitment_to(server(2), JobId{}, 4, result_digest(one), nonce));
  EXPECT_NE(commitment, commitment_to(server(1), JobId{}, 5, result_digest(one), nonce));
  EXPECT_NE(commitment, commitment_to(server(1), JobId{}, 4, result_digest(other), nonce));
}

}  // namespace
}  // namespace spatter
