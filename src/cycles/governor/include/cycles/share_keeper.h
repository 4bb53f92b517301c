// Holds processes to a share of the machine's CPU, in two classes: what was pledged, and filler that only gets what
// is left and gives way at once. Two implementations: ShareController (signals, anywhere) and CgroupShare
// (where a cgroup v2 tree with the cpu controller is delegated).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/error.h"
#include "cycles/share_law.h"

namespace spatter::cycles {

enum class WorkClass { pledged, filler };
std::string_view to_string(WorkClass work);

struct ShareReport {
  SharePpm share = 0;
  unsigned processes = 0;
  bool halted = false;
  bool running = false;  ///< in a burst, or not being throttled
  Duration used{0};      ///< CPU time since the keeper began, in all
  Duration used_minute{0}, granted_minute{0};  ///< the last 60 s
  Duration used_hour{0}, granted_hour{0};      ///< whole minutes of the last 60
};

/// All functions from any thread.
class ShareKeeper {
 public:
  virtual ~ShareKeeper() = default;

  /// "signals, timed with real-time priority 1"; with why nothing better is used.
  virtual std::string describe() const = 0;

  /// From now on the process, its threads and its descendants are held to the class's share, together with the
  /// class's others; they may be stopped at once. Best a process that was just started, is stopped, and leads a
  /// process group. Filler is put into the scheduler's idle class as well.
  /// Who starts it sees to it that it dies with its parent (PR_SET_PDEATHSIG): a process that was killed
  /// can hold nothing. Errors: not_found, denied, exists, invalid, io.
  virtual Result<void> add(WorkClass work, pid_t pid) = 0;

  /// No longer governed, with its descendants. It is left as it is at that moment, which may be stopped: end it
  /// first. `cpu_time`, from wait4, is what it used in its life with what it waited for, if that is known:
  /// what was charged for its last moments is then corrected.
  virtual void remove(pid_t pid, std::optional<Duration> cpu_time = {}) = 0;

  /// In millionths of one core; more than the machine has is as much as it has. invalid: negative.
  virtual Result<void> set_share(WorkClass work, SharePpm share) = 0;

  /// When this returns, everything of the class has been sent its stop; nothing of it runs until allow().
  virtual void halt(WorkClass work) = 0;
  virtual void allow(WorkClass work) = 0;

  /// Work that is not held here, but is what the class's share is for as well, used so much CPU time just now: the class
  /// gets that much less.
  virtual void charge(WorkClass work, Duration used) = 0;

  virtual ShareReport report(WorkClass work) const = 0;
};

}  // namespace spatter::cycles
