// The book of records: what it takes, and that nobody makes it grow beyond its places.
#include "trust/record_book.h"

#include <gtest/gtest.h>

#include "village.h"

namespace spatter {
namespace {

class Book : public testing::Test {
 protected:
  std::size_t of_kind(TrustKind kind) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        book.records(), [&](const auto& entry) { return entry.second.facts.kind() == kind; }));
  }
  Village village;
  std::set<PersonId> admitted{village.founder().id};
  RecordBook book{village.genesis,
                  [this](const PersonId& id) { return admitted.contains(id); }};
};

TEST_F(Book, StrangersRecordsAreRefusedUntilTheyAreKnown) {
  auto& guest = village.guest(village.founder(), 1);
  const auto record = village.vouch_record(guest, village.founder().id, 1, 1);
  EXPECT_EQ(book.add(record).error().code, Errc::not_found);
  admitted.insert(guest.id);
  EXPECT_TRUE(book.add(record).value());
  EXPECT_FALSE(book.add(record).value()) << "held already";
  EXPECT_FALSE(book.add(village.wire_records[0])) << "an admission";
}

TEST_F(Book, WhatRefersToNothingKnownIsRefused) {
  const auto& founder = village.founder();
  const auto nothing = village.random.id<Digest>();
  EXPECT_EQ(book.add(village.review_record(founder, nothing, Verdict::vouch, 1)).error().code,
            Errc::not_found);
  EXPECT_EQ(book.add(make_countersign(founder.key, village.network(), founder.id, nothing, 1))
                .error().code,
            Errc::not_found);
  EXPECT_EQ(book.add(make_announce(founder.key, village.network(),
                                   village.new_announce(founder, nothing, {}, 1)))
                .error().code,
            Errc::not_found);
}

TEST_F(Book, AFloodFillsItsSignersPlacesOnly) {
  for (std::uint32_t number = 300; number > 0; --number)
    (void)book.add(village.vouch_record(village.founder(), village.random.id<PersonId>(), number, 1));
  EXPECT_EQ(of_kind(TrustKind::vouch), RecordBook::vouches_max);
  for (const auto& [id, entry] : book.records())
    EXPECT_LE(std::get<Vouch>(entry.facts.what).number, RecordBook::vouches_max);
  for (std::uint64_t epoch = 0; epoch < 100; ++epoch)
    (void)book.add(make_doubt(village.founder().key, village.network(), village.founder().id,
                              village.random.id<PersonId>(), "", epoch));
  EXPECT_EQ(of_kind(TrustKind::doubt), RecordBook::doubts_max);
}

TEST_F(Book, OfManyPersonsForOneVouchNumberTheEarliestAreKept) {
  for (std::uint64_t epoch = 9; epoch > 0; --epoch)
    EXPECT_TRUE(
        book.add(village.vouch_record(village.founder(), village.random.id<PersonId>(), 1, epoch)));
  EXPECT_EQ(of_kind(TrustKind::vouch), RecordBook::per_slot_max);
  for (const auto& [id, entry] : book.records())
    EXPECT_LE(entry.facts.epoch, RecordBook::per_slot_max);
  EXPECT_EQ(book.standings({}, 10).of(village.founder().id).state, Standing::State::fraud);
}

TEST_F(Book, TheKeysOfARecoveryAreKnownByTheirCommitment) {
  const auto recovery = village.founder().secret.recovery_key();
  const auto new_key = village.founder().secret.numbered(2).signing_key();
  auto moved = village.founder();
  moved.key = new_key;
  EXPECT_FALSE(book.add(village.vouch_record(moved, village.random.id<PersonId>(), 1, 3)));
  EXPECT_TRUE(book.add(make_rotation(recovery, new_key, village.network(), moved.id, 1, 2)).value());
  EXPECT_TRUE(book.add(village.vouch_record(moved, village.random.id<PersonId>(), 1, 3)).value());
  const auto stranger = PersonSecret::generate(village.random);
  EXPECT_FALSE(book.add(make_rotation(stranger.recovery_key(), stranger.signing_key(),
                                      village.network(), moved.id, 1, 2)));
}

TEST_F(Book, ARotationIsKnownByWhatItsPersonCommittedToWhenHeWasLetIn) {
  auto& guest = village.guest(village.founder(), 1);
  std::optional<Digest> committed;
  RecordBook other{village.genesis, [&](const PersonId& id) { return id == guest.id; },
                   [&](const PersonId& id) { return id == guest.id ? committed : std::nullopt; }};
  const auto rotation = make_rotation(guest.secret.recovery_key(), guest.secret.numbered(2).signing_key(),
                                      village.network(), guest.id, 1, 2);
  EXPECT_EQ(other.add(rotation).error().code, Errc::not_found);
  EXPECT_FALSE(other.has_rotations());
  committed = recovery_commitment(guest.secret.recovery_key());
  EXPECT_TRUE(other.add(rotation).value());
  EXPECT_TRUE(other.has_rotations());
  EXPECT_EQ(other.rotations_of(guest.id).size(), 1u);
  EXPECT_TRUE(other.rotations_of(village.founder().id).empty());
}

