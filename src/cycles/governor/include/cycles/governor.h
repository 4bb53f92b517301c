// Who of the foreign work may run now, and how much: the shares (ShareKeeper) and the person at the machine
// (UserPresence) put together.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cycles/share_keeper.h"
#include "cycles/user_presence.h"

namespace spatter::cycles {

struct GovernorPolicy {
  enum class When { always, idle };  ///< idle: only while nobody is at the machine
  struct Class {
    SharePpm share = 0;  ///< millionths of one core
    When when = When::always;
  };
  Class pledged;
  Class filler{.when = When::idle};
  Duration quiet = std::chrono::minutes(5);  ///< how long nobody must have been seen before work comes back
};

struct GovernorState {
  struct Class {
    ShareReport share;
    bool may_run = false;
    std::string because;  ///< why it may not, in words; empty when it may
  };
  Class pledged, filler;
  std::string held_by;  ///< ShareKeeper::describe()
  bool user_present = false;
  std::string user;     ///< UserPresence::why()
  std::vector<SourceReport> sources;
};

/// All functions from any thread. Destroying it ends what it governs.
class Governor {
 public:
  virtual ~Governor() = default;

  virtual Result<void> add_pledged(pid_t pid) = 0;  ///< as ShareKeeper::add
  virtual Result<void> add_filler(pid_t pid) = 0;
  virtual void remove(pid_t pid, std::optional<Duration> cpu_time = {}) = 0;  ///< as ShareKeeper::remove

  /// The network's own work on this machine, which nobody holds, used so much CPU time: what is pledged is for that
  /// first, and others' work gets that much less.
  virtual void own_work(Duration cpu_time) = 0;

  /// From now on. invalid: a negative share or quiet time; the policy stays as it was.
  virtual Result<void> set_policy(const GovernorPolicy& policy) = 0;

  /// Stops everything until resume(); when it returns, the stops are sent. `reason` is for reports.
  virtual void pause(std::string reason) = 0;
  virtual void resume() = 0;

  virtual GovernorState state() const = 0;
};

/// `changed` is called, on a thread of the governor's or the caller's, after work was let run or stopped: look at state() then.
/// It must neither wait nor destroy the governor. Errors: io, and set_policy's.
Result<std::unique_ptr<Governor>> make_governor(std::unique_ptr<ShareKeeper> keeper,
                                                std::vector<std::unique_ptr<PresenceSource>> sources,
                                                const GovernorPolicy& policy, std::function<void()> changed);

/// With what this machine has. `cores_above`: how much CPU others may use before that counts as somebody here.
Result<std::unique_ptr<Governor>> make_governor(const GovernorPolicy& policy, std::function<void()> changed,
                                                double cores_above = 0.25);

}  // namespace spatter::cycles
