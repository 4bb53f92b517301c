// What ShareController's thread does, one step at a time, so that it can be run against a simulated machine.
// One thread at a time.
#pragma once

#include <array>
#include <map>
#include <set>

#include "cycles/processes.h"
#include "cycles/share_keeper.h"
#include "hour.h"

namespace spatter::cycles {

class ShareEngine {
 public:
  /// `processes` outlives it.
  explicit ShareEngine(Processes& processes, ShareLawOptions options = {});
  ~ShareEngine();

  /// Does what is due, and says when to come back. Later does no harm but to exactness.
  TimePoint step();

  // As in ShareKeeper. After each of them step() may be due earlier than it said.
  Result<void> add(WorkClass work, pid_t pid);
  void remove(pid_t pid, std::optional<Duration> cpu_time);
  Result<void> set_share(WorkClass work, SharePpm share);
  void halt(WorkClass work);
  void allow(WorkClass work);
  void charge(WorkClass work, Duration used);
  ShareReport report(WorkClass work);

 private:
  struct Member {
    pid_t root;
    Duration read;         ///< its clock when last read
    unsigned threads = 1;
  };
  struct Root {
    Duration before;       ///< what it had used when it was added
    Duration charged{0};   ///< for it and its descendants since
  };
  enum class Phase { idle, running, settling };
  struct Class {
    WorkClass work;
    ShareLaw law;
    Hour hour;
    Phase phase = Phase::idle;
    bool halted = false;
    TimePoint from{}, until{}, collected{};
    bool look_again = false;  ///< the burst may be able to go on at its end
    double cores_expected = 0;
    struct Stretch {  ///< of a burst; what is learned of one short after clocks were read in mid-burst is not worth much
      TimePoint from{};
      Duration used{0};
      bool from_start = true;
    } stretch;
    Duration steps_back{0};  ///< filler's, while others keep the cores busy
    TimePoint stays_back_until{};
    std::map<pid_t, Member> members;
    std::map<pid_t, Root> roots;
    std::uint64_t births = 0;  ///< when its families were last looked at
    TimePoint families_found{};
  };

  Class& of(WorkClass work) { return classes_[work == WorkClass::pledged ? 0 : 1]; }
  bool free_running(const Class& work) const;
  double cores_possible(const Class& work) const;
  bool go_on(Class& work, TimePoint now);
  void stop(Class& work, TimePoint now);
  void settle(Class& work, TimePoint now);
  void learn(Class& work, TimePoint ran_until, TimePoint now);
  void step_back_if_crowded(Class& work, TimePoint now, Duration used, Duration ran);
  TimePoint begin(Class& work, TimePoint now);
  Duration collect(Class& work, TimePoint from, TimePoint to, bool ran);
  void find_families(Class& work, TimePoint now, bool as_new);

  Processes& processes_;
  std::array<Class, 2> classes_;
  TimePoint watched_{};
};

}  // namespace spatter::cycles
