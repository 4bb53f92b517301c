// Other processes as a governor sees and steers them: their clocks, their families, stopping and letting run.
// The machine's own implementation uses signals and /proc; tests simulate a machine.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace spatter::cycles {

class Processes {
 public:
  virtual ~Processes() = default;

  /// Does not count the time a machine was suspended: nothing ran then.
  virtual TimePoint now() const = 0;
  virtual unsigned cores() const = 0;

  /// Takes hold of a process, so that its number cannot come to mean another. Not found: it is gone.
  virtual Result<void> hold(pid_t pid) = 0;
  virtual void let_go(pid_t pid) = 0;

  /// CPU time of all its threads, ended ones included, to the nanosecond for a process that is stopped; up to a
  /// scheduler's tick a thread too little for one that runs. None when it is gone.
  virtual std::optional<Duration> cpu_time(pid_t pid) = 0;
  /// That tick.
  virtual Duration clock_lag() const = 0;

  /// To the process, and to its process group where it leads one: then also to what it forks at this moment.
  virtual void stop(pid_t pid) = 0;
  virtual void resume(pid_t pid) = 0;
  virtual void end(pid_t pid) = 0;  ///< SIGKILL

  /// Its living children.
  virtual std::vector<pid_t> children(pid_t pid) = 0;
  virtual unsigned threads(pid_t pid) = 0;

  /// Into the scheduler's class that only gets what nobody else wants (SCHED_IDLE), with all its threads; what it
  /// starts inherits that. Cannot be undone without privileges.
  virtual Result<void> make_idle(pid_t pid) = 0;

  /// A number that changes whenever a process or thread was started anywhere. Cheaper than looking.
  virtual std::uint64_t births() = 0;
};

/// This machine's. `proc` is where its process information is mounted. One thread at a time.
std::unique_ptr<Processes> make_processes(std::string proc = "/proc");

/// Makes the calling thread run as soon as it is woken: real-time priority where allowed, else the shortest slice that the
/// scheduler gives, else nothing. Says which, for reports: "real-time priority 1".
std::string make_punctual();

}  // namespace spatter::cycles
