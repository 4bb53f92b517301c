// The command that is told of events, run for real. Popups are the system tests' (test_popup.py), for they
// need a desktop. Commands report through a FIFO and tests wait for that, or for a line of the log.
#include "doors/announcer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <fstream>

#include "../base/temporary_folder.h"
#include "doors/control.h"
#include "popup.h"

namespace spatter::doors {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Lines that commands write, in the order they were written.
class Fifo {
 public:
  explicit Fifo(std::string path) : path_(std::move(path)) {
    if (::mkfifo(path_.c_str(), 0600) != 0) std::abort();
  }
  const std::string& path() const { return path_; }

  /// Waits for a line. The FIFO is open for writing here too, so its end never comes.
  std::string line() {
    if (!both_) both_ = Descriptor(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    std::string line;
    for (char c; ::read(both_.get(), &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }

 private:
  std::string path_;
  Descriptor both_;
};

class LogLines {
 public:
  LogLines() : log(LogLevel::debug, [this](LogLevel level, std::string_view line) {
    std::lock_guard lock(mutex_);
    lines_.push_back((level == LogLevel::warning ? "warning: " : level == LogLevel::info ? "info: " : "") +
                     std::string(line));
    changed_.notify_all();
  }) {}
  std::string wait_for(std::string_view part) {
    std::unique_lock lock(mutex_);
    for (;;) {
      for (const auto& line : lines_)
        if (line.contains(part)) return line;
      changed_.wait(lock);
    }
  }
  std::vector<std::string> all() {
    std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;

 public:
  Log log;
};

class AnnouncerTest : public testing::Test {
 protected:
  Announcer::Options with(std::string command) const {
    Announcer::Options options;
    options.popups = false;
    options.command = std::move(command);
    options.command_within = std::chrono::minutes(10);  // machines that run tests may be busy
    return options;
  }

  TemporaryFolder folder;
  Fifo fifo{folder.path() + "/fifo"};
  std::string to_fifo = " > '" + fifo.path() + "'";
  LogLines logged;
};

TEST_F(AnnouncerTest, TheCommandIsToldWhatHappened) {
  Announcer announcer(logged.log, with("printf '%s|%s|%s\\n' \"$SPATTER_EVENT\" \"$SPATTER_TITLE\" \"$SPATTER_TEXT\"" + to_fifo));
  announcer.announce({"repair-only", "Only mending", "1.2 % of the stripes"});
  EXPECT_EQ(fifo.line(), "repair-only|Only mending|1.2 % of the stripes");
}

TEST_F(AnnouncerTest, TextIsNeverPartOfTheCommand) {
  const std::string nasty = "'; touch x; \" $(touch y) `touch z` \\ * $HOME %s ü";
  Announcer announcer(logged.log, with("cd '" + folder.path() + "'; { printf '%s\\n' \"$SPATTER_TITLE\" \"$SPATTER_TEXT\"; ls; }" + to_fifo));
  announcer.announce({"serving", nasty, "--help"});
  EXPECT_EQ(fifo.line(), nasty);
  EXPECT_EQ(fifo.line(), "--help");
  EXPECT_EQ(fifo.line(), "fifo");  // the only file: nothing of it was run
}

TEST_F(AnnouncerTest, TheCommandHasNoInputAndNoneOfOurDescriptors) {
  const Descriptor leaky(::open("/dev/zero", O_RDONLY));  // as some libraries open theirs
  const Descriptor high(::fcntl(leaky.get(), F_DUPFD, 100));
  ASSERT_GE(high.get(), 100);
  Announcer announcer(logged.log, with(fmt::format(
      "{{ wc -c; for fd in {} {}; do [ -e /proc/$$/fd/$fd ] && echo leaked || echo clean; done; }}{}",
      leaky.get(), high.get(), to_fifo)));
  announcer.announce({"serving", "", ""});
  EXPECT_EQ(fifo.line(), "0");
  EXPECT_EQ(fifo.line(), "clean");
  EXPECT_EQ(fifo.line(), "clean");
}

TEST_F(AnnouncerTest, OneAfterTheOtherAndNobodyWaits) {
  Fifo gate(folder.path() + "/gate");
  Announcer announcer(logged.log, with("{ echo begins $SPATTER_TITLE; read line < '" + gate.path() + "'; echo ends $SPATTER_TITLE; }" + to_fifo));
  for (const auto* title : {"1", "2", "3"}) announcer.announce({"serving", title, ""});  // while the first is at the gate
  const Descriptor open_gate(::open(gate.path().c_str(), O_RDWR | O_CLOEXEC));
  for (const auto* title : {"1", "2", "3"}) {
    EXPECT_EQ(fifo.line(), std::string("begins ") + title);
    ASSERT_EQ(::write(open_gate.get(), "\n", 1), 1);
    EXPECT_EQ(fifo.line(), std::string("ends ") + title);
  }
}

TEST_F(AnnouncerTest, OfTooManyTheOldestAreDropped) {
  Fifo gate(folder.path() + "/gate");
  Announcer announcer(logged.log, with("{ echo $SPATTER_TITLE; read line < '" + gate.path() + "'; }" + to_fifo));
  announcer.announce({"serving", "first", ""});
  EXPECT_EQ(fifo.line(), "first");  // it is under way, and waits for nobody's place
  for (std::size_t i = 0; i <= Announcer::announcements_max; ++i)
    announcer.announce({"serving", fmt::format("n{}", i), ""});
  EXPECT_THAT(logged.wait_for("dropped"), HasSubstr("\"n0\""));
  const Descriptor open_gate(::open(gate.path().c_str(), O_RDWR | O_CLOEXEC));
  for (std::size_t i = 1; i <= Announcer::announcements_max; ++i) {
    ASSERT_EQ(::write(open_gate.get(), "\n", 1), 1);
    EXPECT_EQ(fifo.line(), fmt::format("n{}", i));
  }
}

TEST_F(AnnouncerTest, AFailureIsLoggedWithWhatItSaid) {
  Announcer announcer(logged.log, with("echo to whom >&2; echo and where; exit 3"));
  announcer.announce({"repair-only", "", ""});
  const auto line = logged.wait_for("notify_command");
  EXPECT_THAT(line, testing::StartsWith("warning: "));
  EXPECT_THAT(line, HasSubstr("exit 3\" failed at \"repair-only\": it ended with status 3: to whom\nand where"));
}

TEST_F(AnnouncerTest, ACommandThatIsNotThereOrDiesIsLogged) {
  Announcer missing(logged.log, with("/no/such/program"));
  missing.announce({"serving", "", ""});
  EXPECT_THAT(logged.wait_for("/no/such/program"), HasSubstr("status 127"));
  Announcer dies(logged.log, with("kill -SEGV $$"));
  dies.announce({"serving", "", ""});
  EXPECT_THAT(logged.wait_for("SEGV"), HasSubstr("signal 11"));
}

TEST_F(AnnouncerTest, OfMuchOutputTheBeginningIsKept) {
  Announcer announcer(logged.log, with("yes spatter | head -c 1000000; exit 1"));
  announcer.announce({"serving", "", ""});
  const auto line = logged.wait_for("status 1");
  EXPECT_GE(line.size(), 4096u);
  EXPECT_LE(line.size(), 4096u + 200);
}

TEST_F(AnnouncerTest, SuccessSaysNothingAndTheNextOneComes) {
  Announcer announcer(logged.log, with("echo $SPATTER_TITLE" + to_fifo + "; echo noise"));
  announcer.announce({"serving", "1", ""});
  announcer.announce({"serving", "2", ""});
  EXPECT_EQ(fifo.line(), "1");
  EXPECT_EQ(fifo.line(), "2");
  EXPECT_TRUE(logged.all().empty());
}

TEST_F(AnnouncerTest, WhatHangsIsKilledWithAllItStarted) {
  const Descriptor reading(::open(fifo.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  auto options = with("trap '' TERM; { echo hangs; sleep 1000 & sleep 1000; }" + to_fifo);
  options.command_within = std::chrono::milliseconds(300);
  Announcer announcer(logged.log, options);
  announcer.announce({"repair-only", "", ""});
  EXPECT_THAT(logged.wait_for("failed"), HasSubstr("it took longer than 0.3 s"));
  // The FIFO ends only when the shell and both its children have.
  ::fcntl(reading.get(), F_SETFL, 0);
  for (char c; ::read(reading.get(), &c, 1) == 1;) {
  }
}

TEST_F(AnnouncerTest, EndingEndsTheCommandUnderWay) {
  auto announcer = std::make_unique<Announcer>(
      logged.log, with("trap '' TERM; { echo hangs; sleep 1000 & sleep 1000; }" + to_fifo));
  announcer->announce({"repair-only", "", ""});
  announcer->announce({"repair-only", "never", ""});
  std::thread ends([&] {
    logged.wait_for("begun");
    announcer.reset();
  });
  // Comes to an end only when the shell and both its children have.
  const Descriptor reading(::open(fifo.path().c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  for (char c; ::read(reading.get(), &c, 1) == 1;) {
    text += c;
    if (c == '\n') logged.log.debug("begun");
  }
  ends.join();
  EXPECT_EQ(text, "hangs\n");
  EXPECT_THAT(logged.wait_for("failed"), HasSubstr("this server is stopping"));
}

TEST_F(AnnouncerTest, ACommandMayTidyUpOnSigterm) {
  auto announcer = std::make_unique<Announcer>(
      logged.log, with("trap 'echo tidy" + to_fifo + "; exit 0' TERM; echo begun" + to_fifo + "; sleep 1000 & wait"));
  announcer->announce({"repair-only", "", ""});
  EXPECT_EQ(fifo.line(), "begun");
  announcer.reset();
  EXPECT_EQ(fifo.line(), "tidy");
}

TEST_F(AnnouncerTest, WhatGoesOnInTheBackgroundIsLeftAlone) {
  Fifo gate(folder.path() + "/gate");
  {
    Announcer announcer(logged.log, with("if [ $SPATTER_TITLE = 1 ]; then { read line < '" + gate.path() + "'; echo later; }" +
                                     to_fifo + " & fi; echo now" + to_fifo));
    announcer.announce({"serving", "1", ""});
    EXPECT_EQ(fifo.line(), "now");
    announcer.announce({"serving", "2", ""});  // its beginning shows that the first was over
    EXPECT_EQ(fifo.line(), "now");
  }
  const Descriptor open_gate(::open(gate.path().c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::write(open_gate.get(), "\n", 1), 1);
  EXPECT_EQ(fifo.line(), "later");
}

TEST_F(AnnouncerTest, NothingToDoIsFine) {
  Announcer announcer(logged.log, with(""));
  announcer.announce({"serving", "", ""});
}

TEST(PopupBody, IsEscapedOnlyWhereMarkupIsRead) {
  EXPECT_EQ(popup_body("a <b> & c", true), "a &lt;b&gt; &amp; c");
  EXPECT_EQ(popup_body("a <b> & c", false), "a <b> & c");
  EXPECT_EQ(popup_body("\xff ü", true), "\xef\xbf\xbd ü");
}

}  // namespace
}  // namespace spatter::doors
