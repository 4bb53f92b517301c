// The simulated world: one event loop in virtual time for all machines, and the record of what
// happened by which two runs are compared.
//
// Virtual time stands still while code runs, and jumps to the next event when nothing can run. All
// choices of the world come from its seed.
#pragma once

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/task.h"
#include "base/time.h"

namespace spatter::sim {

class World {
 public:
  explicit World(std::uint64_t seed);
  World(const World&) = delete;
  ~World();

  std::uint64_t seed() const { return seed_; }
  asio::any_io_executor executor() { return context_.get_executor(); }
  TimePoint now() const { return now_; }
  /// For the world's own choices: delays, faults, workloads. Machines have generators of their own.
  SeededRandom& random() { return random_; }

  using EventId = std::uint64_t;
  /// Runs `event` at `when`, or as soon as possible if that has passed. Equal times run in the
  /// order of the calls.
  EventId at(TimePoint when, std::move_only_function<void()> event);
  EventId after(Duration delay, std::move_only_function<void()> event) {
    return at(now_ + delay, std::move(event));
  }
  void cancel(EventId id);
  /// Ends early with asio's cancellation only.
  Task<void> sleep_until(TimePoint when);
  Task<void> sleep(Duration duration) { return sleep_until(now_ + duration); }
  /// Like sleep, but deaf to cancellation.
  Task<void> sleep_through(Duration duration);

  /// Runs until `done` says so (looked at after every event): true. False when nothing is left to
  /// run or `limit` has passed.
  bool run_until(const std::function<bool()>& done, Duration limit);
  void run_for(Duration duration);

  /// Runs until `task` has ended; nothing when it has not within `limit` of virtual time or is
  /// stuck. It is then still suspended and must not outlive what it refers to.
  template <class T>
  std::optional<T> wait_for(Task<T> task, Duration limit);
  bool wait_for(Task<void> task, Duration limit);

  /// Adds an event to the record. `print` sees every line as it is written.
  void note(std::string_view text);
  std::uint64_t record_hash() const { return record_hash_; }
  std::uint64_t events() const { return events_; }
  void set_print(std::function<void(std::string_view line)> print) { print_ = std::move(print); }
  /// The newest lines of the record, oldest first: what led to a failure.
  std::vector<std::string> newest_notes() const;

 private:
  using Key = std::pair<TimePoint, EventId>;
  bool step(TimePoint not_after);

  const std::uint64_t seed_;
  asio::io_context context_{1};  // first: frames of suspended coroutines die with it, last of all
  SeededRandom random_;
  TimePoint now_{};
  EventId next_event_ = 1;
  std::map<Key, std::move_only_function<void()>> queue_;
  std::map<EventId, TimePoint> times_;
  std::uint64_t record_hash_;
  std::uint64_t events_ = 0;
  std::uint64_t handlers_at_this_time_ = 0;
  std::deque<std::string> notes_;
  std::function<void(std::string_view)> print_;
};

template <class T>
std::optional<T> World::wait_for(Task<T> task, Duration limit) {
  struct Outcome {
    std::optional<T> value;
    std::exception_ptr thrown;
    bool ended = false;
  };
  auto outcome = std::make_shared<Outcome>();
  asio::co_spawn(context_, std::move(task), [outcome](std::exception_ptr thrown, T value) {
    outcome->thrown = thrown;
    outcome->ended = true;
    if (!thrown) outcome->value.emplace(std::move(value));
  });
  run_until([&] { return outcome->ended; }, limit);
  if (outcome->thrown) std::rethrow_exception(outcome->thrown);
  return std::move(outcome->value);
}

}  // namespace spatter::sim
