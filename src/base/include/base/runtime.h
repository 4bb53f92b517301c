// Everything node logic may know of the outside world comes through a Runtime: the executor it runs
// on, time, randomness and disk. RealRuntime is one implementation, the deterministic simulator
// another. (The Transport is built on a Runtime and injected beside it.)
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>

#include "base/disk.h"
#include "base/log.h"
#include "base/random.h"
#include "base/task.h"
#include "base/time.h"

namespace spatter {

class Runtime {
 public:
  virtual ~Runtime() = default;

  /// One logical thread: all node logic of a server runs here, so none of it needs locks.
  virtual asio::any_io_executor executor() = 0;
  virtual TimePoint now() const = 0;  ///< any thread
  virtual WallMs wall_ms() const = 0; ///< any thread
  /// Ends early with asio's cancellation only (a thrown operation_aborted).
  virtual Task<void> sleep_until(TimePoint when) = 0;
  Task<void> sleep(Duration duration) { return sleep_until(now() + duration); }

  virtual Random& entropy() = 0;  ///< for keys, nonces and ids; seeded in the simulator
  virtual Random& chance() = 0;   ///< for jitter and other choices that need no secrecy
  virtual Disk& disk() = 0;       ///< rooted in the drive's folder
  virtual Log& log() = 0;

  /// How many blocking() calls really run at a time.
  virtual unsigned blocking_threads() const = 0;
  /// Runs `work` off the executor (disk, hashing, coding) and comes back to it. Not cancellable once begun:
  /// `work` always runs to its end before this returns, so it may borrow from the caller's frame.
  virtual Task<void> run_blocking(std::function<void()> work) = 0;

  /// run_blocking with a value: `auto r = co_await runtime.blocking([&] { return disk.stat(p); });`
  template <class F>
  Task<std::invoke_result_t<F>> blocking(F work) {
    using T = std::invoke_result_t<F>;
    if constexpr (std::is_void_v<T>) {
      std::function<void()> call = [&work] { work(); };
      co_await run_blocking(std::move(call));
    } else {
      std::optional<T> result;
      std::function<void()> call = [&work, &result] { result.emplace(work()); };
      co_await run_blocking(std::move(call));
      co_return std::move(*result);
    }
  }
};

/// `task`'s result, or Errc::timeout naming `what` once `when` has passed; the task is then
/// cancelled and has ended when this returns.
template <class T>
Task<Result<T>> with_deadline(Runtime& runtime, TimePoint when, std::string what,
                              Task<Result<T>> task) {
  using namespace asio::experimental::awaitable_operators;
  try {
    auto both = co_await (std::move(task) || runtime.sleep_until(when));
    if (both.index() == 0) co_return std::get<0>(std::move(both));
  } catch (const asio::multiple_exceptions& both_failed) {
    std::rethrow_exception(both_failed.first_exception());  // cancelled from outside
  }
  co_return fail(Errc::timeout, "{}: no answer in time", what);
}

}  // namespace spatter
