// Aim: a crash loses exactly what was not synced, and nothing else. Method: many seeds, since each
// crash draws anew what survives.
#include "base/memory_disk.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace spatter {
namespace {

constexpr std::uint64_t seeds = 200;

void write_at(Disk& disk, const std::string& path, std::uint64_t offset, std::string_view text) {
  auto file = std::move(disk.open(path, OpenMode::create).value());
  ASSERT_TRUE(file->write_at(offset, as_bytes(text)).has_value());
}
void sync(Disk& disk, const std::string& path) {
  ASSERT_TRUE(disk.open(path, OpenMode::read_write).value()->sync().has_value());
}
std::string content(Disk& disk, const std::string& path) {
  return to_string(read_file(disk, path, 1 << 20).value());
}

/// What each of many crashes leaves of the disk that `prepare` makes, as `look` sees it.
std::set<std::string> outcomes(const std::function<void(MemoryDisk&)>& prepare,
                               const std::function<std::string(MemoryDisk&)>& look) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SeededRandom random(seed);
    MemoryDisk disk;
    prepare(disk);
    seen.insert(look(*disk.crash(random)));
  }
  return seen;
}

std::string names(MemoryDisk& disk) {
  std::string result;
  for (const std::string& path : disk.files()) result += path + ' ';
  return result;
}

TEST(MemoryDiskCrash, KeepsWhatWasWrittenDurably) {
  const auto seen = outcomes(
      [](MemoryDisk& disk) {
        ASSERT_TRUE(write_file_durably(disk, "x", as_bytes("first")).has_value());
        ASSERT_TRUE(write_file_durably(disk, "x", as_bytes("second")).has_value());
      },
      [](MemoryDisk& disk) { return names(disk) + content(disk, "x"); });
  EXPECT_EQ(seen, (std::set<std::string>{"x second"}));
}

TEST(MemoryDiskCrash, ADurableWriteUnderWayLeavesTheOldOrTheNew) {
  const auto seen = outcomes(
      [](MemoryDisk& disk) {
        ASSERT_TRUE(write_file_durably(disk, "x", as_bytes("first")).has_value());
        write_at(disk, "x.tmp", 0, "second");
        sync(disk, "x.tmp");
        ASSERT_TRUE(disk.rename("x.tmp", "x").has_value());
      },
      [](MemoryDisk& disk) { return content(disk, "x"); });
  EXPECT_EQ(seen, (std::set<std::string>{"first", "second"}));
}

TEST(MemoryDiskCrash, ARenameWithoutSyncingTheContentCanLoseIt) {
  const auto seen = outcomes(
      [](MemoryDisk& disk) {
        write_at(disk, "x.tmp", 0, "second");
        ASSERT_TRUE(disk.rename("x.tmp", "x").has_value());
        ASSERT_TRUE(disk.sync_directory("").has_value());
      },
      [](MemoryDisk& disk) { return content(disk, "x"); });
  EXPECT_TRUE(seen.contains("second"));
  EXPECT_GT(seen.size(), 1u);
}

TEST(MemoryDiskCrash, AFileSyncedButNotItsFolderCanVanish) {
  const auto seen = outcomes(
      [](MemoryDisk& disk) {
        write_at(disk, "x", 0, "content");
        sync(disk, "x");
      },
      names);
  EXPECT_EQ(seen, (std::set<std::string>{"", "x "}));
}

TEST(MemoryDiskCrash, AFolderNotSyncedInItsParentTakesItsFilesAlong) {
  const auto seen = outcomes(
      [](MemoryDisk& disk) {
        ASSERT_TRUE(disk.make_directories("a/b").has_value());
        ASSERT_TRUE(write_file_durably(disk, "a/b/x", as_bytes("content")).has_value());
        ASSERT_TRUE(disk.sync_directory("a").has_value());
      },
      names);
  EXPECT_EQ(seen, (std::set<std::string>{"", "a/b/x "}));
}

TEST(MemoryDiskCrash, TearsUnsyncedWritesAtSectors) {
  const std::string before(2048, 'a'), after(2048, 'b');
  const auto seen = outcomes(
      [&](MemoryDisk& disk) {
        ASSERT_TRUE(write_file_durably(disk, "x", as_bytes(before)).has_value());
        write_at(disk, "x", 0, after);
      },
      [](MemoryDisk& disk) { return content(disk, "x"); });
  EXPECT_TRUE(seen.contains(before));
  EXPECT_TRUE(seen.contains(after));
  EXPECT_GT(seen.size(), 4u);
  for (const std::string& torn : seen) {
    ASSERT_EQ(torn.size(), 2048u);
    for (std::size_t i = 0; i < torn.size(); ++i) ASSERT_EQ(torn[i], torn[i / 512 * 512]);
  }
}

