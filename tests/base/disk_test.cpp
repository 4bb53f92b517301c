// Aim: whatever implements Disk behaves alike. Method: one suite, run against each.
#include "base/disk.h"

#include <gtest/gtest.h>

#include "base/memory_disk.h"
#include "base/posix_disk.h"
#include "temporary_folder.h"

namespace spatter {
namespace {

struct PosixMaker {
  TemporaryFolder folder;
  std::unique_ptr<Disk> make() { return std::move(PosixDisk::open(folder.path()).value()); }
};

struct MemoryMaker {
  std::unique_ptr<Disk> make() { return std::make_unique<MemoryDisk>(); }
};

template <class Maker>
class DiskTest : public testing::Test {
 protected:
  Bytes read_all(const std::string& path) { return read_file(*disk, path, 1 << 20).value(); }
  void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(write_file_durably(*disk, path, as_bytes(text)).has_value());
  }
  std::vector<std::string> names(const std::string& path) {
    std::vector<std::string> result;
    const auto entries = disk->list(path).value();
    for (const auto& entry : entries) result.push_back(entry.name);
    return result;
  }

  Maker maker;
  std::unique_ptr<Disk> disk = maker.make();
};

using Makers = testing::Types<PosixMaker, MemoryMaker>;
TYPED_TEST_SUITE(DiskTest, Makers);

TYPED_TEST(DiskTest, AFileGrowsWhereItIsWritten) {
  auto file = std::move(this->disk->open("file", OpenMode::create).value());
  ASSERT_TRUE(file->write_at(5, as_bytes("world")).has_value());
  ASSERT_TRUE(file->write_at(0, as_bytes("hell")).has_value());
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_EQ(file->size().value(), 10u);
  Bytes out(20);
  EXPECT_EQ(file->read_at(0, out).value(), 10u);
  EXPECT_EQ(as_text(out).substr(0, 10), std::string_view("hell\0world", 10));
  EXPECT_EQ(file->read_at(8, out).value(), 2u);
  EXPECT_EQ(file->read_at(10, out).value(), 0u);
  EXPECT_EQ(file->read_at(1000, out).value(), 0u);
}

TYPED_TEST(DiskTest, TruncatingCutsAndExtendsWithZeros) {
  auto file = std::move(this->disk->open("file", OpenMode::create).value());
  ASSERT_TRUE(file->write_at(0, as_bytes("abcdef")).has_value());
  ASSERT_TRUE(file->truncate(2).has_value());
  ASSERT_TRUE(file->truncate(4).has_value());
  EXPECT_EQ(as_text(this->read_all("file")), std::string_view("ab\0\0", 4));
}

TYPED_TEST(DiskTest, OpenModesSayWhetherTheFileMustExist) {
  EXPECT_EQ(this->disk->open("x", OpenMode::read).error().code, Errc::not_found);
  EXPECT_EQ(this->disk->open("x", OpenMode::read_write).error().code, Errc::not_found);
  EXPECT_TRUE(this->disk->open("x", OpenMode::create_new).has_value());
  EXPECT_EQ(this->disk->open("x", OpenMode::create_new).error().code, Errc::exists);
  EXPECT_TRUE(this->disk->open("x", OpenMode::create).has_value());
  EXPECT_TRUE(this->disk->open("x", OpenMode::read).has_value());
}

TYPED_TEST(DiskTest, AFileOpenedForReadingCannotBeWritten) {
  this->write("x", "1");
  auto file = std::move(this->disk->open("x", OpenMode::read).value());
  EXPECT_FALSE(file->write_at(0, as_bytes("2")).has_value());
  EXPECT_EQ(as_text(this->read_all("x")), "1");
}

TYPED_TEST(DiskTest, RenamingReplacesTheTarget) {
  this->write("old", "new content");
  this->write("target", "old content");
  auto open_before = std::move(this->disk->open("target", OpenMode::read).value());
  ASSERT_TRUE(this->disk->rename("old", "target").has_value());
  EXPECT_EQ(as_text(this->read_all("target")), "new content");
  EXPECT_EQ(this->disk->stat("old").error().code, Errc::not_found);
  Bytes out(11);
  EXPECT_EQ(open_before->read_at(0, out).value(), 11u);
  EXPECT_EQ(as_text(out), "old content");
}

TYPED_TEST(DiskTest, RenamingWhatIsNotThereFails) {
  EXPECT_EQ(this->disk->rename("no", "where").error().code, Errc::not_found);
  this->write("x", "1");
  EXPECT_EQ(this->disk->rename("x", "no/where").error().code, Errc::not_found);
  EXPECT_EQ(as_text(this->read_all("x")), "1");
}

TYPED_TEST(DiskTest, FoldersAreMadeListedAndRemoved) {
  ASSERT_TRUE(this->disk->make_directories("a/b/c").has_value());
  ASSERT_TRUE(this->disk->make_directories("a/b/c").has_value());
  this->write("a/z", "12");
  this->write("a/B", "3");
  EXPECT_EQ(this->names("a"), (std::vector<std::string>{"B", "b", "z"}));
  EXPECT_EQ(this->names(""), (std::vector<std::string>{"a"}));
  EXPECT_TRUE(this->disk->list("a").value()[1].is_directory);
  EXPECT_EQ(this->disk->list("a").value()[2].size, 2u);
  EXPECT_EQ(this->disk->remove("a").error().code, Errc::not_empty);
  ASSERT_TRUE(this->disk->remove("a/b/c").has_value());
  EXPECT_EQ(this->disk->stat("a/b/c").error().code, Errc::not_found);
  EXPECT_EQ(this->disk->remove("a/b/c").error().code, Errc::not_found);
  EXPECT_EQ(this->disk->list("nothing").error().code, Errc::not_found);
}

TYPED_TEST(DiskTest, FilesAreNotFoldersNorFoldersFiles) {
  this->write("file", "1");
  ASSERT_TRUE(this->disk->make_directories("folder").has_value());
  EXPECT_EQ(this->disk->open("file/x", OpenMode::create).error().code, Errc::not_directory);
  EXPECT_EQ(this->disk->make_directories("file/x").error().code, Errc::not_directory);
  EXPECT_EQ(this->disk->make_directories("file").error().code, Errc::not_directory);
  EXPECT_EQ(this->disk->list("file").error().code, Errc::not_directory);
  EXPECT_EQ(this->disk->open("folder", OpenMode::read).error().code, Errc::is_directory);
  EXPECT_EQ(this->disk->open("folder", OpenMode::create).error().code, Errc::is_directory);
}

TYPED_TEST(DiskTest, ARemovedFileStaysReadableWhileOpen) {
  this->write("x", "still here");
  auto file = std::move(this->disk->open("x", OpenMode::read).value());
  ASSERT_TRUE(this->disk->remove("x").has_value());
  Bytes out(10);
  EXPECT_EQ(file->read_at(0, out).value(), 10u);
  EXPECT_EQ(as_text(out), "still here");
}

TYPED_TEST(DiskTest, PathsCannotLeaveTheRoot) {
  for (const char* path : {"..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a"}) {
    EXPECT_EQ(this->disk->open(path, OpenMode::create).error().code, Errc::invalid) << path;
    EXPECT_EQ(this->disk->remove(path).error().code, Errc::invalid) << path;
    EXPECT_EQ(this->disk->make_directories(path).error().code, Errc::invalid) << path;
  }
}

TYPED_TEST(DiskTest, ADurableWriteReplacesTheWholeFile) {
  this->write("x", "a long first content");
  this->write("x", "short");
  EXPECT_EQ(as_text(this->read_all("x")), "short");
  EXPECT_EQ(this->names(""), (std::vector<std::string>{"x"}));
}

TYPED_TEST(DiskTest, ReadingAFileRefusesOneLargerThanAllowed) {
  this->write("x", "12345");
  EXPECT_EQ(read_file(*this->disk, "x", 4).error().code, Errc::invalid);
  EXPECT_EQ(read_file(*this->disk, "x", 5).value().size(), 5u);
}

TYPED_TEST(DiskTest, TellsItsSpace) {
  const auto space = this->disk->space().value();
  EXPECT_GT(space.total, 0u);
  EXPECT_LE(space.free, space.total);
}

}  // namespace
}  // namespace spatter
