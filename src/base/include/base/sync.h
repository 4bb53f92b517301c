// What coroutines on one executor use to wait for one another. None of these is thread-safe: all
// calls on the one executor. Waiting ends early only by asio's cancellation (thrown operation_aborted).
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstddef>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "base/task.h"

namespace spatter {

struct Waiter;

/// Whether an exception that ended a coroutine is asio's cancellation (also when `||` or `&&` threw
/// it for both sides).
bool is_cancellation(const std::exception_ptr& exception);

/// A list of coroutines waiting to be woken, first come, first served. The base of the others.
class WaitQueue {
 public:
  explicit WaitQueue(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  WaitQueue(const WaitQueue&) = delete;
  ~WaitQueue();  ///< must be empty

  Task<void> wait();       ///< until woken
  bool wake_one();         ///< false when nobody waits
  void wake_all();
  bool empty() const { return waiters_.empty(); }

 private:
  asio::any_io_executor executor_;
  std::list<std::shared_ptr<Waiter>> waiters_;
};

/// A latch that can be set and reset: wait() returns at once while set.
class Event {
 public:
  explicit Event(asio::any_io_executor executor) : queue_(std::move(executor)) {}
  void set();
  void reset() { set_ = false; }
  bool is_set() const { return set_; }
  Task<void> wait();

 private:
  WaitQueue queue_;
  bool set_ = false;
};

/// Counts units of something bounded (requests under way, bytes in memory). Fair: a large request
/// is not overtaken by later small ones.
class Semaphore {
 public:
  Semaphore(asio::any_io_executor executor, std::size_t units);
  Semaphore(const Semaphore&) = delete;
  ~Semaphore();  ///< nobody may be waiting

  /// Gives its units back when it dies.
  class Permit {
   public:
    Permit() = default;
    Permit(Semaphore* owner, std::size_t units) : owner_(owner), units_(units) {}
    Permit(Permit&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), units_(other.units_) {}
    Permit& operator=(Permit&& other) noexcept;
    ~Permit() { release(); }
    void release();

   private:
    Semaphore* owner_ = nullptr;
    std::size_t units_ = 0;
  };

  /// Waits for `units` (capped at the semaphore's whole, so that one giant request can still run).
  Task<Permit> acquire(std::size_t units = 1);
  /// Without waiting: nothing when the units are not free or others wait.
  std::optional<Permit> try_acquire(std::size_t units = 1);
  std::size_t available() const { return available_; }

 private:
  void give_back(std::size_t units);
  void serve();
  asio::any_io_executor executor_;
  std::size_t capacity_;
  std::size_t available_;
  std::list<std::shared_ptr<Waiter>> wants_;
};

/// Mutual exclusion across suspensions.
class Mutex {
 public:
  explicit Mutex(asio::any_io_executor executor) : semaphore_(std::move(executor), 1) {}
  Task<Semaphore::Permit> lock() { return semaphore_.acquire(1); }

 private:
  Semaphore semaphore_;
};

/// Holds background coroutines: `spawn` starts one, `stop` cancels all and returns when the last
/// has ended. A spawned coroutine that throws anything but cancellation is our mistake and panics.
class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  ~TaskGroup();  ///< must have been stopped, or be empty
  void spawn(Task<void> task);  ///< ignored once stopped
  Task<void> stop();            ///< cancels, then waits; never from one of the group's own tasks
  Task<void> drain();           ///< waits without cancelling
  bool stopping() const;
  std::size_t running() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace spatter