TEST(MemoryDiskCrash, AnUnsyncedRemovalMayComeBack) {
  const auto seen = outcomes(
      [](MemoryDisk& disk) {
        ASSERT_TRUE(write_file_durably(disk, "x", as_bytes("content")).has_value());
        ASSERT_TRUE(disk.remove("x").has_value());
      },
      names);
  EXPECT_EQ(seen, (std::set<std::string>{"", "x "}));
}

TEST(MemoryDiskCrash, WhatWasOpenBeforeIsDead) {
  SeededRandom random(1);
  MemoryDisk disk;
  ASSERT_TRUE(write_file_durably(disk, "x", as_bytes("content")).has_value());
  auto file = std::move(disk.open("x", OpenMode::read_write).value());
  const auto after = disk.crash(random);
  EXPECT_EQ(file->write_at(0, as_bytes("zombie")).error().code, Errc::io);
  EXPECT_EQ(file->sync().error().code, Errc::io);
  EXPECT_EQ(disk.open("x", OpenMode::read).error().code, Errc::io);
  EXPECT_EQ(content(*after, "x"), "content");
}

TEST(MemoryDiskFaults, AFullDiskRefusesToGrowButTakesOverwrites) {
  MemoryDisk disk(1000);
  write_at(disk, "x", 0, std::string(900, 'a'));
  auto file = std::move(disk.open("y", OpenMode::create).value());
  EXPECT_EQ(file->write_at(0, Bytes(101)).error().code, Errc::no_space);
  EXPECT_TRUE(file->write_at(0, Bytes(100)).has_value());
  EXPECT_TRUE(file->write_at(0, Bytes(100)).has_value());
  EXPECT_EQ(disk.space().value().free, 0u);
  ASSERT_TRUE(disk.remove("x").has_value());
  EXPECT_EQ(disk.space().value().free, 900u);
}

TEST(MemoryDiskFaults, ARemovedFileStillOpenTakesNoSpace) {
  MemoryDisk disk(1000);
  write_at(disk, "x", 0, std::string(900, 'a'));
  auto file = std::move(disk.open("x", OpenMode::read_write).value());
  ASSERT_TRUE(disk.remove("x").has_value());
  ASSERT_TRUE(file->truncate(10).has_value());
  EXPECT_EQ(disk.used_bytes(), 0u);
}

TEST(MemoryDiskFaults, RotAndUnreadableFilesSurviveACrash) {
  SeededRandom random(5);
  MemoryDisk disk;
  ASSERT_TRUE(write_file_durably(disk, "x", Bytes(1000)).has_value());
  EXPECT_FALSE(disk.flip_bit("missing", random));
  EXPECT_TRUE(disk.flip_bit("x", random));
  auto after = disk.crash(random);
  const auto rotten = read_file(*after, "x", 1000).value();
  EXPECT_EQ(std::ranges::count(rotten, 0), 999);
  after->set_unreadable("x", true);
  EXPECT_EQ(read_file(*after, "x", 1000).error().code, Errc::io);
}

/// Against a plain model: after syncing everything a crash changes nothing.
RC_GTEST_PROP(MemoryDiskCrash, AfterSyncingAllNothingChanges, (std::uint64_t seed)) {
  SeededRandom random(seed);
  MemoryDisk disk;
  RC_ASSERT(disk.make_directories("d").has_value());
  for (int step = 0; step < 40; ++step) {
    const std::string path = fmt::format("{}f{}", random.below(2) ? "d/" : "", random.below(5));
    const std::string other = fmt::format("{}f{}", random.below(2) ? "d/" : "", random.below(5));
    switch (random.below(5)) {
      case 0: (void)disk.remove(path); break;
      case 1: (void)disk.rename(path, other); break;
      case 2:
        if (auto file = disk.open(path, OpenMode::read_write))
          RC_ASSERT((*file)->truncate(random.below(3000)).has_value());
        break;
      case 3: (void)disk.sync_directory(random.below(2) ? "d" : ""); break;
      default:
        auto file = std::move(disk.open(path, OpenMode::create).value());
        Bytes bytes(random.below(2000));
        random.fill(bytes);
        RC_ASSERT(file->write_at(random.below(2000), bytes).has_value());
    }
  }
  std::map<std::string, Bytes> model;
  for (const std::string& path : disk.files()) {
    RC_ASSERT(disk.open(path, OpenMode::read_write).value()->sync().has_value());
    model[path] = read_file(disk, path, 1 << 20).value();
  }
  RC_ASSERT(disk.sync_directory("d").has_value());
  RC_ASSERT(disk.sync_directory("").has_value());
  const std::uint64_t used = disk.used_bytes();
  const auto after = disk.crash(random);
  std::map<std::string, Bytes> found;
  for (const std::string& path : after->files())
    found[path] = read_file(*after, path, 1 << 20).value();
  RC_ASSERT(found == model);
  RC_ASSERT(after->used_bytes() == used);
}

}  // namespace
}  // namespace spatter
