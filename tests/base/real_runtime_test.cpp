#include "base/real_runtime.h"

#include <gtest/gtest.h>

#include "base/sync.h"
#include "temporary_folder.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

class RealRuntimeTest : public testing::Test {
 protected:
  TemporaryFolder folder;
  std::unique_ptr<RealRuntime> runtime =
      std::move(RealRuntime::open({.root = folder.path()}).value());
};

TEST_F(RealRuntimeTest, BlockingWorkRunsElsewhereAndComesBack) {
  const auto here = std::this_thread::get_id();
  const auto task = [](Runtime& runtime, std::thread::id here) -> Task<int> {
    const auto there = co_await runtime.blocking([] { return std::this_thread::get_id(); });
    EXPECT_NE(there, here);
    EXPECT_EQ(std::this_thread::get_id(), here);
    co_return 7;
  };
  EXPECT_EQ(runtime->wait_for(task(*runtime, here)), 7);
}

TEST_F(RealRuntimeTest, CancellationWaitsForTheBlockingWork) {
  const auto borrow = [](Runtime& runtime, Event& began, bool& ended) -> Task<void> {
    began.set();
    co_await runtime.run_blocking([&] {
      std::this_thread::yield();
      ended = true;
    });
  };
  const auto run = [](Runtime& runtime, auto borrow, bool& ended) -> Task<void> {
    TaskGroup group(runtime.executor());
    Event began(runtime.executor());
    group.spawn(borrow(runtime, began, ended));
    co_await began.wait();
    co_await group.stop();
    EXPECT_TRUE(ended);
  };
  bool ended = false;
  runtime->wait_for(run(*runtime, borrow, ended));
}

TEST_F(RealRuntimeTest, ADeadlineCancelsWhatIsLate) {
  const auto forever = [](Runtime& runtime) -> Task<Result<int>> {
    co_await runtime.sleep(1h);
    co_return 1;
  };
  const auto result = runtime->wait_for(
      with_deadline<int>(*runtime, runtime->now() + 1ms, "the answer", forever(*runtime)));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Errc::timeout);
  EXPECT_NE(result.error().message.find("the answer"), std::string::npos);
}

TEST_F(RealRuntimeTest, ADeadlineLeavesAQuickResultAlone) {
  const auto quick = []() -> Task<Result<std::string>> { co_return "done"; };
  const auto result = runtime->wait_for(
      with_deadline<std::string>(*runtime, runtime->now() + 1h, "the answer", quick()));
  EXPECT_EQ(result.value(), "done");
}

TEST_F(RealRuntimeTest, CancellingAWaitWithADeadlineIsACancellation) {
  const auto forever = [](Runtime& runtime) -> Task<Result<int>> {
    co_await runtime.sleep(1h);
    co_return 1;
  };
  const auto outer = [](Runtime& runtime, auto forever) -> Task<void> {
    (void)co_await with_deadline<int>(runtime, runtime.now() + 1h, "x", forever(runtime));
    ADD_FAILURE() << "must have been cancelled";
  };
  const auto run = [](Runtime& runtime, auto outer, auto forever) -> Task<void> {
    TaskGroup group(runtime.executor());
    group.spawn(outer(runtime, forever));
    co_await group.stop();
  };
  runtime->wait_for(run(*runtime, outer, forever));
}

TEST_F(RealRuntimeTest, ClocksAndEntropyWork) {
  const TimePoint before = runtime->now();
  EXPECT_GE(runtime->now(), before);
  EXPECT_GT(runtime->wall_ms(), 1'700'000'000'000);
  EXPECT_NE(runtime->entropy().id<Digest>(), runtime->entropy().id<Digest>());
  EXPECT_GE(runtime->blocking_threads(), 2u);
}

}  // namespace
}  // namespace spatter
