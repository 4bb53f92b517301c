// What a server keeps of others' records, and what it does not.
#include "directory/record_store.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "base/random.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{1h};
constexpr WallMs wall = 1'000'000'000;
constexpr WallMs hour = 3'600'000;

struct Maker {
  SeededRandom random{1};
  Position own = random.id<Position>();

  RecordPtr record(std::uint64_t version, std::optional<RecordKey> key = {},
                   std::optional<PersonId> person = {}, std::size_t bytes = 100) {
    auto record = std::make_shared<Record>();
    record->key = key ? *key : RecordKey{RecordType::stripe, random.id<Digest>()};
    record->position = record_position(record->key);
    record->facts = {version, wall + hour, person ? *person : random.id<PersonId>()};
    record->value.assign(bytes, 'x');
    return record;
  }
};

TEST(RecordStore, KeepsTheHighestVersion) {
  Maker make;
  RecordStore store(make.own);
  const auto second = make.record(2);
  EXPECT_EQ(store.put(second, start, wall, 0).value(), RecordStore::Kept::fresh);
  EXPECT_EQ(store.put(second, start, wall, 0).value(), RecordStore::Kept::same);
  EXPECT_EQ(store.put(make.record(1, second->key), start, wall, 0).error().code, Errc::exists);
  EXPECT_EQ(store.get(second->key, wall), second);
  const auto third = make.record(3, second->key);
  EXPECT_EQ(store.put(third, start, wall, 0).value(), RecordStore::Kept::newer);
  EXPECT_EQ(store.get(second->key, wall), third);
  EXPECT_EQ(store.size(), 1u);
}

