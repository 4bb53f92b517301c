// Packs come and go: compaction, eviction, damage and mending.
#include "fixture.h"

namespace spatter {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class TidyTest : public VolumeTest {
 protected:
  std::string path_of(const PackId& pack) { return "user/packs/" + pack.hex(); }
};

TEST_F(TidyTest, CompactionFreesWhatWasRemovedAndKeepsTheRest) {
  std::vector<PackId> removed;
  volume().packs().on_removed = [&](PackId pack) { removed.push_back(pack); };
  for (int i = 0; i < 40; ++i) put(fmt::format("f{}", i), random_bytes(500000, static_cast<std::uint64_t>(i)));
  for (int i = 0; i < 40; ++i)
    if (i % 5) must(volume().remove(fmt::format("f{}", i)));
  must(volume().reap());
  const auto before = volume().packs().used_bytes();
  // Their log records are still needed.
  EXPECT_THAT(volume().compaction_candidates(), IsEmpty());
  EXPECT_EQ(error_of(volume().rewrite_pack(volume().packs().list().front().id)), Errc::busy);
  must(volume().snapshot());
  auto candidates = volume().compaction_candidates();
  ASSERT_GE(candidates.size(), 4u);
  for (const PackId& pack : candidates) must(volume().rewrite_pack(pack));
  EXPECT_EQ(removed, candidates);
  EXPECT_LT(volume().packs().used_bytes(), before / 2);
  for (const PackId& pack : candidates) EXPECT_FALSE(runtime.disk().stat(path_of(pack)).has_value());
  EXPECT_THAT(problems(), IsEmpty());
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 40; i += 5)
      EXPECT_EQ(get(fmt::format("f{}", i)), to_bytes(random_bytes(500000, static_cast<std::uint64_t>(i))));
    reopen();
  }
  // A restore finds the chunks where they went.
  copy_packs();
  auto packs = packs_for_restore();
  close();
  runtime.exchange(std::make_unique<MemoryDisk>());
  (void)runtime.disk().make_directories("user");
  auto database = must(Database::open(runtime, "user/index.db", volume_migrations()));
  auto report = must(Volume::restore(runtime, *database, test_keys(), test_volume_id(), packs, remote));
  EXPECT_EQ(report.chunks_missing, 0u);
  run(database->close());
  open();
  for (int i = 0; i < 40; i += 5)
    EXPECT_EQ(get(fmt::format("f{}", i)), to_bytes(random_bytes(500000, static_cast<std::uint64_t>(i))));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(TidyTest, APackThatAnUncommittedFileUsesStays) {
  put("old", random_bytes(6 << 20, 1));
  must(volume().packs().seal());
  must(volume().remove("old"));
  must(volume().reap());
  must(volume().snapshot());
  must(volume().packs().seal());
  auto writer = must(volume().write_file("new", {}));
  must(writer->write(random_bytes(6 << 20, 1)));  // finds its chunks in the packs of the old one
  must(writer->write_hole(1));
  for (int i = 0; i < 50; ++i) must(volume().stat("/"));
  for (const PackInfo& pack : volume().packs().list())
    if (pack.sealed) (void)run(volume().rewrite_pack(pack.id));
  must(writer->commit());
  Bytes expected = to_bytes(random_bytes(6 << 20, 1));
  expected.push_back(0);
  EXPECT_EQ(get("new"), expected);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(TidyTest, EvictedPacksAreReadFromTheNetwork) {
  put("big", random_bytes(20 << 20, 1));
  must(volume().packs().seal());
  copy_packs();
  for (const PackInfo& pack : volume().packs().list()) must(volume().packs().drop_local(pack.id));
  EXPECT_EQ(volume().packs().used_bytes(), 0u);
  for (int round = 0; round < 2; ++round) {
    remote.reads = 0;
    EXPECT_EQ(get("big"), to_bytes(random_bytes(20 << 20, 1)));
    EXPECT_GT(remote.reads, 0u);
    EXPECT_LT(remote.reads, 12u) << "runs of chunks should be read together";
    reopen();
  }
  remote.bytes_read = 0;
  auto reader = must(volume().read_file("big"));
  must(reader->read(9'000'000, 65536));
  EXPECT_LT(remote.bytes_read, 8u << 20);
  for (const PackInfo& pack : volume().packs().list()) must(volume().packs().fetch_local(pack.id));
  remote.packs.clear();
  reader.reset();
  reopen();
  EXPECT_EQ(get("big"), to_bytes(random_bytes(20 << 20, 1)));
  EXPECT_EQ(error_of(volume().read_file("big", ReadFrom::network)), Errc::ok);
  reopen();
  auto network = must(volume().read_file("big", ReadFrom::network));
  EXPECT_EQ(error_of(network->read(0, 100)), Errc::unavailable);
  EXPECT_THAT(last_message, HasSubstr("\"big\""));
}

TEST_F(TidyTest, RotIsFoundNamedReadAroundAndMended) {
  put("small", text_bytes(1000, 9));
  put("big", random_bytes(10 << 20, 1));
  must(volume().packs().seal());
  copy_packs();
  reopen();
  SeededRandom random(5);
  const PackId victim = volume().packs().list()[1].id;
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(runtime.memory().flip_bit(path_of(victim), random));
  EXPECT_THAT(problems(false), IsEmpty());
  auto findings = must(volume().check(true));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_TRUE(findings[0].fatal);
  EXPECT_EQ(findings[0].path, "/big");
  EXPECT_THAT(findings[0].what, HasSubstr(victim.brief()));
  EXPECT_EQ(get("big"), to_bytes(random_bytes(10 << 20, 1)));
  // Without the network the file says which chunk is rotten.
  volume().packs().set_remote(nullptr);
  opened.volume->packs().set_remote(nullptr);
  close();
  open();
  volume().packs().set_remote(nullptr);
  auto reader = must(volume().read_file("big"));
  Errc seen = Errc::ok;
  for (std::uint64_t at = 0; at < reader->node().size && seen == Errc::ok; at += 1 << 20)
    seen = error_of(reader->read(at, 1 << 20));
  EXPECT_EQ(seen, Errc::corrupt);
  EXPECT_THAT(last_message, HasSubstr("\"big\""));
  EXPECT_THAT(last_message, HasSubstr("chunk "));
  reader.reset();
  volume().packs().set_remote(&remote);
  findings = must(volume().mend(true));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_TRUE(findings[0].mended);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(TidyTest, RotInTheOpenPackIsMendedFromItsRangesInTheNetwork) {
  put("a", random_bytes(600'000, 1));
  put("b", random_bytes(600'000, 2));
  must(volume().packs().cut());
  copy_packs();
  const PackInfo open_pack = volume().packs().list().back();
  ASSERT_FALSE(open_pack.sealed);
  put("c", random_bytes(100'000, 3));  // not in the network yet
  reopen();
  SeededRandom random(5);
  {
    auto file = std::move(runtime.disk().open(path_of(open_pack.id), OpenMode::read_write).value());
    Bytes rot(64, 0xee);
    ASSERT_TRUE(file->write_at(200'000, rot).has_value());
    ASSERT_TRUE(file->write_at(900'000, rot).has_value());
  }
  ASSERT_THAT(must(volume().check(true)), SizeIs(1));
  const auto findings = must(volume().mend(true));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_TRUE(findings[0].mended) << findings[0].what;
  EXPECT_THAT(problems(true), IsEmpty());
  volume().packs().set_remote(nullptr);
  EXPECT_EQ(get("a"), to_bytes(random_bytes(600'000, 1)));
  EXPECT_EQ(get("b"), to_bytes(random_bytes(600'000, 2)));
  EXPECT_EQ(get("c"), to_bytes(random_bytes(100'000, 3)));
  put("d", random_bytes(1000, 4));
}

TEST_F(TidyTest, ATruncatedOpenPackKeepsWhatItHasAndIsMended) {
  put("a", random_bytes(600'000, 1));
  must(volume().packs().cut());
  copy_packs();
  put("b", random_bytes(300'000, 2));  // here alone
  close();
  const PackId victim = remote.packs.begin()->first;
  {
    auto file = std::move(runtime.disk().open(path_of(victim), OpenMode::read_write).value());
    ASSERT_TRUE(file->truncate(file->size().value() - 1000).has_value());
  }
  open();
  volume().packs().set_remote(&remote);
  EXPECT_EQ(get("a"), to_bytes(random_bytes(600'000, 1)));
  ASSERT_THAT(must(volume().check(false)), SizeIs(1));
  const auto findings = must(volume().mend(false));
  EXPECT_FALSE(findings[0].mended) << "its end is nowhere";
  EXPECT_THAT(findings[0].what, HasSubstr(victim.brief()));
  volume().packs().set_remote(nullptr);
  EXPECT_EQ(get("a"), to_bytes(random_bytes(600'000, 1))) << "what is there stays";
}

TEST_F(TidyTest, AMissingPackFileIsNamedAndFetchedWhenMended) {
  put("big", random_bytes(10 << 20, 1));
  must(volume().packs().seal());
  copy_packs();
  close();
  const PackId victim = remote.packs.begin()->first;
  ASSERT_TRUE(runtime.disk().remove(path_of(victim)).has_value());
  open();
  EXPECT_EQ(get("big"), to_bytes(random_bytes(10 << 20, 1)));
  for (int restarts = 0; restarts < 2; ++restarts) {
    const auto findings = must(volume().check(false));
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_THAT(findings[0].what, HasSubstr(victim.brief()));
    reopen();
  }
  EXPECT_TRUE(must(volume().mend(false))[0].mended);
  EXPECT_THAT(problems(true), IsEmpty());
  volume().packs().set_remote(nullptr);
  EXPECT_EQ(get("big"), to_bytes(random_bytes(10 << 20, 1)));
}

TEST_F(TidyTest, WhoAsksForTheNetworksBytesGetsNoOthers) {
  put("big", random_bytes(3 << 20, 1));
  must(volume().packs().seal());
  copy_packs();
  EXPECT_EQ(get("big"), to_bytes(random_bytes(3 << 20, 1)));  // its chunks are in memory now
  volume().packs().set_remote(nullptr);
  auto reader = must(volume().read_file("big", ReadFrom::network));
  EXPECT_EQ(error_of(reader->read(0, 1 << 20)), Errc::unavailable);
  volume().packs().set_remote(&remote);
  EXPECT_TRUE(must(volume().read_file("big", ReadFrom::network))->node().size > 0);
  EXPECT_EQ(must(reader->read(0, 1 << 20)).size(), 1u << 20);
}

TEST_F(TidyTest, WrongCountersAreFoundAndPutRight) {
  put("file", random_bytes(300000, 1));
  must(opened.database->write([](Connected& db) -> Result<void> {
    return db.execute("UPDATE chunks SET refs = refs + 1; UPDATE packs SET live = live + 5;"
                      "UPDATE inodes SET links = links + 1");
  }));
  EXPECT_THAT(problems(), SizeIs(4));  // root and file, chunk, pack
  const auto findings = must(volume().mend(false));
  EXPECT_EQ(std::ranges::count_if(findings, &Finding::mended), 4);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(TidyTest, AFetchedPackThatIsNotWholeChangesNothing) {
  put("big", random_bytes(10 << 20, 1));
  must(volume().packs().seal());
  copy_packs();
  const PackId victim = volume().packs().list().front().id;
  remote.packs[victim][100000] ^= 1;
  EXPECT_EQ(error_of(volume().packs().fetch_local(victim)), Errc::corrupt);
  EXPECT_THAT(problems(), IsEmpty());
}

}  // namespace
}  // namespace spatter
