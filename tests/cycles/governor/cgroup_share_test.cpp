// The files that the cgroup keeper writes, in a tree of plain files; and for real where a tree is delegated.
#include "cycles/cgroup_share.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "temporary_folder.h"

namespace spatter::cycles {
namespace {

struct Tree : testing::Test {
  TemporaryFolder folder;
  Tree() {
    folder.write("cgroup.controllers", "cpuset cpu memory\n");
    folder.write("cgroup.subtree_control", "");
    folder.write("cgroup.procs", "");
    for (const char* group : {"pledged", "filler"}) {
      std::filesystem::create_directory(folder / group);
      for (const char* file : {"cpu.max", "cpu.idle", "cgroup.procs", "cgroup.freeze", "cgroup.kill"})
        folder.write(std::string(group) + "/" + file, "");
      use(group, 0);
    }
  }
  void use(const std::string& group, int us) {
    folder.write(group + "/cpu.stat", fmt::format("usage_usec {}\nuser_usec 0\nnr_periods 4\n", us));
  }
};

TEST_F(Tree, SharesStopsAndClassesAreWrittenToTheRightFiles) {
  auto made = make_cgroup_share(folder.path(), 2);
  ASSERT_TRUE(made) << made.error().message;
  ShareKeeper& keeper = **made;
  EXPECT_EQ(keeper.describe(), "cgroup v2 (cpu.max) below " + folder.path());
  EXPECT_EQ(folder.read("cgroup.subtree_control"), "+cpu");
  EXPECT_EQ(folder.read("filler/cpu.idle"), "1");
  EXPECT_EQ(folder.read("pledged/cpu.idle"), "");
  EXPECT_EQ(folder.read("pledged/cgroup.freeze"), "1");  // no share yet
  EXPECT_EQ(folder.read("pledged/cgroup.kill"), "1");    // whoever was left there
  ASSERT_TRUE(keeper.set_share(WorkClass::pledged, 200'000));
  EXPECT_EQ(folder.read("pledged/cpu.max"), "4000 20000");
  ASSERT_TRUE(keeper.set_share(WorkClass::pledged, 10'000));  // 0.2 ms of 20 would be too little for the kernel
  EXPECT_EQ(folder.read("pledged/cpu.max"), "1000 100000");
  ASSERT_TRUE(keeper.set_share(WorkClass::filler, 1'600'000));
  EXPECT_EQ(folder.read("filler/cpu.max"), "32000 20000");
  ASSERT_TRUE(keeper.set_share(WorkClass::filler, 2'000'000));
  EXPECT_EQ(folder.read("filler/cpu.max"), "max 20000");
  keeper.halt(WorkClass::filler);
  EXPECT_EQ(folder.read("filler/cgroup.freeze"), "1");
  keeper.allow(WorkClass::filler);
  EXPECT_EQ(keeper.report(WorkClass::filler).halted, false);
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  EXPECT_TRUE(keeper.add(WorkClass::pledged, child));
  EXPECT_EQ(folder.read("pledged/cgroup.procs"), std::to_string(child));
  EXPECT_EQ(keeper.add(WorkClass::filler, child).error().code, Errc::exists);
  EXPECT_EQ(keeper.report(WorkClass::pledged).processes, 1U);
  made->reset();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(Tree, WhatAProcessHadStartedBeforeIsHeldToo) {
  auto made = make_cgroup_share(folder.path(), 2);
  ASSERT_TRUE(made) << made.error().message;
  int told[2];
  ASSERT_EQ(::pipe(told), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    const pid_t child = ::fork();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (child != 0) (void)!::write(told[1], &child, sizeof child);
    ::pause();
    ::_exit(0);
  }
  pid_t child = 0;
  ASSERT_EQ(::read(told[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  EXPECT_TRUE((*made)->add(WorkClass::pledged, parent));
  EXPECT_EQ(folder.read("pledged/cgroup.procs"), std::to_string(child));  // a plain file keeps what was written last
  ::kill(child, SIGKILL);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  ::close(told[0]);
  ::close(told[1]);
}

TEST_F(Tree, AMinuteThatIsFullIsFrozen) {
  auto made = make_cgroup_share(folder.path(), 2);
  ASSERT_TRUE(made);
  ASSERT_TRUE((*made)->set_share(WorkClass::pledged, 200'000));
  use("pledged", 20'000'000);
  while (folder.read("pledged/cgroup.freeze") != "1" || (*made)->report(WorkClass::pledged).used.count() == 0)
    std::this_thread::yield();
  EXPECT_EQ((*made)->report(WorkClass::pledged).used, std::chrono::seconds(20));
  EXPECT_FALSE((*made)->report(WorkClass::pledged).running);
}

TEST_F(Tree, WhatIsMissingIsNamed) {
  folder.write("cgroup.controllers", "memory pids\n");
  const auto none = make_cgroup_share(folder.path(), 2);
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().message.starts_with(folder.path() + " has no cpu controller")) << none.error().message;
  folder.write("cgroup.controllers", "cpu\n");
  folder.write("cgroup.procs", "1\n");
  EXPECT_EQ(make_cgroup_share(folder.path(), 2).error().message, "process 1 is in " + folder.path() + " too");
  folder.write("cgroup.procs", "");
  std::filesystem::remove(folder / "pledged/cpu.max");
  EXPECT_EQ(make_cgroup_share(folder.path(), 2).error().code, Errc::not_found);
  EXPECT_FALSE(make_cgroup_share("/nowhere", 2));
}

TEST(DelegatedCgroup, IsFoundByWhereThisProcessIs) {
  const TemporaryFolder proc, mount;
  std::filesystem::create_directories(proc / "self");
  std::filesystem::create_directories(mount / "user/spatter");
  proc.write("self/cgroup", "1:cpu:/\n0::/user/spatter\n");
  EXPECT_EQ(find_delegated_cgroup(proc.path(), mount.path()).error().message,
            "cgroup v2 is not mounted at " + mount.path());
  mount.write("user/spatter/cgroup.controllers", "pids\n");
  EXPECT_EQ(find_delegated_cgroup(proc.path(), mount.path()).error().message,
            "the cpu controller is not delegated to " + (mount / "user/spatter"));
  mount.write("user/spatter/cgroup.controllers", "cpu pids\n");
  mount.write("user/spatter/cgroup.subtree_control", "");
  EXPECT_EQ(*find_delegated_cgroup(proc.path(), mount.path()), mount / "user/spatter");
  proc.write("self/cgroup", "1:cpu:/\n");
  EXPECT_EQ(find_delegated_cgroup(proc.path(), mount.path()).error().message, "this process is in no cgroup v2");
}

TEST(ShareKeeper, SaysWhichItIsAndWhy) {
  auto keeper = make_share_keeper();
  ASSERT_TRUE(keeper) << keeper.error().message;
  const auto delegated = find_delegated_cgroup();
  if (delegated) return;  // then cpu.max may be what holds, or its reason be another's process in there
  EXPECT_TRUE((*keeper)->describe().starts_with("signals")) << (*keeper)->describe();
  EXPECT_TRUE((*keeper)->describe().ends_with(delegated.error().message)) << (*keeper)->describe();
}

}  // namespace
}  // namespace spatter::cycles
