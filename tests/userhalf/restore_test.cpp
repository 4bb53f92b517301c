// A volume comes back from its packs alone, or says exactly what is missing.
#include "crypto/hash.h"
#include "fixture.h"
#include "userhalf/local_packs.h"

namespace spatter {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class RestoreTest : public VolumeTest {
 protected:
  static Buffer content(int i) {
    return i % 2 ? random_bytes(static_cast<std::size_t>(i) * 40000, static_cast<std::uint64_t>(i))
                 : text_bytes(static_cast<std::size_t>(i) * 1000, static_cast<std::uint64_t>(i));
  }
  void fill(int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string folder = fmt::format("d{}", i % 4);
      must(volume().make_directory(folder + "/e", {.mode = 0755}, true));
      put(fmt::format("{}/f{}", folder, i), content(i));
      if (i % 3 == 1) must(volume().rename(fmt::format("{}/f{}", folder, i), fmt::format("g{}", i)));
      if (i % 5 == 2) must(volume().make_symlink("x", fmt::format("{}/s{}", folder, i), {.mode = 0777}));
      if (i % 7 == 3 && i > from + 4) must(volume().remove_tree(fmt::format("d{}", (i + 1) % 4)));
      if (i % 5 == 4) put("same", content(i - 1));
    }
  }
  std::map<std::string, std::string> story(const std::string& path = "") {
    std::map<std::string, std::string> all;
    for (auto& entry : must(volume().list(path))) {
      const std::string name = path + "/" + entry.name;
      all[name] = fmt::format("{:o} {} {} {} {}", entry.node.attributes.mode, entry.node.size,
                              entry.node.links, entry.node.attributes.mtime_ns, entry.node.target);
      if (entry.node.is_file()) all[name] += to_hex(ByteView(sha256(get(name)).bytes));
      if (entry.node.is_directory()) all.merge(story(name));
    }
    return all;
  }
  // A new machine that has only what the network has.
  Result<RestoreReport> start_over(std::vector<RestorePack> packs) {
    close();
    runtime.exchange(std::make_unique<MemoryDisk>());
    (void)runtime.disk().make_directories("user");
    auto database = must(Database::open(runtime, "user/index.db", volume_migrations()));
    auto report = run(Volume::restore(runtime, *database, test_keys(), test_volume_id(),
                                      std::move(packs), remote));
    run(database->close());
    return report;
  }
};

TEST_F(RestoreTest, FromTheLogAlone) {
  fill(1, 40);
  const auto before = story();
  copy_packs();
  const auto last = volume().log_state().last_log;
  auto report = start_over(packs_for_restore());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->snapshot, 0u);
  EXPECT_EQ(report->last_log, last);
  EXPECT_EQ(report->chunks_missing, 0u);
  open();
  EXPECT_EQ(story(), before);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(RestoreTest, FromThePackFilesOfADriveThatLostItsIndex) {
  fill(1, 20);
  must(volume().packs().seal());
  copy_packs();
  const auto network = packs_for_restore();
  fill(20, 40);  // nobody else has these
  must(volume().flush());
  const auto before = story();
  const auto used = volume().packs().used_bytes();
  close();
  for (const auto* file : {"user/index.db", "user/index.db-wal", "user/index.db-shm"})
    (void)runtime.disk().remove(file);
  auto local = must(find_local_packs(runtime, options.packs.folder, test_keys(), test_volume_id()));
  ASSERT_GT(local.size(), network.size());
  const auto packs = merge_packs(network, local);
  EXPECT_EQ(packs.size(), local.size());
  remote.packs.clear();  // all of it is here
  LocalFirst source(runtime, options.packs.folder, packs, remote);
  {
    auto database = must(Database::open(runtime, "user/index.db", volume_migrations()));
    const auto report = run(Volume::restore(runtime, *database, test_keys(), test_volume_id(), packs,
                                            source));
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_EQ(report->chunks_missing, 0u);
    run(database->close());
  }
  open();
  EXPECT_EQ(story(), before);
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_EQ(volume().packs().used_bytes(), used) << "the files stayed";
  put("more", content(3));
}

TEST(LocalPacks, OfTwoThatKnowAPackTheOneThatReachesFartherCounts) {
  PackId a, b, c;
  a.bytes[0] = 1, b.bytes[0] = 2, c.bytes[0] = 3;
  const auto merged = merge_packs({{.id = a, .sequence = 1, .length = 100},
                                   {.id = b, .sequence = 2, .length = 100}},
                                  {{.id = a, .sequence = 1, .length = 80, .local = true},
                                   {.id = b, .sequence = 2, .length = 120, .local = true},
                                   {.id = c, .sequence = 3, .length = 10, .local = true}});
  ASSERT_EQ(merged.size(), 3u);
  EXPECT_FALSE(merged[0].local);
  EXPECT_TRUE(merged[1].local);
  EXPECT_EQ(merged[1].length, 120u);
  EXPECT_EQ(merged[2].id, c);
}

