// Sandboxed tools for coroutines: work that blocks has a thread of its own, and when nobody waits for it any more what it
// runs is killed.
#pragma once

#include <asio/cancellation_state.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "base/runtime.h"
#include "base/sync.h"
#include "cycles/tool.h"

namespace spatter::doors {

/// What a thread's work runs its tools through, one at a time. kill() from any thread.
class ToolSession {
 public:
  /// `watch`, if any, hears the process group while it lives: who holds it to a share, say.
  struct Watch {
    std::function<void(pid_t)> begun;
    std::function<void(pid_t, std::optional<Duration>)> ended;
  };
  explicit ToolSession(Watch watch = {}) : watch_(std::move(watch)) {}

  /// Blocks. Errors: cancelled after kill(), those of start_tool or Sandboxed::start, and Sandboxed::wait's.
  Result<cycles::SandboxEnd> run(const cycles::ToolWork& work);
  Result<cycles::SandboxEnd> run(const cycles::SandboxJob& job);
  /// What runs ends, and nothing more begins.
  void kill();
  bool is_killed();

 private:
  Result<cycles::SandboxEnd> run_begun(const std::function<Result<cycles::Sandboxed>()>& begin);

  Watch watch_;
  std::mutex mutex_;
  bool killed_ = false;
  cycles::Sandboxed* running_ = nullptr;
};

/// Threads that somebody waits for. Destroying it kills and awaits what still runs.
class ToolThreads {
 public:
  explicit ToolThreads(Runtime& runtime) : core_(std::make_shared<Core>(runtime)) {}
  ~ToolThreads();

  /// `work` runs on a thread. When this is cancelled its session is killed, and the work has ended when it throws.
  template <class T>
  Task<Result<T>> run(std::function<Result<T>(ToolSession&)> work);

 private:
  struct Core {
    explicit Core(Runtime& runtime) : runtime(runtime) {}
    Runtime& runtime;
    std::mutex mutex;
    std::condition_variable changed;
    std::set<std::shared_ptr<ToolSession>> sessions;
  };
  std::shared_ptr<Core> core_;
};

template <class T>
Task<Result<T>> ToolThreads::run(std::function<Result<T>(ToolSession&)> work) {
  struct Shared {
    explicit Shared(asio::any_io_executor executor) : ended(std::move(executor)) {}
    Result<T> result = fail(Errc::cancelled, "given up");
    Event ended;  ///< on the executor
  };
  const auto core = core_;
  const auto session = std::make_shared<ToolSession>();
  const auto shared = std::make_shared<Shared>(core->runtime.executor());
  {
    const std::lock_guard lock(core->mutex);
    core->sessions.insert(session);
  }
  std::thread([core, session, shared, work = std::move(work)]() mutable {
    auto result = work(*session);
    work = nullptr;
    asio::post(core->runtime.executor(), [shared, result = std::move(result)]() mutable {
      shared->result = std::move(result);
      shared->ended.set();
    });
    const std::lock_guard lock(core->mutex);
    core->sessions.erase(session);
    core->changed.notify_all();
  }).detach();
  std::exception_ptr cancelled;
  try {
    co_await shared->ended.wait();
  } catch (...) {
    cancelled = std::current_exception();
  }
  if (cancelled) {
    // Who cancelled removes the files next: nothing may be making new ones then.
    session->kill();
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await shared->ended.wait();
    std::rethrow_exception(cancelled);
  }
  co_return std::move(shared->result);
}

}  // namespace spatter::doors
