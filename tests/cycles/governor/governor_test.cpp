#include "cycles/governor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <mutex>

#include "descriptor.h"
#include "temporary_folder.h"

namespace spatter::cycles {
namespace {

using std::chrono::milliseconds;

/// Keeps what it was told.
struct Told {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<WorkClass, SharePpm> shares;
  std::map<WorkClass, bool> halted;
  std::map<WorkClass, Duration> charged;
  std::vector<std::pair<WorkClass, pid_t>> added;
};
class ToldKeeper : public ShareKeeper {
 public:
  explicit ToldKeeper(Told& told) : told_(told) {}
  std::string describe() const override { return "a test"; }
  Result<void> add(WorkClass work, pid_t pid) override {
    told_.added.emplace_back(work, pid);
    return {};
  }
  void remove(pid_t, std::optional<Duration>) override { told_.added.clear(); }
  Result<void> set_share(WorkClass work, SharePpm share) override {
    told_.shares[work] = share;
    return {};
  }
  void halt(WorkClass work) override { set(work, true); }
  void allow(WorkClass work) override { set(work, false); }
  void charge(WorkClass work, Duration used) override { told_.charged[work] += used; }
  ShareReport report(WorkClass work) const override { return {.share = told_.shares[work]}; }

 private:
  void set(WorkClass work, bool halted) {
    const std::lock_guard lock(told_.mutex);
    told_.halted[work] = halted;
    told_.changed.notify_all();
  }
  Told& told_;
};

struct GovernorTest : testing::Test {
  Told told;
  TemporaryFolder folder;
  Descriptor keyboard;
  std::unique_ptr<Governor> governor;
  std::atomic<int> changes = 0;

  void govern(const GovernorPolicy& policy) {
    ASSERT_EQ(::mkfifo((folder / "event0").c_str(), 0600), 0);
    keyboard = Descriptor(::open((folder / "event0").c_str(), O_RDWR | O_NONBLOCK));
    std::vector<std::unique_ptr<PresenceSource>> sources;
    sources.push_back(input_devices(folder.path()));
    auto made = make_governor(std::make_unique<ToldKeeper>(told), std::move(sources), policy, [&] { ++changes; });
    ASSERT_TRUE(made) << made.error().message;
    governor = std::move(*made);
  }
  void wait_for(bool pledged_halted, bool filler_halted) {
    std::unique_lock lock(told.mutex);
    told.changed.wait(lock, [&] {
      return told.halted[WorkClass::pledged] == pledged_halted && told.halted[WorkClass::filler] == filler_halted;
    });
  }
};

using When = GovernorPolicy::When;

TEST_F(GovernorTest, IdleWorkWaitsForAQuietMachineAndYieldsToAKey) {
  govern({.pledged = {200'000, When::always}, .filler = {800'000, When::idle}, .quiet = milliseconds(20)});
  EXPECT_EQ(told.shares[WorkClass::filler], 800'000);
  wait_for(false, false);
  ASSERT_TRUE(governor->set_policy({.pledged = {200'000, When::always}, .filler = {800'000, When::idle}}));
  ASSERT_EQ(::write(keyboard.get(), "key", 3), 3);
  wait_for(false, true);
  while (!governor->state().user_present) std::this_thread::yield();
  const GovernorState state = governor->state();
  EXPECT_TRUE(state.pledged.may_run);
  EXPECT_FALSE(state.filler.may_run);
  EXPECT_EQ(state.filler.because, "somebody is at this machine");
  EXPECT_EQ(state.held_by, "a test");
  EXPECT_TRUE(state.user.starts_with("somebody may be here: input devices: key or pointer (event0)")) << state.user;
  ASSERT_EQ(state.sources.size(), 1U);
  EXPECT_TRUE(state.sources[0].works);
  EXPECT_GT(changes, 0);
}

TEST_F(GovernorTest, APauseStopsEverythingUntilItIsOver) {
  govern({.pledged = {200'000, When::always}, .filler = {800'000, When::always}});
  wait_for(false, false);
  governor->pause("a piece is being measured");
  wait_for(true, true);
  EXPECT_EQ(governor->state().pledged.because, "a piece is being measured");
  governor->resume();
  wait_for(false, false);
  EXPECT_EQ(governor->state().pledged.because, "");
}

TEST_F(GovernorTest, NoShareIsSaidSo) {
  govern({.pledged = {0, When::always}});
  EXPECT_EQ(governor->state().pledged.because, "its share is 0");
}

TEST_F(GovernorTest, ProcessesGoToTheirClass) {
  govern({});
  ASSERT_TRUE(governor->add_pledged(11));
  ASSERT_TRUE(governor->add_filler(12));
  EXPECT_EQ(told.added, (std::vector<std::pair<WorkClass, pid_t>>{{WorkClass::pledged, 11}, {WorkClass::filler, 12}}));
}

TEST_F(GovernorTest, ABadPolicyLeavesTheOldOne) {
  govern({.pledged = {200'000, When::always}});
  const auto refused = governor->set_policy({.pledged = {-1, When::always}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "a share of -1 millionths of a core is less than nothing");
  EXPECT_EQ(told.shares[WorkClass::pledged], 200'000);
  EXPECT_FALSE(governor->set_policy({.quiet = milliseconds(-1)}));
}

TEST(UsualGovernor, RunsOnThisMachine) {
  auto made = make_governor(GovernorPolicy{}, [] {});
  ASSERT_TRUE(made) << made.error().message;
  const GovernorState state = (*made)->state();
  EXPECT_EQ(state.sources.size(), 6U);
  EXPECT_FALSE(state.held_by.empty());
}

}  // namespace
}  // namespace spatter::cycles
