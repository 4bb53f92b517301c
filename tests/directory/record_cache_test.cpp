// What the cache of records read lately keeps, for how long, and that it stays within its bounds.
#include "directory/record_cache.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{1h};
constexpr WallMs wall = 1'000'000;

struct Cached : testing::Test {
  RecordPtr record(const RecordKey& key, std::uint64_t version, std::size_t bytes = 100,
                   WallMs expires = wall + 1000) {
    auto result = std::make_shared<Record>();
    result->key = key;
    result->facts.version = version;
    result->facts.expires_ms = expires;
    result->value.assign(bytes, 'v');
    return result;
  }
  RecordKey any_key() { return {RecordType::stripe, random.id<Digest>()}; }

  SeededRandom random{1};
};

TEST_F(Cached, IsBoundInBytesAndKeepsWhatWasUsedLast) {
  RecordCache cache({.bytes_max = 64 << 10});
  const auto favourite = any_key();
  cache.put(record(favourite, 1), start);
  std::vector<RecordKey> keys;
  for (int i = 0; i < 2000; ++i) {
    keys.push_back(any_key());
    cache.put(record(keys.back(), 1, random.below(2000)), start);
    ASSERT_LE(cache.bytes(), 64u << 10);
    EXPECT_TRUE(cache.get(favourite, start, wall)) << "after " << i;
    EXPECT_TRUE(cache.get(keys.back(), start, wall));
  }
  EXPECT_GT(cache.bytes(), 60u << 10);
  std::size_t held = 1;
  for (const auto& key : keys) held += cache.get(key, start, wall) != nullptr;
  EXPECT_EQ(held, cache.size());
  EXPECT_FALSE(cache.get(keys.front(), start, wall));
}

TEST_F(Cached, WhatIsLargerThanTheWholePushesNothingOut) {
  RecordCache cache({.bytes_max = 4096});
  const auto small = any_key(), large = any_key();
  cache.put(record(small, 1), start);
  cache.put(record(large, 1, 8192), start);
  EXPECT_FALSE(cache.get(large, start, wall));
  EXPECT_TRUE(cache.get(small, start, wall));
}

TEST_F(Cached, TheNewerReplacesTheOlderAndNotTheOtherWay) {
  RecordCache cache;
  const auto key = any_key();
  cache.put(record(key, 5, 1000), start);
  const auto bytes = cache.bytes();
  cache.put(record(key, 4), start);
  EXPECT_EQ(cache.get(key, start, wall)->facts.version, 5u);
  EXPECT_EQ(cache.bytes(), bytes);
  cache.put(record(key, 6), start);
  EXPECT_EQ(cache.get(key, start, wall)->facts.version, 6u);
  EXPECT_LT(cache.bytes(), bytes);
  EXPECT_EQ(cache.size(), 1u);
}

TEST_F(Cached, NothingStaysForLongerThanItWasReadFor) {
  RecordCache cache({.keep = 10min});
  const auto key = any_key(), again = any_key();
  cache.put(record(key, 1), start);
  cache.put(record(again, 1), start);
  // Being used does not keep it: only being read anew from those who hold it.
  EXPECT_TRUE(cache.get(key, start + 9min, wall));
  cache.put(record(again, 1), start + 9min);
  EXPECT_FALSE(cache.get(key, start + 10min, wall));
  EXPECT_TRUE(cache.get(again, start + 10min, wall));
  EXPECT_EQ(cache.size(), 1u);
}

TEST_F(Cached, WhatHasExpiredIsGone) {
  RecordCache cache;
  const auto key = any_key();
  cache.put(record(key, 1, 100, wall + 10), start);
  EXPECT_TRUE(cache.get(key, start, wall + 9));
  EXPECT_FALSE(cache.get(key, start, wall + 10));
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST_F(Cached, WhatCountsNoMoreIsForgotten) {
  RecordCache cache;
  std::vector<RecordKey> keys;
  for (std::uint64_t version = 1; version <= 10; ++version) {
    keys.push_back(any_key());
    cache.put(record(keys.back(), version), start);
  }
  const auto bytes = cache.bytes();
  cache.forget_if([](const Record& one) { return one.facts.version % 2 == 0; });
  EXPECT_EQ(cache.size(), 5u);
  EXPECT_EQ(cache.bytes(), bytes / 2);
  for (std::uint64_t version = 1; version <= 10; ++version)
    EXPECT_EQ(cache.get(keys[version - 1], start, wall) != nullptr, version % 2 == 1);
}

}  // namespace
}  // namespace spatter
