// Aim: whatever happens to the files, the store says what is wrong with which shard, never serves
// it, and takes it anew. Method: real files are harmed behind its back, as rot and crashes would.
#include <sqlite3.h>

#include <fstream>

#include "fixture.h"

namespace spatter {
namespace {

using Kind = ShardDamage::Kind;

class DamageTest : public HolderTest {
 protected:
  void SetUp() override {
    for (const std::uint64_t size : {100000, 3000, 200000}) {
      stripes.push_back(make_stripe(random, alice, {.shard_size = size}));
      for (unsigned index = 0; index < 3; ++index) ASSERT_TRUE(put(alice, stripes.back(), index));
    }
  }
  const Stripe& big() const { return stripes[0]; }
  const Stripe& small() const { return stripes[1]; }

  void flip(const ShardKey& key, std::uint64_t offset) {
    std::fstream file(file_of(key), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 0x10));
  }
  /// The index changed by hand, while the store is closed.
  void sql(const std::string& text) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((folder.path() + "/server/index.db").c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, text.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
  static std::string literal(const StripeId& id) { return "x'" + id.hex() + "'"; }

  void expect_one(const ShardCheckup& checkup, Kind kind, std::optional<ShardKey> key) {
    ASSERT_EQ(checkup.damage.size(), 1u) << checkup.damage.at(0).text << checkup.damage.back().text;
    EXPECT_EQ(to_string(checkup.damage[0].kind), to_string(kind)) << checkup.damage[0].text;
    EXPECT_EQ(checkup.damage[0].key, key);
    if (key) EXPECT_THAT(checkup.damage[0].text, testing::HasSubstr(key->text()));
  }

  std::vector<Stripe> stripes;
};

TEST_F(DamageTest, AFlippedByteIsFoundByTheDeepLookNamedAndMended) {
  flip(big().key(1), 50000);
  EXPECT_TRUE(fsck(false).clean());
  expect_one(fsck(true), Kind::flipped, big().key(1));
  expect_one(fsck(true), Kind::flipped, big().key(1));  // looking changed nothing
  EXPECT_TRUE(check_one(big().key(1), false));
  const auto mended = fsck(true, true);
  expect_one(mended, Kind::flipped, big().key(1));
  EXPECT_TRUE(mended.damage[0].mended);
  EXPECT_EQ(read(big().key(1)).error().code, Errc::corrupt);
  EXPECT_THAT(read(big().key(1)).error().message, testing::HasSubstr(big().key(1).text()));
  EXPECT_FALSE(check_one(big().key(1), false));
  EXPECT_FALSE(std::filesystem::exists(file_of(big().key(1))));
  EXPECT_EQ(store->usage().lost, 1u);
  reopen();
  EXPECT_EQ(store->usage().lost, 1u);
  // The owner learns of it and puts it again.
  bool listed_as_lost = false;
  for (const auto& shard : runtime.wait_for(store->list({.person = alice.person})).value().shards)
    if (shard.lost) listed_as_lost = shard.key == big().key(1);
  EXPECT_TRUE(listed_as_lost);
  ASSERT_TRUE(put(alice, big(), 1));
  EXPECT_TRUE(holds(big(), 1));
  EXPECT_EQ(store->usage().lost, 0u);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, EveryByteOfAFileIsWatched) {
  const auto size = std::filesystem::file_size(file_of(big().key(0)));
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{99999}, std::uint64_t{100000},
                                     std::uint64_t{100224}, size - 64, size - 50, size - 1}) {
    flip(big().key(0), offset);
    expect_one(fsck(true), Kind::flipped, big().key(0));
    flip(big().key(0), offset);
    EXPECT_TRUE(fsck(true).clean());
  }
}

TEST_F(DamageTest, ADeepCheckFindsRotAndRemembersIt) {
  flip(big().key(2), 1);
  EXPECT_TRUE(check_one(big().key(2), false));
  EXPECT_FALSE(check_one(big().key(2), true));
  EXPECT_FALSE(check_one(big().key(2), false));
  EXPECT_EQ(read(big().key(2)).error().code, Errc::corrupt);
  EXPECT_TRUE(check_one(big().key(1), true));
  const std::uint64_t used = store->usage().used;
  ASSERT_TRUE(put(alice, big(), 2));
  EXPECT_TRUE(holds(big(), 2));
  EXPECT_EQ(store->usage().used, used);
}

TEST_F(DamageTest, AMissingFileIsNamedAndReadingSaysCorrupt) {
  std::filesystem::remove(file_of(big().key(0)));
  expect_one(fsck(false), Kind::missing, big().key(0));
  EXPECT_EQ(read(big().key(0)).error().code, Errc::corrupt);
  EXPECT_EQ(store->usage().lost, 1u);
  EXPECT_EQ(release(alice, {big().key(0)}).value(), 1u);
  EXPECT_EQ(store->usage().lost, 0u);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, ATruncatedFileIsNamedAndReadingSaysCorrupt) {
  std::filesystem::resize_file(file_of(big().key(0)), 60000);
  expect_one(fsck(false), Kind::truncated, big().key(0));
  EXPECT_EQ(read(big().key(0), 0, 100).error().code, Errc::corrupt);
  EXPECT_EQ(read(big().key(1), 0, 100).value().leaf_count, 1u);
}

