// A Runtime whose time is virtual: it stands still while code runs and jumps to the next sleeper's when
// nothing can run.
#pragma once

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <map>
#include <vector>

#include "base/memory_disk.h"
#include "base/runtime.h"
#include "base/sync.h"

namespace spatter::mining {

class VirtualRuntime final : public Runtime {
 public:
  explicit VirtualRuntime(std::uint64_t seed = 1)
      : random_(seed), log_(LogLevel::debug, [this](LogLevel, std::string_view line) {
          lines.emplace_back(line);
        }) {}

  std::vector<std::string> lines;  ///< logged
  bool logged(std::string_view part) const {
    return std::ranges::any_of(lines, [&](const auto& line) { return line.contains(part); });
  }

  asio::any_io_executor executor() override { return context_.get_executor(); }
  TimePoint now() const override { return now_; }
  WallMs wall_ms() const override { return now_.time_since_epoch() / std::chrono::milliseconds(1); }
  Task<void> sleep_until(TimePoint when) override {
    Event due(executor());
    struct Place {
      std::multimap<TimePoint, Event*>& sleepers;
      Event& due;
      std::multimap<TimePoint, Event*>::iterator at;
      ~Place() {
        if (!due.is_set()) sleepers.erase(at);  // else the runtime did, when it woke this one
      }
    } place{sleepers_, due, sleepers_.emplace(when, &due)};
    co_await due.wait();
  }
  Random& entropy() override { return random_; }
  Random& chance() override { return random_; }
  Disk& disk() override { panic(__FILE__, __LINE__, "no disk here"); }
  Log& log() override { return log_; }
  unsigned blocking_threads() const override { return 1; }
  Task<void> run_blocking(std::function<void()> work) override {
    work();
    co_return;
  }

  /// Until `done` holds: true. False when nothing is left to run, or so much time has passed.
  bool run_until(const std::function<bool()>& done, Duration limit = std::chrono::hours(1)) {
    const TimePoint end = now_ + limit;
    while (true) {
      context_.restart();
      while (!done() && context_.poll_one() > 0) {
      }
      if (done()) return true;
      if (sleepers_.empty() || sleepers_.begin()->first > end) {
        now_ = std::max(now_, end);
        return false;
      }
      now_ = std::max(now_, sleepers_.begin()->first);
      sleepers_.begin()->second->set();
      sleepers_.erase(sleepers_.begin());
    }
  }
  void run_for(Duration duration) {
    run_until([] { return false; }, duration);
  }
  /// As when the process was stopped meanwhile: nothing ran.
  void jump(Duration duration) { now_ += duration; }

 private:
  asio::io_context context_{1};
  SeededRandom random_;
  Log log_;
  TimePoint now_{std::chrono::hours(1000)};
  std::multimap<TimePoint, Event*> sleepers_;
};

}  // namespace spatter::mining
