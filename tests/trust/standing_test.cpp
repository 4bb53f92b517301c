// The way of newcomers to trust, and all that can go wrong on it.
#include "trust/standing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "village.h"

namespace spatter {
namespace {

using State = Standing::State;

std::size_t trusted(const Standings& standings) {
  return static_cast<std::size_t>(std::ranges::count_if(
      standings.persons, [](const auto& entry) { return is_trusted(entry.second); }));
}

TEST(Standing, WithoutReviewsAnAdmissionIsEnough) {
  Village village{TrustRules()};
  auto& friend_ = village.guest(village.founder(), 0);
  auto& friends_friend = village.guest(friend_, 0);
  for (const auto* who : {&village.founder(), &friend_, &friends_friend}) {
    const auto standing = village.standing(*who, 0);
    EXPECT_EQ(standing.state, State::trusted);
    EXPECT_EQ(standing.due, 0u);
    EXPECT_EQ(may_store_allowance(standing), 100u);
    EXPECT_TRUE(may_hold(standing) && may_be_drawn(standing) && may_enter_routing_table(standing));
  }
  EXPECT_EQ(village.now(0).of(village.random.id<PersonId>()).state, State::stranger);
}

TEST(Standing, AGuestReadsAndLittleElse) {
  Village village;
  const auto standing = village.standing(village.guest(village.founder(), 1), 5);
  EXPECT_EQ(standing.state, State::guest);
  EXPECT_TRUE(may_read(standing));
  EXPECT_FALSE(may_hold(standing) || may_be_drawn(standing) || may_enter_routing_table(standing) ||
               may_vouch(standing));
  EXPECT_EQ(may_store_allowance(standing), 0u);
  EXPECT_FALSE(may_read(Standing()));
}

TEST(Standing, TheFoundersFirstGuestNeedsHisVouchAndAClip) {
  Village village;
  auto& first = village.guest(village.founder(), 1);
  const auto basis = village.vouch(village.founder(), first, 1);
  EXPECT_EQ(village.standing(first, 1).state, State::guest);
  village.announce(first, basis, 2);
  const auto standing = village.standing(first, 2);
  EXPECT_EQ(standing.state, State::trusted);
  EXPECT_EQ(standing.since, 2u);
  EXPECT_EQ(standing.inviter, village.founder().id);
}

TEST(Standing, TwoOfThreeReviewersAndTheInviterMakeATrustedPerson) {
  Village village;
  village.grow(8);
  auto& fresh = village.guest(village.founder(), 20);
  const auto basis = village.vouch(village.founder(), fresh, 20);
  const auto drawn = village.now(20).clips.at(basis).drawn;
  ASSERT_EQ(drawn.size(), 6u);
  EXPECT_THAT(drawn, testing::Not(testing::Contains(village.founder().id)));
  EXPECT_THAT(drawn, testing::Not(testing::Contains(fresh.id)));
  EXPECT_EQ(std::set(drawn.begin(), drawn.end()).size(), 6u);
  const auto said = village.announce(fresh, basis, 21);
  village.review(village.of(drawn[0]), said, Verdict::vouch, 22);
  EXPECT_EQ(village.standing(fresh, 22).state, State::guest);
  village.review(village.of(drawn[1]), said, Verdict::refuse, 22);
  EXPECT_EQ(village.standing(fresh, 23).state, State::guest);
  village.review(village.of(drawn[2]), said, Verdict::vouch, 24);
  const auto standing = village.standing(fresh, 24);
  EXPECT_EQ(standing.state, State::trusted);
  EXPECT_THAT(standing.vouchers,
              testing::ElementsAre(village.founder().id, drawn[0], drawn[2]));
  EXPECT_EQ(village.now(24).clips.at(basis).state, ClipCase::State::accepted);
}

TEST(Standing, TwoRefusalsEndTheMatter) {
  Village village;
  village.grow(8);
  const auto [fresh, basis, drawn, said] = village.announced_guest(20);
  village.review(village.of(drawn[0]), said, Verdict::refuse, 21);
  village.review(village.of(drawn[2]), said, Verdict::refuse, 21);
  EXPECT_EQ(village.now(21).clips.at(basis).state, ClipCase::State::refused);
  village.review(village.of(drawn[1]), said, Verdict::vouch, 22);
  for (std::size_t i = 3; i < 6; ++i) village.review(village.of(drawn[i]), said, Verdict::vouch, 200);
  EXPECT_EQ(village.standing(fresh, 201).state, State::guest);
  EXPECT_EQ(village.standing(village.founder(), 201).weight, 100u);
}

TEST(Standing, SubstitutesStepInOnlyWhenTheirTimeHasCome) {
  Village village;
  village.grow(8);
  const auto [fresh, basis, drawn, said] = village.announced_guest(20);
  const auto late = 20 + village.genesis.rules.substitute_epochs;
  village.review(village.of(drawn[0]), said, Verdict::vouch, 21);
  village.review(village.of(drawn[3]), said, Verdict::vouch, 21);
  village.review(village.of(drawn[4]), said, Verdict::vouch, late - 1);
  EXPECT_EQ(village.standing(fresh, late - 1).state, State::guest);
  EXPECT_EQ(village.now(late - 1).clips.at(basis).asked(late - 1, village.genesis.rules).size(), 3u);
  EXPECT_EQ(village.now(late).clips.at(basis).asked(late, village.genesis.rules).size(), 6u);
  village.review(village.of(drawn[5]), said, Verdict::vouch, late);
  EXPECT_EQ(village.standing(fresh, late).state, State::trusted);
}

TEST(Standing, NobodyButTheDrawnReviews) {
  Village village;
  village.grow(9);
  const auto [fresh, basis, drawn, said] = village.announced_guest(20);
  for (auto& villager : village.persons) {
    if (std::ranges::find(drawn, villager.id) == drawn.end())
      village.review(villager, said, Verdict::vouch, 500);
  }
  EXPECT_EQ(village.standing(fresh, 500).state, State::guest);
}

TEST(Standing, APhraseWithoutTheReviewersLotsOrTooOldDoesNotCount) {
  Village village;
  village.grow(8);
  auto& fresh = village.guest(village.founder(), 20);
  const auto basis = village.vouch(village.founder(), fresh, 20);
  const auto drawn = village.now(20).clips.at(basis).drawn;
  const auto announce = [&](const NewAnnounce& what) {
    village.add(make_announce(fresh.key, village.network(), what));
    return village.now(40).clips.at(basis).announce.has_value();
  };
  EXPECT_FALSE(announce(village.new_announce(fresh, basis, {}, 21)));
  EXPECT_FALSE(announce(village.new_announce(fresh, basis, {drawn[0], village.founder().id}, 21)));
  auto before_the_vouch = village.new_announce(fresh, basis, {}, 19);
  for (int i = 0; i < 3; ++i)
    before_the_vouch.lots.push_back(village.lot(village.of(drawn[i]), basis, 19));
  before_the_vouch.epoch = 21;
  EXPECT_FALSE(announce(before_the_vouch));
  auto old = village.new_announce(fresh, basis, {drawn[0], drawn[1]}, 21);
  old.epoch = 21 + village.genesis.rules.phrase_epochs + 1;
  EXPECT_FALSE(announce(old));
  auto right = village.new_announce(fresh, basis, {drawn[0], drawn[1]}, 25);
  EXPECT_TRUE(announce(right));
  // A second clip for the same vouch changes nothing.
  const auto counts = village.now(40).clips.at(basis).announce;
  announce(village.new_announce(fresh, basis, {drawn[0], drawn[1]}, 26));
  EXPECT_EQ(village.now(40).clips.at(basis).announce, counts);
}

TEST(Standing, AVoucherHasFewVouchesOpen) {
  Village village;
  village.grow(8);
  std::vector<Digest> vouches;
  for (int i = 0; i < 5; ++i)
    vouches.push_back(village.vouch(village.founder(), village.guest(village.founder(), 20), 20));
  const auto standings = village.now(20);
  EXPECT_EQ(standings.clips.count(vouches[2]), 1u);
  EXPECT_EQ(standings.clips.count(vouches[3]), 0u);
  const auto founder = standings.of(village.founder().id);
  EXPECT_EQ(founder.vouches_open, 3u);
  EXPECT_FALSE(may_vouch(founder));
  const auto later = 20 + village.genesis.rules.vouch_epochs + 1;
  EXPECT_TRUE(may_vouch(village.standing(village.founder(), later)));
  EXPECT_EQ(village.now(later).clips.at(vouches[0]).state, ClipCase::State::expired);
}

TEST(Standing, ReviewersAreFixedByTheVouchsNumberWhoeverItIsFor) {
  Village village;
  village.grow(12);
  auto& fresh = village.guest(village.founder(), 20);
  auto copy = village;
  auto& other = copy.guest(copy.founder(), 20);
  const auto drawn = village.now(20).clips;
  const auto a = village.vouch(village.founder(), fresh, 20);
  const auto b = copy.vouch(copy.founder(), other, 20);
  EXPECT_EQ(village.now(20).clips.at(a).drawn, copy.now(20).clips.at(b).drawn);
}

TEST(Standing, OneVouchNumberForTwoPersonsIsFraud) {
  Village village;
  village.grow(8);
  auto& cheat = village.persons[3];
  auto& dupe = village.newcomer(cheat, 20);
  const auto number = village.standing(cheat, 21).next_vouch;
  village.add(village.vouch_record(cheat, village.random.id<PersonId>(), number, 22));
  EXPECT_EQ(village.standing(cheat, 22).state, State::trusted);
  village.add(village.vouch_record(cheat, village.random.id<PersonId>(), number, 23));
  const auto standings = village.now(24);
  EXPECT_EQ(standings.of(cheat.id).state, State::fraud);
  EXPECT_FALSE(may_read(standings.of(cheat.id)));
  EXPECT_EQ(standings.of(village.founder().id).weight, 50u);
  // Whom he vouched for must show himself again, and is trusted until he fails to.
  EXPECT_EQ(standings.of(dupe.id).state, State::trusted);
  EXPECT_EQ(standings.of(dupe.id).due, 23u);
  const auto grace = village.genesis.rules.grace_epochs;
  EXPECT_TRUE(village.standing(dupe, 24 + grace).overdue);
  EXPECT_EQ(may_store_allowance(village.standing(dupe, 24 + grace)), 25u);
  EXPECT_FALSE(may_be_drawn(village.standing(dupe, 24 + grace)));
  EXPECT_TRUE(may_hold(village.standing(dupe, 24 + grace)));
  // The loss of those who vouched for the fraud passes.
  EXPECT_EQ(village.standing(village.founder(), 24 + village.genesis.rules.fraud_memory_epochs).weight,
            100u);
}

TEST(Standing, AVouchOfAProvenFraudLeadsNowhere) {
  Village village;
  village.grow(8);
  auto& cheat = village.persons[3];
  auto& fresh = village.guest(cheat, 20);
  const auto basis = village.vouch(cheat, fresh, 20);
  const auto said = village.announce(fresh, basis, 20);
  village.add(village.vouch_record(cheat, village.random.id<PersonId>(), 1, 21));
  for (const auto& id : village.now(22).clips.at(basis).asked(22, village.genesis.rules))
    village.review(village.of(id), said, Verdict::vouch, 22);
  EXPECT_EQ(village.standing(fresh, 23).state, State::guest);
}

TEST(Standing, AVouchAndARefusalOfOneClipAreFraud) {
  Village village;
  village.grow(8);
  const auto [fresh, basis, drawn, said] = village.announced_guest(20);
  auto& cheat = village.of(village.now(20).clips.at(basis).drawn[0]);
  village.review(cheat, said, Verdict::unclear, 21);
  village.review(cheat, said, Verdict::vouch, 22);
  EXPECT_EQ(village.standing(cheat, 22).state, State::trusted);
  EXPECT_EQ(village.now(22).clips.at(basis).vouches, 1u);
  village.review(cheat, said, Verdict::refuse, 23);
  EXPECT_EQ(village.standing(cheat, 23).state, State::fraud);
}

TEST(Standing, DoubtsOfThreeBringANewClipAndItsRefusalProvesFraud) {
  Village village;
  village.grow(9);
  auto& suspect = village.persons[2];
  const auto doubt = [&](const Villager& who, std::uint64_t epoch) {
    village.add(make_doubt(who.key, village.network(), who.id, suspect.id, "a puppet", epoch));
  };
  doubt(village.persons[4], 30);
  doubt(village.persons[4], 31);
  doubt(village.persons[5], 31);
  doubt(village.guest(village.founder(), 31), 32);
  EXPECT_GT(village.standing(suspect, 32).due, 1000u);
  doubt(village.persons[6], 33);
  EXPECT_EQ(village.standing(suspect, 33).due, 33u);

  const auto renewal = village.renew(suspect, 34);
  const auto clip = village.now(34).clips.at(renewal);
  EXPECT_TRUE(clip.renewal);
  auto refused = village;
  const auto bad = refused.announce(refused.of(suspect.id), renewal, 35);
  for (int i = 0; i < 2; ++i)
    refused.review(refused.of(clip.drawn[i]), bad, Verdict::refuse, 36);
  EXPECT_EQ(refused.standing(suspect, 36).state, State::fraud);

  const auto good = village.announce(suspect, renewal, 35);
  for (int i = 0; i < 2; ++i) village.review(village.of(clip.drawn[i]), good, Verdict::vouch, 36);
  const auto standing = village.standing(suspect, 36);
  EXPECT_EQ(standing.state, State::trusted);
  EXPECT_EQ(standing.due, 36 + village.genesis.rules.aging_epochs);
  // The same three cannot do it again.
  for (int i = 4; i < 7; ++i) doubt(village.persons[static_cast<std::size_t>(i)], 40);
  EXPECT_EQ(village.standing(suspect, 40).due, 36 + village.genesis.rules.aging_epochs);
}

/// The first person, in the order of joining, whose first renewal draws this procedure.
Villager* with_procedure(Village& village, Procedure wanted, std::uint64_t epoch, Digest& renewal) {
  for (auto& villager : village.persons) {
    auto trial = village;
    const auto id = trial.renew(trial.of(villager.id), epoch);
    const auto renewals = trial.now(epoch).renewals;
    const auto found = renewals.find(id);
    if (found == renewals.end() || found->second.procedure != wanted) continue;
    renewal = village.renew(villager, epoch);
    return &villager;
  }
  return nullptr;
}

TEST(Standing, TrustAgesAndEachProcedureRenewsIt) {
  Village village;
  village.grow(10);
  const auto aging = village.genesis.rules.aging_epochs;
  const auto due = 10 + aging;
  EXPECT_FALSE(village.standing(village.persons[3], due).overdue);
  EXPECT_TRUE(village.standing(village.persons[3], due + 1000).overdue);

  Digest renewal;
  auto* shows_words = with_procedure(village, Procedure::recovery_words, due, renewal);
  ASSERT_TRUE(shows_words);
  village.add(make_words_proof(shows_words->key, village.network(), shows_words->id, renewal, due));
  EXPECT_FALSE(village.now(due).renewals.at(renewal).done) << "signed by another key";
  village.add(make_words_proof(shows_words->secret.recovery_key(), village.network(),
                               shows_words->id, renewal, due + 1));
  EXPECT_TRUE(village.now(due + 1).renewals.at(renewal).done);
  EXPECT_EQ(village.standing(*shows_words, due + 1).due, due + 1 + aging);

  auto* is_signed_for = with_procedure(village, Procedure::countersign, due, renewal);
  ASSERT_TRUE(is_signed_for);
  const auto needed = village.now(due).renewals.at(renewal);
  EXPECT_EQ(needed.countersigns_needed, std::min<std::size_t>(2, needed.countersigners.size()));
  for (unsigned i = 0; i < needed.countersigns_needed; ++i) {
    EXPECT_FALSE(village.now(due).renewals.at(renewal).done);
    auto& signer = village.of(needed.countersigners[i]);
    village.add(make_countersign(signer.key, village.network(), signer.id, renewal, due));
  }
  EXPECT_TRUE(village.now(due).renewals.at(renewal).done);

  auto* shows_clip = with_procedure(village, Procedure::new_clip, due, renewal);
  ASSERT_TRUE(shows_clip);
  const auto said = village.announce(*shows_clip, renewal, due);
  for (const auto& id : village.now(due).clips.at(renewal).asked(due, village.genesis.rules))
    village.review(village.of(id), said, Verdict::vouch, due);
  EXPECT_TRUE(village.now(due).renewals.at(renewal).done);
}

TEST(Standing, AProcedureCannotBeSwappedForAnotherDraw) {
  Village village;
  village.grow(6);
  auto& person = village.persons[2];
  const auto due = 10 + village.genesis.rules.aging_epochs;
  village.renew(person, due);
  const auto second = village.renew(person, due + 1);
  EXPECT_EQ(village.now(due + 1).renewals.count(second), 0u);
  const auto third = village.renew(person, due + village.genesis.rules.vouch_epochs + 1);
  EXPECT_EQ(village.now(due + village.genesis.rules.vouch_epochs + 1).renewals.count(third), 1u);
  // Nor begun long before it is due.
  const auto early = village.renew(village.persons[3], 100);
  EXPECT_EQ(village.now(100).renewals.count(early), 0u);
}

TEST(Standing, AStolenKeyIsReplacedWithTheWords) {
  Village village;
  village.grow(8);
  auto& victim = village.persons[2];
  const auto thief = victim.key;
  // The thief brands him a fraud before he notices.
  const auto number = village.standing(victim, 30).next_vouch;
  village.add(village.vouch_record(victim, village.random.id<PersonId>(), number, 30));
  village.add(village.vouch_record(victim, village.random.id<PersonId>(), number, 30));
  EXPECT_EQ(village.standing(victim, 31).state, State::fraud);
  EXPECT_LT(village.standing(village.founder(), 31).weight, 100u);

  const auto new_key = victim.secret.numbered(2).signing_key();
  const auto rotate = [&](const SigningKey& by, std::uint32_t to) {
    village.add(make_rotation(by, new_key, village.network(), victim.id, to, 32));
  };
  rotate(victim.secret.numbered(1).recovery_key(), 1);  // all that the machine held
  rotate(victim.secret.recovery_key(), 2);
  EXPECT_EQ(village.standing(victim, 32).key, victim.id);
  rotate(victim.secret.recovery_key(), 1);
  auto standing = village.standing(victim, 32);
  EXPECT_EQ(standing.key, person_id(new_key.public_key()));
  EXPECT_EQ(standing.key_number, 1u);
  EXPECT_EQ(standing.state, State::trusted);
  EXPECT_EQ(standing.due, 32u) << "he must show himself";
  EXPECT_EQ(village.standing(village.founder(), 32).weight, 100u);

  // From now on only the new key speaks for him.
  const auto next = standing.next_vouch;
  village.add(village.vouch_record(victim, village.random.id<PersonId>(), next, 33));
  EXPECT_EQ(village.standing(victim, 33).next_vouch, next);
  victim.key = new_key;
  village.add(village.vouch_record(victim, village.random.id<PersonId>(), next, 34));
  EXPECT_EQ(village.standing(victim, 34).next_vouch, next + 1);

  // Nobody takes another's key for his own, nor one that was somebody's.
  auto& other = village.persons[4];
  village.add(make_rotation(other.secret.recovery_key(), thief, village.network(), other.id, 1, 40));
  EXPECT_EQ(village.standing(other, 40).key, other.id);
}

/// Networks without reviews: nobody ever shows a clip.
TEST(Standing, WhatWasCommittedToAtTheAdmissionChangesTheKey) {
  Village village{TrustRules{}};
  const auto admit = [&](const Villager& inviter, const SigningKey& with, std::uint64_t epoch, bool commits) {
    auto& fresh = village.persons.emplace_back(village.random);
    std::optional<RecoveryClaim> claim;
    if (commits)
      claim = make_recovery_claim(fresh.key, village.network(), recovery_commitment(fresh.secret.recovery_key()));
    village.add(admission_record(make_admission(with, village.network(), fresh.id,
                                                static_cast<WallMs>(1000 + epoch * 3600'000), inviter.id, claim)));
    return &fresh;
  };
  auto& founder = village.founder();
  auto* committed = admit(founder, founder.key, 1, true);
  auto* silent = admit(founder, founder.key, 1, false);
  EXPECT_EQ(village.standing(*committed, 5).recovery, recovery_commitment(committed->secret.recovery_key()));
  EXPECT_FALSE(village.standing(*silent, 5).recovery);
  const auto rotate = [&](const Villager& who, const SigningKey& by, std::uint32_t number, std::uint64_t epoch) {
    village.add(make_rotation(by, who.secret.numbered(number + 1).signing_key(), village.network(), who.id, number, epoch));
  };
  rotate(*committed, committed->secret.recovery_key(), 1, 10);
  rotate(*silent, silent->secret.recovery_key(), 1, 10);
  const auto standing = village.standing(*committed, 10);
  EXPECT_EQ(standing.key_number, 1u);
  EXPECT_EQ(standing.key, committed->secret.numbered(2).person());
  EXPECT_EQ(standing.due, 0u) << "where nobody looks at clips none is asked for";
  EXPECT_EQ(standing.allowance, 100u);
  EXPECT_TRUE(standing.has_had(committed->id));
  EXPECT_TRUE(had_key(standing.keys, committed->id, 10)) << "both are his in the epoch of the change";
  EXPECT_TRUE(had_key(standing.keys, standing.key, 10));
  EXPECT_FALSE(had_key(standing.keys, committed->id, 12));
  EXPECT_FALSE(had_key(standing.keys, standing.key, 8));
  EXPECT_EQ(village.standing(*silent, 10).key, silent->id) << "nobody was told of his recovery key";

  // Whom he lets in with the key that he had then is in.
  const auto new_key = committed->secret.numbered(2).signing_key();
  const auto* early = admit(*committed, committed->key, 5, true);
  const auto* late = admit(*committed, new_key, 20, true);
  const auto* by_thief = admit(*committed, committed->key, 20, true);
  const auto* too_early = admit(*committed, new_key, 5, true);
  EXPECT_EQ(village.standing(*early, 25).state, State::trusted);
  EXPECT_EQ(village.standing(*late, 25).state, State::trusted);
  EXPECT_EQ(village.standing(*late, 25).inviter, committed->id);
  EXPECT_EQ(village.standing(*by_thief, 25).state, State::stranger);
  EXPECT_EQ(village.standing(*too_early, 25).state, State::stranger);
}

TEST(Standing, AnAttackerWithOnePersonGetsOnePlaceAmongReviewers) {
  Village village;
  village.grow(30);
  // However many servers he has, a person is drawn once.
  for (std::uint64_t epoch = 40; epoch < 43; ++epoch) {
    auto& fresh = village.guest(village.founder(), epoch);
    const auto basis = village.vouch(village.founder(), fresh, epoch);
    const auto drawn = village.now(epoch).clips.at(basis).drawn;
    EXPECT_EQ(std::set(drawn.begin(), drawn.end()).size(), drawn.size());
  }
  EXPECT_EQ(trusted(village.now(50)), 31u);
}

TEST(Standing, RecordsFromTheFutureWait) {
  Village village;
  village.grow(4);
  auto& late = village.newcomer(village.founder(), 100);
  EXPECT_EQ(village.standing(late, 98).state, State::guest);
  EXPECT_EQ(village.standing(late, 99).state, State::trusted) << "clocks differ by an epoch";
}

}  // namespace
}  // namespace spatter