TEST_F(RestoreTest, FromSnapshotsAndTheLogAfterThem) {
  fill(1, 15);
  must(volume().snapshot());
  fill(15, 30);
  must(volume().snapshot());
  fill(30, 40);
  const auto before = story();
  copy_packs();
  auto report = start_over(packs_for_restore());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->snapshot, 2u);
  open();
  EXPECT_EQ(story(), before);
  EXPECT_THAT(problems(), IsEmpty());

  // And the new machine goes on, is lost in turn, and comes back once more.
  fill(40, 50);
  must(volume().snapshot());
  fill(50, 55);
  const auto later = story();
  copy_packs();
  report = start_over(packs_for_restore());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  open();
  EXPECT_EQ(story(), later);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(RestoreTest, ASnapshotTakenWhileOthersWrite) {
  fill(1, 30);
  bool snapshot = false, filled = false;
  asio::co_spawn(runtime.executor(), volume().snapshot(),
                 [&](std::exception_ptr, Result<LogState> state) { snapshot = state.has_value(); });
  auto churn = [](Volume& volume) -> Task<void> {
    for (int i = 0; i < 60; ++i) {
      (void)co_await volume.put_small(fmt::format("c{}", i % 9), {}, random_bytes(3000, 1000u + i));
      (void)co_await volume.rename(fmt::format("c{}", i % 9), fmt::format("d1/c{}", i % 5));
      if (i % 4 == 0) (void)co_await volume.remove(fmt::format("d1/c{}", i % 5));
      if (i % 10 == 0) (void)co_await volume.reap();
    }
  };
  asio::co_spawn(runtime.executor(), churn(volume()), [&](std::exception_ptr) { filled = true; });
  runtime.run_until([&] { return snapshot && filled; });
  const auto before = story();
  copy_packs();
  auto report = start_over(packs_for_restore());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->snapshot, 1u);
  open();
  EXPECT_EQ(story(), before);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(RestoreTest, AMissingLogRecordIsNamed) {
  fill(1, 60);
  copy_packs();
  auto packs = packs_for_restore();
  ASSERT_GT(packs.size(), 3u);
  packs.erase(packs.begin() + 1);
  auto report = start_over(packs);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, Errc::corrupt);
  EXPECT_THAT(report.error().message, HasSubstr("log records "));
  open();
}

TEST_F(RestoreTest, ARestoreThatFailedCanBeRepeated) {
  fill(1, 60);
  const auto before = story();
  copy_packs();
  auto packs = packs_for_restore();
  auto fewer = packs;
  fewer.erase(fewer.begin() + 2);
  ASSERT_FALSE(start_over(fewer).has_value());
  auto database = must(Database::open(runtime, "user/index.db", volume_migrations()));
  must(Volume::restore(runtime, *database, test_keys(), test_volume_id(), packs, remote));
  run(database->close());
  open();
  EXPECT_EQ(story(), before);
}

TEST_F(RestoreTest, AnotherPersonsKeysOpenNothing) {
  fill(1, 5);
  copy_packs();
  auto packs = packs_for_restore();
  close();
  runtime.exchange(std::make_unique<MemoryDisk>());
  (void)runtime.disk().make_directories("user");
  auto database = must(Database::open(runtime, "user/index.db", volume_migrations()));
  SeededRandom random(99);
  auto keys = VolumeKeys::derive(PersonSecret::generate(random), test_volume_id());
  EXPECT_EQ(error_of(Volume::restore(runtime, *database, keys, test_volume_id(), packs, remote)),
            Errc::corrupt);
  run(database->close());
  open();
}

TEST_F(RestoreTest, ReadsLittleOfLargeFiles) {
  volume().packs().set_target_bytes(64 << 20);
  put("big", random_bytes(40 << 20, 1));
  copy_packs();
  remote.bytes_read = 0;
  ASSERT_TRUE(start_over(packs_for_restore()).has_value());
  EXPECT_LT(remote.bytes_read, 16u << 20);
  open();
  EXPECT_EQ(get("big"), to_bytes(random_bytes(40 << 20, 1)));
}

}  // namespace
}  // namespace spatter
