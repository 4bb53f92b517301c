// The Runtime of a real process: an asio io_context, a pool of blocking threads, the system's
// clocks and random source, and the drive's folder.
#pragma once

#include <optional>
#include <type_traits>
#include <variant>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/thread_pool.hpp>
#include <exception>

#include "base/runtime.h"

namespace spatter {

/// Prints "2026-11-23 01:28:25.123 warning text" on stderr, control characters replaced: log lines
/// may quote foreign bytes. Thread-safe.
Log::Sink stderr_sink();

class RealRuntime final : public Runtime {
 public:
  struct Options {
    std::string root;                       ///< the drive's folder, which must exist
    LogLevel log_least = LogLevel::info;
    Log::Sink log_sink = stderr_sink();
    unsigned blocking_threads = 0;          ///< 0: one per core, and two that may wait for the disk
  };
  static Result<std::unique_ptr<RealRuntime>> open(Options options);
  ~RealRuntime() override;  ///< waits for blocking work under way

  asio::io_context& context() { return context_; }

  /// Runs the executor on the calling thread until `task` has ended, and returns what it returned.
  /// What else was spawned stays suspended meanwhile and after; the next call resumes it.
  template <class T>
  T wait_for(Task<T> task);

  asio::any_io_executor executor() override { return context_.get_executor(); }
  TimePoint now() const override;
  WallMs wall_ms() const override;
  Task<void> sleep_until(TimePoint when) override;
  Random& entropy() override { return *entropy_; }
  Random& chance() override { return *chance_; }
  Disk& disk() override { return *disk_; }
  Log& log() override { return log_; }
  unsigned blocking_threads() const override { return blocking_threads_; }
  Task<void> run_blocking(std::function<void()> work) override;

 private:
  RealRuntime(Options options, std::unique_ptr<Disk> disk);

  asio::io_context context_{1};
  unsigned blocking_threads_;
  std::unique_ptr<Random> entropy_;
  std::unique_ptr<Random> chance_;
  std::unique_ptr<Disk> disk_;
  Log log_;
  asio::thread_pool pool_;  // last: its threads must end before anything above dies
};

template <class T>
T RealRuntime::wait_for(Task<T> task) {
  // The value goes into an optional here, for what asio hands on must be default-constructible.
  using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  std::optional<Stored> result;
  std::exception_ptr thrown;
  bool ended = false;
  auto store = [](Task<T> inner, std::optional<Stored>* out) -> Task<void> {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(inner);
      out->emplace();
    } else {
      out->emplace(co_await std::move(inner));
    }
  };
  auto keep_running = asio::make_work_guard(context_);
  asio::co_spawn(context_, store(std::move(task), &result), [&](std::exception_ptr exception) {
    thrown = exception;
    ended = true;
    context_.stop();
  });
  context_.restart();
  while (!ended) context_.run();
  if (thrown) std::rethrow_exception(thrown);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace spatter
