// The controller and real processes: that things are done. How exactly is for bench_shares.
#include "cycles/share_controller.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace spatter::cycles {
namespace {

using std::chrono::milliseconds;

/// A child that burns CPU in two threads, and has a child that does so too.
class Burner {
 public:
  explicit Burner(bool with_child = false) {
    int ready[2];
    SPATTER_ASSERT(::pipe(ready) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (with_child && ::fork() == 0) {
        ::setsid();  // leaves the group: only its family tells whose it is
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      }
      if (!with_child || ::getsid(0) == ::getpid()) (void)!::write(ready[1], "!", 1);
      std::thread other([] { for (volatile int i = 0;; i = i + 1) {} });
      for (volatile int i = 0;; i = i + 1) {}
    }
    ::setpgid(pid_, pid_);
    char byte = 0;
    (void)!::read(ready[0], &byte, 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~Burner() { end(); }
  pid_t pid() const { return pid_; }
  void end() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_;
};

Duration cpu_time(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return Duration(-1);
  return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
}

template <class Condition>
bool wait_until(Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

/// Runs nothing for three looks in a row.
bool is_still(pid_t pid) {
  return wait_until([&] {
    const Duration before = cpu_time(pid);
    std::this_thread::sleep_for(milliseconds(30));
    return cpu_time(pid) == before;
  });
}

struct Controller : testing::Test {
  Controller() {
    auto made = make_share_controller(make_processes(), "this is a test");
    SPATTER_ASSERT(made);
    keeper = std::move(*made);
  }
  std::unique_ptr<ShareKeeper> keeper;
};

TEST_F(Controller, SaysHowAndWhy) {
  EXPECT_TRUE(keeper->describe().starts_with("signals, timed with "));
  EXPECT_TRUE(keeper->describe().ends_with(": this is a test"));
}

TEST_F(Controller, AProcessRunsByItsShareAndStopsWhenHalted) {
  Burner burner;
  ASSERT_TRUE(keeper->add(WorkClass::pledged, burner.pid()));
  EXPECT_TRUE(is_still(burner.pid()));  // no share yet
  const Duration none = cpu_time(burner.pid());
  ASSERT_TRUE(keeper->set_share(WorkClass::pledged, 500'000));
  ASSERT_TRUE(wait_until([&] { return cpu_time(burner.pid()) > none + milliseconds(100); }));
  keeper->halt(WorkClass::pledged);
  EXPECT_TRUE(is_still(burner.pid()));
  const ShareReport halted = keeper->report(WorkClass::pledged);
  EXPECT_TRUE(halted.halted);
  EXPECT_EQ(halted.processes, 1U);
  EXPECT_EQ(halted.share, 500'000);
  EXPECT_GT(halted.used, milliseconds(90));
  EXPECT_LE(halted.used_minute, halted.granted_minute + milliseconds(100));
  const Duration then = cpu_time(burner.pid());
  keeper->allow(WorkClass::pledged);
  EXPECT_TRUE(wait_until([&] { return cpu_time(burner.pid()) > then; }));
}

TEST_F(Controller, ItsFamilyIsHeldToo) {
  Burner burner(true);
  ASSERT_TRUE(keeper->add(WorkClass::pledged, burner.pid()));
  ASSERT_TRUE(wait_until([&] { return keeper->report(WorkClass::pledged).processes == 2; }));
  const auto processes = make_processes();
  ASSERT_TRUE(processes->hold(burner.pid()));
  const auto children = processes->children(burner.pid());
  ASSERT_EQ(children.size(), 1U);
  EXPECT_TRUE(is_still(children[0]));
  ASSERT_TRUE(keeper->set_share(WorkClass::pledged, 500'000));
  const Duration then = cpu_time(children[0]);
  EXPECT_TRUE(wait_until([&] { return cpu_time(children[0]) > then; }));
  keeper->halt(WorkClass::pledged);
  EXPECT_TRUE(is_still(children[0]));
}

TEST_F(Controller, FillerIsIdleClassWithAllItsThreads) {
  Burner burner;
  ASSERT_TRUE(keeper->add(WorkClass::filler, burner.pid()));
  EXPECT_EQ(::sched_getscheduler(burner.pid()), SCHED_IDLE);
}

TEST_F(Controller, WhoExitedIsForgottenAndSettled) {
  Burner burner;
  ASSERT_TRUE(keeper->add(WorkClass::pledged, burner.pid()));
  ASSERT_TRUE(keeper->set_share(WorkClass::pledged, 500'000));
  ASSERT_TRUE(wait_until([&] { return keeper->report(WorkClass::pledged).used > milliseconds(50); }));
  const pid_t pid = burner.pid();
  burner.end();
  EXPECT_TRUE(wait_until([&] { return keeper->report(WorkClass::pledged).processes == 0; }));
  keeper->remove(pid, milliseconds(70));
  EXPECT_LE(keeper->report(WorkClass::pledged).used, milliseconds(70));
  EXPECT_EQ(keeper->add(WorkClass::pledged, pid).error().code, Errc::not_found);
}

TEST_F(Controller, WhatItStillHoldsEndsWithIt) {
  Burner burner;
  ASSERT_TRUE(keeper->add(WorkClass::pledged, burner.pid()));
  keeper.reset();
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(burner.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGKILL);
}

TEST_F(Controller, BadRequestsAreRefusedByName) {
  EXPECT_EQ(keeper->add(WorkClass::pledged, 1).error().message, "process 1 cannot be governed");
  EXPECT_EQ(keeper->add(WorkClass::pledged, -5).error().message, "process -5 cannot be governed");
  EXPECT_EQ(keeper->add(WorkClass::pledged, ::getpid()).error().code, Errc::invalid);
  EXPECT_EQ(keeper->set_share(WorkClass::filler, -1).error().code, Errc::invalid);
  keeper->remove(123456);  // nobody's
}

}  // namespace
}  // namespace spatter::cycles