TEST_F(DamageTest, SwappedFilesAreNamedEach) {
  const std::string a = file_of(big().key(0));
  const std::string b = file_of(big().key(1));
  std::filesystem::rename(a, a + ".x");
  std::filesystem::rename(b, a);
  std::filesystem::rename(a + ".x", b);
  const auto checkup = fsck(true);
  ASSERT_EQ(checkup.damage.size(), 2u);
  for (const auto& damage : checkup.damage) EXPECT_EQ(damage.kind, Kind::swapped) << damage.text;
  EXPECT_THAT(checkup.damage[0].text, testing::HasSubstr(big().key(1).text()));
  fsck(true, true);
  EXPECT_EQ(read(big().key(0)).error().code, Errc::corrupt);
  ASSERT_TRUE(put(alice, big(), 0));
  ASSERT_TRUE(put(alice, big(), 1));
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, RotOfAnInlineShardIsFoundAndMended) {
  close();
  sql("UPDATE inline_shards SET bytes = zeroblob(3000) WHERE id = (SELECT id FROM shards WHERE "
      "stripe = " + literal(small().facts.stripe) + " AND shard_index = 2)");
  open();
  EXPECT_TRUE(fsck(false).clean());
  expect_one(fsck(true), Kind::flipped, small().key(2));
  EXPECT_FALSE(check_one(small().key(2), true));
  fsck(true, true);
  EXPECT_EQ(read(small().key(2)).error().code, Errc::corrupt);
  ASSERT_TRUE(put(alice, small(), 2));
  EXPECT_TRUE(holds(small(), 2));
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, ForeignFilesAreNamedCountedAndRemovedOnlyWhenMending) {
  const std::string shards = folder.path() + "/server/shards/";
  const std::string orphan = file_of({random.id<StripeId>(), 3});
  std::filesystem::create_directories(std::filesystem::path(orphan).parent_path());
  std::ofstream(orphan) << std::string(500000, 'x');
  std::ofstream(shards + "note.txt") << "hello";
  std::ofstream(folder.path() + "/server/tmp/99") << "half a shard";
  EXPECT_EQ(fsck(false).damage.size(), 3u);
  EXPECT_EQ(fsck(false).damage.size(), 3u);
  reopen();  // removes what is in tmp, keeps the rest and counts it
  EXPECT_EQ(fsck(false).damage.size(), 2u);
  const auto free = store->usage().free;
  const auto mended = fsck(false, true);
  EXPECT_EQ(mended.damage.size(), 2u);
  EXPECT_TRUE(mended.damage[0].mended && mended.damage[1].mended);
  EXPECT_TRUE(fsck(false).clean());
  EXPECT_FALSE(std::filesystem::exists(orphan));
  EXPECT_GE(store->usage().free, free + 500000);
}

TEST_F(DamageTest, ACrashBetweenFileAndIndexEntryLosesNothing) {
  close();
  sql("DELETE FROM shards WHERE stripe = " + literal(big().facts.stripe) + "; DELETE FROM stripes "
      "WHERE stripe = " + literal(big().facts.stripe));
  open();
  for (unsigned index = 0; index < 3; ++index) EXPECT_TRUE(holds(big(), index));
  EXPECT_EQ(store->usage().shards, 9u);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, WithoutItsIndexTheHalfStillKnowsItsFiles) {
  close();
  for (const char* part : {"", "-wal", "-shm"})
    std::filesystem::remove(folder.path() + "/server/index.db" + part);
  open();
  EXPECT_EQ(store->usage().shards, 6u);
  EXPECT_TRUE(holds(big(), 0));
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, AnInterruptedReleaseIsFinishedAndNotUndone) {
  runtime.tampered().before_write = [](std::string_view what, const std::string&) -> Result<void> {
    if (what == "remove") return fail(Errc::io, "the power is out");
    return {};
  };
  EXPECT_EQ(release(alice, {big().key(0), big().key(1)}).value(), 2u);
  EXPECT_TRUE(std::filesystem::exists(file_of(big().key(0))));
  close();
  runtime.tampered().before_write = {};
  open();
  EXPECT_FALSE(std::filesystem::exists(file_of(big().key(0))));
  EXPECT_EQ(read(big().key(0)).error().code, Errc::not_found);
  EXPECT_EQ(store->usage().shards, 7u);
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, AReleasedShardPutAgainSurvivesTheNextOpen) {
  runtime.tampered().before_write = [](std::string_view what, const std::string&) -> Result<void> {
    if (what == "remove") return fail(Errc::io, "not now");
    return {};
  };
  ASSERT_EQ(release(alice, {big().key(0)}).value(), 1u);
  runtime.tampered().before_write = {};
  ASSERT_TRUE(put(alice, big(), 0));
  reopen();
  EXPECT_TRUE(holds(big(), 0));
  EXPECT_TRUE(fsck(true).clean());
}

TEST_F(DamageTest, AFailureAtAnyStepOfAPutLeavesNothingHalfDone) {
  for (const std::string step : {"create", "rename", "sync_directory"}) {
    runtime.tampered().before_write = [&](std::string_view what, const std::string&) -> Result<void> {
      if (what == step) return fail(Errc::io, "{} failed", step);
      return {};
    };
    const auto used = store->usage();
    const Stripe stripe = make_stripe(random, bob, {.shard_size = 70000});
    EXPECT_EQ(put(bob, stripe, 0).error().code, Errc::io) << step;
    EXPECT_EQ(read(stripe.key(0)).error().code, Errc::not_found);
    EXPECT_EQ(store->usage().used, used.used);
    EXPECT_EQ(store->usage().reserved, 0u);
    runtime.tampered().before_write = {};
    EXPECT_TRUE(fsck(true).clean()) << step;
    ASSERT_TRUE(put(bob, stripe, 0)) << step;
    EXPECT_TRUE(holds(stripe, 0));
  }
}

TEST_F(DamageTest, AnUnreadableContractIsNamed) {
  close();
  sql("UPDATE shards SET contract = x'00' WHERE stripe = " + literal(small().facts.stripe) +
      " AND shard_index = 0");
  open();
  expect_one(fsck(false), Kind::record, small().key(0));
}

}  // namespace
}  // namespace spatter
