// A machine with some cores whose processes, scheduler and faults are the test's, in steps of 50 us. It keeps the
// true course of what was used, so that a test judges by that and not by what the engine believes.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <vector>

#include "cycles/processes.h"
#include "share_engine.h"

namespace spatter::cycles {

class SimulatedMachine : public Processes {
 public:
  static constexpr Duration step = std::chrono::microseconds(50);
  static constexpr Duration tick = std::chrono::milliseconds(4);

  struct Process {
    pid_t parent = 0;
    unsigned threads = 1;
    bool idle_class = false;
    bool stopped = false;
    TimePoint stop_takes_effect{};
    Duration used{0}, shown{0};  ///< what it has used; what its clock shows while it runs
    std::function<bool(TimePoint)> wants = nullptr;  ///< null: always
  };

  explicit SimulatedMachine(unsigned cores, std::uint64_t seed = 1) : cores_(cores), chance_(seed) {}

  std::map<pid_t, Process> processes;
  double others = 0;           ///< cores that everybody else keeps busy
  Duration wake_delay_max{0};  ///< the engine is woken up to this much late
  Duration stop_delay_max{0};  ///< a stop takes effect up to this much late
  Duration clock_jump{0};      ///< added to what now() says

  pid_t start(Process process) {
    processes[++last_] = std::move(process);
    return last_;
  }
  void exit(pid_t pid) { processes.erase(pid); }

  /// Runs machine and engine for that long. `each` is called every 50 us.
  void run(ShareEngine& engine, Duration time, const std::function<void()>& each = {}) {
    const TimePoint end = real_ + time;
    TimePoint next = real_;
    while (real_ < end) {
      if (real_ >= next) next = engine.step() - clock_jump + up_to(wake_delay_max);
      advance();
      if (each) each();
    }
  }
  void advance() {
    double wanted = 0;
    std::vector<Process*> running;
    for (auto& [pid, process] : processes) {
      const bool runs = !(process.stopped && real_ >= process.stop_takes_effect) &&
                        (!process.wants || process.wants(real_));
      if (!runs) {
        process.shown = process.used;
        continue;
      }
      running.push_back(&process);
      wanted += std::min(process.threads, cores_);
    }
    const double had = std::max(0.0, cores_ - others);
    for (Process* process : running) {
      const double got = std::min(process->threads, cores_) * std::min(1.0, had / wanted);
      const Duration more(static_cast<std::int64_t>(got * static_cast<double>(step.count())));
      process->used += more;
      total_ += more;
      if (real_.time_since_epoch() / tick != (real_ + step).time_since_epoch() / tick) process->shown = process->used;
    }
    real_ += step;
    if (++steps_ % 20 == 0) course_.push_back(total_);
  }

  /// The most and least that was used in any stretch of that length, beginning after `after`.
  Duration most_within(Duration length, Duration after = Duration(0)) const { return extreme(length, after, true); }
  Duration least_within(Duration length, Duration after) const { return extreme(length, after, false); }
  Duration total() const { return total_; }

  TimePoint now() const override { return real_ + clock_jump; }
  unsigned cores() const override { return cores_; }
  Result<void> hold(pid_t pid) override {
    if (!processes.contains(pid)) return fail(Errc::not_found, "there is no process {}", pid);
    return {};
  }
  void let_go(pid_t) override {}
  std::optional<Duration> cpu_time(pid_t pid) override {
    const auto found = processes.find(pid);
    if (found == processes.end()) return std::nullopt;
    return found->second.shown;
  }
  Duration clock_lag() const override { return tick; }
  void stop(pid_t pid) override {
    const auto found = processes.find(pid);
    if (found == processes.end() || found->second.stopped) return;
    found->second.stopped = true;
    found->second.stop_takes_effect = real_ + up_to(stop_delay_max);
  }
  void resume(pid_t pid) override {
    if (const auto found = processes.find(pid); found != processes.end()) found->second.stopped = false;
  }
  void end(pid_t pid) override { processes.erase(pid); }
  std::vector<pid_t> children(pid_t pid) override {
    std::vector<pid_t> found;
    for (const auto& [child, process] : processes)
      if (process.parent == pid) found.push_back(child);
    return found;
  }
  unsigned threads(pid_t pid) override { return processes.at(pid).threads; }
  Result<void> make_idle(pid_t pid) override {
    processes.at(pid).idle_class = true;
    return {};
  }
  std::uint64_t births() override { return static_cast<std::uint64_t>(last_); }

 private:
  Duration up_to(Duration most) {
    if (most == Duration(0)) return most;
    return Duration(static_cast<std::int64_t>(chance_() % static_cast<std::uint64_t>(most.count())));
  }
  Duration extreme(Duration length, Duration after, bool most) const {
    using std::chrono::milliseconds;
    const auto n = static_cast<std::size_t>(length / milliseconds(1));
    Duration found = most ? Duration(0) : Duration::max();
    for (auto i = static_cast<std::size_t>(after / milliseconds(1)); i + n < course_.size(); ++i) {
      const Duration used = course_[i + n] - course_[i];
      found = most ? std::max(found, used) : std::min(found, used);
    }
    return found;
  }

  const unsigned cores_;
  std::mt19937_64 chance_;
  TimePoint real_{std::chrono::seconds(1000)};
  std::uint64_t steps_ = 0;
  Duration total_{0};
  std::vector<Duration> course_{Duration(0)};
  pid_t last_ = 100;
};

}  // namespace spatter::cycles
