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
  std::set<Digest> committed;
  RecordBook other{village.genesis, [&](const PersonId& id) { return id == guest.id; },
                   [&](const Digest& recovery) { return committed.contains(recovery); }};
  const auto rotation = make_rotation(guest.secret.recovery_key(), guest.secret.numbered(2).signing_key(),
                                      village.network(), guest.id, 1, 2);
  EXPECT_EQ(other.add(rotation).error().code, Errc::not_found);
  EXPECT_FALSE(other.has_rotations());
  committed.insert(recovery_commitment(guest.secret.recovery_key()));
  EXPECT_TRUE(other.add(rotation).value());
  EXPECT_TRUE(other.has_rotations());
  EXPECT_EQ(other.rotations_of(guest.id).size(), 1u);
  EXPECT_TRUE(other.rotations_of(village.founder().id).empty());
}

}  // namespace
}  // namespace spatter