TEST(RecordStore, ForgetsWhatHasExpiredWithinTheSlackOfClocks) {
  Maker make;
  RecordStore store(make.own);
  const auto record = make.record(1);
  ASSERT_TRUE(store.put(record, start, wall, 0));
  EXPECT_TRUE(store.get(record->key, wall + hour + 5 * 60'000));
  EXPECT_FALSE(store.get(record->key, wall + hour + 11 * 60'000));
  EXPECT_EQ(store.put(make.record(1), start, wall + 2 * hour, 0).error().code, Errc::invalid);
  (void)store.take_due(start + 2h, wall + 2 * hour, 0);
  EXPECT_EQ(store.size(), 0u);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(RecordStore, KeepsNothingLongerThanItMayWhateverTheRecordSays) {
  Maker make;
  StoreOptions options;
  options.keep_max = 30min;
  RecordStore store(make.own, options);
  const auto record = make.record(1);
  ASSERT_TRUE(store.put(record, start, wall, 0));
  EXPECT_FALSE(store.get(record->key, wall + hour / 2 + 1));
}

TEST(RecordStore, WhenItIsFullTheFarthestGives) {
  Maker make;
  StoreOptions options;
  options.bytes_max = 20'000;
  RecordStore store(make.own, options);
  for (int i = 0; i < 500; ++i) (void)store.put(make.record(1), start, wall, 0);
  EXPECT_LE(store.bytes(), options.bytes_max);
  EXPECT_GT(store.size(), 20u);
  Distance farthest;
  for (const auto& record : store.records())
    farthest = std::max(farthest, distance(record->position, make.own));
  // Of 500 records some 50 fit: the nearest tenth.
  EXPECT_LT(farthest.share(), 0.25);
}

TEST(RecordStore, OnePersonHasHisShareOnly) {
  Maker make;
  StoreOptions options;
  options.person_bytes_max = 5'000;
  RecordStore store(make.own, options);
  const auto person = make.random.id<PersonId>();
  bool refused = false;
  for (int i = 0; i < 100; ++i)
    refused = refused || !store.put(make.record(1, {}, person), start, wall, 0);
  EXPECT_TRUE(refused);
  EXPECT_LE(store.bytes(), options.person_bytes_max);
  EXPECT_TRUE(store.put(make.record(1), start, wall, 0));
}

TEST(RecordStore, SendsOnWhatNobodyElseHasSent) {
  Maker make;
  RecordStore store(make.own);
  const auto quiet = make.record(1), busy = make.record(1);
  ASSERT_TRUE(store.put(quiet, start, wall, 512));
  ASSERT_TRUE(store.put(busy, start, wall, 512));
  EXPECT_TRUE(store.take_due(start + 10min, wall, 0).empty());
  ASSERT_TRUE(store.put(busy, start + 25min, wall, 512));
  EXPECT_EQ(store.take_due(start + 35min, wall, 512), std::vector{quiet});
  EXPECT_TRUE(store.take_due(start + 36min, wall, 512).empty());
  EXPECT_EQ(store.take_due(start + 90min, wall, 512).size(), 2u);
  store.release(quiet->key);
  EXPECT_EQ(store.take_due(start + 10h, wall, 512), std::vector{busy});
}

TEST(RecordStore, WhatWasReleasedIsSentOnAgainOnceItIsSentHereAgain) {
  Maker make;
  RecordStore store(make.own);
  const auto record = make.record(1);
  ASSERT_TRUE(store.put(record, start, wall, 0));
  ASSERT_EQ(store.take_due(start + 2h, wall, 0).size(), 1u);
  store.release(record->key);
  EXPECT_TRUE(store.take_due(start + 10h, wall, 0).empty());
  ASSERT_TRUE(store.put(record, start + 10h, wall, 0));
  EXPECT_EQ(store.take_due(start + 12h, wall, 0).size(), 1u);
}

TEST(RecordValidators, ATypeThatNobodyJudgesIsRefused) {
  RecordValidators validators;
  const RecordKey key{RecordType::health, {}};
  EXPECT_EQ(validators.check(key, "x").error().code, Errc::invalid);
  validators.set(RecordType::health, [](const RecordKey&, ByteView value) -> Result<RecordFacts> {
    if (value.size() != 1) return fail(Errc::corrupt, "a health record of a wrong size");
    return RecordFacts{7, wall, {}};
  });
  EXPECT_EQ(validators.check(key, "x").value()->facts.version, 7u);
  EXPECT_EQ(validators.check(key, "xx").error().code, Errc::corrupt);
  EXPECT_EQ(validators.check(key, std::string(record_value_bytes_max + 1, 'x')).error().code,
            Errc::invalid);
  EXPECT_NE(record_position({RecordType::server, {}}), record_position({RecordType::stripe, {}}));
}

TEST(RecordStore, WhatCountsNoMoreIsForgottenAndItsPersonHasRoomAgain) {
  Maker make;
  StoreOptions options;
  options.person_bytes_max = 2000;
  RecordStore store(make.own, options);
  const auto person = make.random.id<PersonId>();
  const auto other = make.record(1);
  const auto first = make.record(1, {}, person, 1200);
  EXPECT_TRUE(store.put(other, start, wall, 0));
  EXPECT_TRUE(store.put(first, start, wall, 0));
  EXPECT_EQ(store.put(make.record(1, {}, person, 1200), start, wall, 0).error().code, Errc::no_space);
  store.forget_if([&](const Record& one) { return one.facts.person == person; });
  EXPECT_EQ(store.size(), 1u);
  EXPECT_FALSE(store.get(first->key, wall));
  EXPECT_TRUE(store.get(other->key, wall));
  EXPECT_TRUE(store.put(make.record(1, {}, person, 1200), start, wall, 0));
}

RC_GTEST_PROP(RecordStore, CountsItsBytes, (std::uint64_t seed)) {
  Maker make;
  make.random = SeededRandom(seed);
  StoreOptions options;
  options.bytes_max = 30'000;
  options.person_bytes_max = 9'000;
  RecordStore store(make.own, options);
  std::vector<PersonId> persons;
  for (int i = 0; i < 5; ++i) persons.push_back(make.random.id<PersonId>());
  std::vector<RecordKey> keys;
  for (int i = 0; i < 60; ++i) keys.push_back({RecordType::server, make.random.id<Digest>()});
  std::map<RecordKey, std::uint64_t> highest;
  for (int step = 0; step < 500; ++step) {
    const auto& key = keys[make.random.below(keys.size())];
    const auto record = make.record(make.random.below(9), key, persons[make.random.below(5)],
                                    make.random.below(1500));
    const auto before = store.get(key, wall);
    const auto kept = store.put(record, start, wall, step);
    const auto after = store.get(key, wall);
    if (before && after) RC_ASSERT(after->facts.version >= before->facts.version);
    if (kept) RC_ASSERT(after && after->facts.version == record->facts.version);
    RC_ASSERT(store.bytes() <= options.bytes_max);
  }
  (void)store.take_due(start + 9h, wall + 9 * hour, 0);
  RC_ASSERT(store.size() == 0 && store.bytes() == 0);
}

}  // namespace
}  // namespace spatter
