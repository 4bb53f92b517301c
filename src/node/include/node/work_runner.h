// What a server needs of the machine to compute for others: a sandbox, and whoever holds the share.
#pragma once

#include "cycles/job_workshop.h"
#include "cycles/piece_runner.h"
#include "node/cycles_settings.h"

namespace spatter {

/// How a share is held, and who is at the machine.
struct MachineReport {
  unsigned cores = 0;
  std::string held_by;     ///< "signals, timed with real-time priority 1", and why nothing better is used
  bool user_present = false;
  std::string user;        ///< "somebody is here: key or pointer (event3), 2 s ago" or "nobody for 340 s"
  struct Class {
    bool may_run = false;
    std::string because;   ///< why not
    double share_cores = 0;
    unsigned processes = 0;
    double used_s = 0;     ///< of processor time, since the start
    double used_minute_s = 0, granted_minute_s = 0, used_hour_s = 0, granted_hour_s = 0;
  };
  Class pledged, filler;
  std::string mining;      ///< the miner's newest report, one JSON object; empty: there is none
  struct Source {
    std::string name, what;
    bool works = false;
  };
  std::vector<Source> sources;
  double own_work_s = 0;   ///< of processor time that mending for the network took, which is in what was pledged
};

class WorkRunner : public PieceRunner {
 public:
  /// From now on. What runs goes on under the new share.
  virtual void set_policy(const CyclesSettings& settings) = 0;
  /// How many pieces at a time a share of all cores is good for.
  virtual unsigned parallel(std::uint32_t share_ppm) const = 0;
  virtual unsigned cores() const { return 1; }
  /// Everything stops until let_go(): the machine is needed for what `reason` says.
  virtual void hold(const std::string& reason) { (void)reason; }
  virtual void let_go() {}
  /// The network's own heavy work (mending) has used so much CPU time here: it comes off what pieces may use.
  virtual void own_work(Duration cpu_time) { (void)cpu_time; }
  /// The calling thread's CPU clock. Any thread.
  virtual Duration thread_time() const { return {}; }
  /// Whether pieces are let run now; busy says why not: somebody is at the machine, say.
  virtual Result<void> may_run() const { return {}; }
  /// What splits files for jobs and puts them together; it lives as long as this. None: no such jobs here.
  virtual JobWorkshop* workshop() { return nullptr; }
  /// Nothing while no share was ever promised.
  virtual std::optional<MachineReport> machine() const { return std::nullopt; }
};

}  // namespace spatter