TEST_F(Book, NobodyRotatesAnothersKey) {
  auto& thief = village.guest(village.founder(), 1);
  admitted.insert(thief.id);
  std::map<PersonId, Digest> committed{{thief.id, recovery_commitment(thief.secret.recovery_key())}};
  RecordBook other{village.genesis, [this](const PersonId& id) { return admitted.contains(id); },
                   [&](const PersonId& id) {
                     const auto found = committed.find(id);
                     return found == committed.end() ? std::nullopt : std::optional(found->second);
                   }};
  const auto rotation = [&](const SigningKey& by, const Villager& of, std::uint32_t number) {
    const auto new_key = PersonSecret::generate(village.random).signing_key();
    return make_rotation(by, new_key, village.network(), of.id, number, 2);
  };
  const auto& founder = village.founder();
  const auto own = make_rotation(thief.secret.recovery_key(), thief.secret.numbered(2).signing_key(),
                                 village.network(), thief.id, 1, 2);
  EXPECT_TRUE(other.add(own).value());
  // His keys are known, none of them for somebody else; nor his signing keys for himself.
  for (const auto& key : {thief.key, thief.secret.numbered(2).signing_key(), thief.secret.recovery_key()})
    EXPECT_EQ(other.add(rotation(key, founder, 1)).error().code, Errc::not_found);
  for (const auto& key : {thief.key, thief.secret.numbered(2).signing_key()})
    EXPECT_EQ(other.add(rotation(key, thief, 2)).error().code, Errc::not_found);
  EXPECT_EQ(other.add(rotation(PersonSecret::generate(village.random).recovery_key(), thief, 2)).error().code,
            Errc::not_found);
  EXPECT_EQ(other.records().size(), 1u);
}

TEST_F(Book, AClipCommitsOnlyTheOneWhoHasAnnouncedItAndOnlyFirst) {
  auto& guest = village.guest(village.founder(), 1);
  auto& thief = village.guest(village.founder(), 1);
  for (const auto* one : {&guest, &thief}) admitted.insert(one->id);
  const auto vouch = village.vouch_record(village.founder(), guest.id, 1, 1);
  ASSERT_TRUE(book.add(vouch).value());
  const auto basis = trust_record_id(TrustKind::vouch, vouch.record());
  const auto committing = [&](const SigningKey& by, const SigningKey& recovery) {
    auto announce = village.new_announce(guest, basis, {village.founder().id}, 2);
    announce.recovery = recovery_commitment(recovery);
    return make_announce(by, village.network(), announce);
  };
  const auto rotation_by = [&](const SigningKey& recovery) {
    return make_rotation(recovery, guest.secret.numbered(2).signing_key(), village.network(), guest.id, 1, 3);
  };
  EXPECT_TRUE(book.add(committing(thief.key, thief.secret.recovery_key())).value());
  EXPECT_EQ(book.add(rotation_by(thief.secret.recovery_key())).error().code, Errc::not_found);
  EXPECT_EQ(book.add(rotation_by(guest.secret.recovery_key())).error().code, Errc::not_found);
  EXPECT_TRUE(book.add(committing(guest.key, guest.secret.recovery_key())).value());
  EXPECT_TRUE(book.add(rotation_by(guest.secret.recovery_key())).value());
  // Who has committed when he was let in goes on with that.
  RecordBook other{village.genesis, [this](const PersonId& id) { return admitted.contains(id); },
                   [&](const PersonId&) { return std::optional(village.random.id<Digest>()); }};
  for (const auto& record : {vouch, committing(guest.key, guest.secret.recovery_key())})
    EXPECT_TRUE(other.add(record).value());
  EXPECT_EQ(other.add(rotation_by(guest.secret.recovery_key())).error().code, Errc::not_found);
}

TEST_F(Book, RotationsOfAPersonComeByNumber) {
  const auto& founder = village.founder();
  for (const std::uint32_t number : {3U, 1U, 4U, 2U})
    EXPECT_TRUE(book.add(make_rotation(founder.secret.recovery_key(),
                                       founder.secret.numbered(1 + number).signing_key(), village.network(),
                                       founder.id, number, 2))
                    .value());
  std::vector<std::uint32_t> numbers;
  for (const auto* entry : book.rotations_of(founder.id))
    numbers.push_back(std::get<Rotation>(entry->facts.what).number);
  EXPECT_EQ(numbers, (std::vector<std::uint32_t>{1, 2, 3, 4}));
}

}  // namespace
}  // namespace spatter
