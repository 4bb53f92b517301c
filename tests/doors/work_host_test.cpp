// The runner of a real machine: what it starts for a piece is held to the share, translating its module included, and is
// gone when the piece is given up.
#include "work_host.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "../base/temporary_folder.h"
#include "base/real_runtime.h"
#include "base/sync.h"

namespace spatter::doors {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class WorkHostTest : public testing::Test {
 protected:
  WorkHostTest() {
    fs::copy_file(PROGRAMS "/sort.wasm", folder.path() + "/module");
    std::ofstream(folder.path() + "/input") << "3\n1\n2\n";
    host->set_policy({.share_ppm = 500'000});
  }
  static wire::WorkOrder order() {
    wire::WorkOrder order;
    order.mutable_module();
    order.add_inputs();
    order.set_fuel_max(1ULL << 40);
    order.set_memory_bytes_max(64 << 20);
    order.set_output_bytes_max(1 << 20);
    return order;
  }
  Task<void> compute(int number) {
    const auto done = co_await host->run(order(), {"module", {"input"}, fmt::format("output{}", number)});
    if (!done) last_error = done.error().message;
  }
  /// A piece that waits is begun and given up; whether there was a thread for it.
  bool begin_and_give_up() {
    last_error.clear();
    runtime->wait_for([](WorkHostTest& test) -> Task<void> {
      TaskGroup pieces(test.runtime->executor());
      pieces.spawn(test.compute(1));
      co_await test.runtime->sleep(milliseconds(5));
      co_await pieces.stop();
    }(*this));
    return last_error.empty();
  }
  /// For a minute at most.
  template <class Condition>
  bool comes_true(Condition condition) {
    return runtime->wait_for([](WorkHostTest& test, Condition condition) -> Task<bool> {
      for (int i = 0; i < 6000; ++i) {
        if (condition()) co_return true;
        co_await test.runtime->sleep(milliseconds(10));
      }
      co_return false;
    }(*this, condition));
  }
  unsigned held() const { return host->machine()->pledged.processes; }

  TemporaryFolder folder;
  std::unique_ptr<RealRuntime> runtime = std::move(RealRuntime::open({.root = folder.path()}).value());
  std::unique_ptr<WorkHost> host = std::make_unique<WorkHost>(*runtime, folder.path());
  std::string last_error;
};

TEST_F(WorkHostTest, ATranslationIsHeldToTheShareAndEndsWithItsPiece) {
  host->hold("this is a test");
  TaskGroup pieces(runtime->executor());
  pieces.spawn(compute(0));
  // Nothing foreign may run: it is stopped, and would be done in a second or two if it were not.
  ASSERT_TRUE(comes_true([&] { return held() > 0; }));
  // Others wait for the same translation; more than there are threads for, unless waiting ends with being given up.
  int begun = 0;
  for (int attempts = 0; begun < 100 && attempts < 5000; ++attempts) begun += begin_and_give_up() ? 1 : 0;
  EXPECT_EQ(begun, 100) << last_error;
  EXPECT_GT(held(), 0u);
  EXPECT_TRUE(!fs::exists(folder.path() + "/programs") || fs::is_empty(folder.path() + "/programs"));
  runtime->wait_for(pieces.stop());
  EXPECT_TRUE(comes_true([&] { return held() == 0; }));
}

TEST_F(WorkHostTest, WhatATranslationTookIsOfThePiece) {
  const auto first = runtime->wait_for(host->run(order(), {"module", {"input"}, "output"}));
  ASSERT_TRUE(first) << first.error().message;
  const auto again = runtime->wait_for(host->run(order(), {"module", {"input"}, "output"}));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(first->fuel, again->fuel);
  EXPECT_GT(first->processor_s, again->processor_s);
}

TEST_F(WorkHostTest, ItEndsWhileWhatItRunsIsStopped) {
  TaskGroup pieces(runtime->executor());
  pieces.spawn(compute(0));
  ASSERT_TRUE(comes_true([&] { return host->machine()->pledged.used_s > 0.05; }));
  host->hold("this is a test");
  host.reset();
  runtime->wait_for(pieces.stop());
}

}  // namespace
}  // namespace spatter::doors
