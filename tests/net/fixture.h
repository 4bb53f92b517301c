// A real runtime with a captured log, and ways to end a test that waits for something.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "base/real_runtime.h"
#include "base/sync.h"
#include "crypto/sign.h"

namespace spatter {

using namespace std::chrono_literals;

class NetTest : public testing::Test {
 protected:
  NetTest() {
    RealRuntime::Options options;
    options.root = std::filesystem::temp_directory_path().string();
    options.log_least = LogLevel::debug;
    options.log_sink = [this](LogLevel, std::string_view line) {
      std::lock_guard lock(log_mutex_);
      log_lines_.emplace_back(line);
    };
    runtime_ = std::move(*RealRuntime::open(std::move(options)));
  }

  bool logged(std::string_view text) {
    std::lock_guard lock(log_mutex_);
    return std::ranges::any_of(log_lines_, [&](const auto& line) { return line.contains(text); });
  }

  SigningKey new_key() { return SigningKey::generate(runtime_->entropy()); }
  Buffer random_bytes(std::size_t size) {
    Buffer bytes = Buffer::allocate(size);
    SeededRandom(size).fill(bytes.mutable_view());
    return bytes;
  }

  /// Runs a test's coroutine; one that takes too long fails instead of hanging.
  void run(Task<void> task) {
    auto result = runtime_->wait_for(
        with_deadline<int>(*runtime_, runtime_->now() + 60s, "the test", numbered(std::move(task))));
    EXPECT_TRUE(result) << result.error().message;
  }

  template <class Condition>
  Task<void> until(Condition condition) {
    while (!condition()) co_await runtime_->sleep(5ms);
  }

  std::mutex log_mutex_;
  std::vector<std::string> log_lines_;
  std::unique_ptr<RealRuntime> runtime_;

 private:
  static Task<Result<int>> numbered(Task<void> task) {
    co_await std::move(task);
    co_return 0;
  }
};

}  // namespace spatter
