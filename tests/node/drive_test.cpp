#include "node/drive.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/temporary_folder.h"
#include "base/real_runtime.h"

namespace spatter {
namespace {

class DriveTest : public testing::Test {
 protected:
  template <class T>
  T wait(Task<T> task) {
    return runtime->wait_for(std::move(task));
  }
  Drive make(NewDrive options = {}) {
    auto drive = wait(prepare_drive(*runtime, std::move(options))).value();
    EXPECT_TRUE(wait(found_network(*runtime, drive)));
    return drive;
  }
  Result<Drive> open(std::optional<std::string> passphrase = {}) {
    return wait(open_drive(*runtime, std::move(passphrase)));
  }
  void write(const std::string& path, std::string_view text) {
    EXPECT_TRUE(write_file_durably(runtime->disk(), path, as_bytes(text)));
  }

  TemporaryFolder folder;
  std::unique_ptr<RealRuntime> runtime =
      std::move(RealRuntime::open({.root = folder.path()}).value());
};

TEST_F(DriveTest, WhatWasMadeOpens) {
  const auto made = make({.size_bytes = 1 << 30, .name = "attic"});
  const auto opened = open().value();
  EXPECT_EQ(opened.person(), made.person());
  EXPECT_EQ(opened.server(), made.server());
  EXPECT_EQ(opened.config.size_bytes, 1u << 30);
  EXPECT_EQ(opened.config.name, "attic");
  EXPECT_TRUE(wait(drive_is_complete(*runtime)).value());
  EXPECT_EQ(wait(prepare_drive(*runtime, {})).error().code, Errc::exists);
}

TEST_F(DriveTest, NothingThereIsNoDrive) {
  EXPECT_EQ(open().error().code, Errc::not_found);
  EXPECT_FALSE(wait(drive_is_complete(*runtime)).value());
}

TEST_F(DriveTest, AnInterruptedMakingIsTakenUpWithItsKeys) {
  SeededRandom random(1);
  const auto words = PersonSecret::generate(random);
  const auto first = wait(prepare_drive(*runtime, {.secret = words})).value();
  EXPECT_EQ(open().error().code, Errc::not_found) << "not complete";
  const auto second = wait(prepare_drive(*runtime, {.secret = words})).value();
  EXPECT_EQ(second.server(), first.server());
  EXPECT_EQ(second.person(), first.person());
  const auto other = wait(prepare_drive(*runtime, {.secret = PersonSecret::generate(random)}));
  EXPECT_EQ(other.error().code, Errc::denied);
}

TEST_F(DriveTest, AnInterruptedMakingForANewPersonBeginsAnew) {
  const auto first = wait(prepare_drive(*runtime, {})).value();
  const auto second = wait(prepare_drive(*runtime, {})).value();
  EXPECT_NE(second.server(), first.server()) << "nobody has seen the words of the first";
  EXPECT_EQ(second.person(), second.fresh->words.numbered(1).person());
  wait(found_network(*runtime, second)).value();
  EXPECT_EQ(open()->person(), second.person());
  EXPECT_FALSE(open()->fresh) << "the drive does not keep the words";
}

TEST_F(DriveTest, TheKeyringIsReplacedWithTheSamePassphraseOnly) {
  const auto made = make({.passphrase = "correct horse"});
  auto more = made.keyring;
  more.person.extend(made.fresh->words, 2);
  more.changing = true;
  EXPECT_EQ(wait(replace_keyring(*runtime, more, std::nullopt)).error().code, Errc::denied);
  EXPECT_EQ(wait(replace_keyring(*runtime, more, "wrong horse")).error().code, Errc::denied);
  EXPECT_EQ(open("correct horse")->keyring.person.count(), 1u);
  EXPECT_TRUE(wait(replace_keyring(*runtime, more, "correct horse")).has_value());
  EXPECT_EQ(open().error().code, Errc::denied) << "sealed as it was";
  EXPECT_EQ(open("correct horse")->keyring.person, more.person);
  EXPECT_TRUE(open("correct horse")->keyring.changing);
}

TEST_F(DriveTest, TheKeysAreForTheirUserAlone) {
  make();
  const auto mode = std::filesystem::status(folder.path() + "/keyring").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(DriveTest, APassphraseIsAskedForAndChecked) {
  const auto made = make({.passphrase = "correct horse"});
  EXPECT_TRUE(wait(drive_needs_passphrase(*runtime)).value());
  EXPECT_EQ(open().error().code, Errc::denied);
  EXPECT_EQ(open("wrong horse").error().code, Errc::denied);
  EXPECT_EQ(open("correct horse").value().server(), made.server());
}

TEST_F(DriveTest, ANewerFormatIsRefusedNamingBothVersions) {
  make();
  write(drive_path::format, "spatter drive 7\n");
  const auto opened = open();
  EXPECT_EQ(opened.error().code, Errc::newer_format);
  EXPECT_TRUE(opened.error().message.contains("7") && opened.error().message.contains("1"));
  for (const auto* text : {"", "spatter drive", "spatter drive x", "spatter drive -1",
                           "spatter drive 0", "spatter drive 99999999999999999999", "drive 1"}) {
    write(drive_path::format, text);
    EXPECT_EQ(open().error().code, Errc::corrupt) << text;
  }
}

TEST_F(DriveTest, WrongSettingsAndDamagedKeysAreNamed) {
  make();
  write(drive_path::config, "log = \"loud\"\n");
  EXPECT_TRUE(open().error().message.contains("log"));
  write(drive_path::config, "colour = 3\n");
  EXPECT_EQ(open().value().warnings.size(), 1u);
  write(drive_path::keyring, "not a keyring");
  EXPECT_FALSE(open());
}

TEST_F(DriveTest, TheHalvesAreHalves) {
  const DiskSpace space{.total = 1000ull << 20, .free = 500ull << 20};
  EXPECT_EQ(halves_of({}, space).value().user_bytes, 500ull << 20);
  Config config;
  config.size_bytes = 100 << 20;
  EXPECT_EQ(halves_of(config, space).value().server_bytes, 50ull << 20);
  config.size_bytes = 2000ull << 20;
  EXPECT_EQ(halves_of(config, space).error().code, Errc::invalid);
  EXPECT_EQ(halves_of({}, {.total = 1 << 20, .free = 0}).error().code, Errc::no_space);
}

TEST_F(DriveTest, ASecondProcessIsRefusedNamingTheFirst) {
  auto lock = DriveLock::take(folder.path()).value();
  const auto path = folder.path();
  const auto child = ::fork();
  if (child == 0) {
    auto second = DriveLock::take(path);
    const auto pid = fmt::format("process {}", ::getppid());
    ::_exit(!second && second.error().code == Errc::busy &&
                    second.error().message.ends_with(pid) ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(DriveTest, TheLockIsGivenBackWithItsHolder) {
  { auto lock = DriveLock::take(folder.path()).value(); }
  EXPECT_TRUE(DriveLock::take(folder.path()));
}

}  // namespace
}  // namespace spatter
