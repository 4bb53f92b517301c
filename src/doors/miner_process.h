// The miner as a process of its own (`spatter miner-process`), so that whoever holds the shares can stop all of
// its hashing at once: kept running while this lives, and its reports.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/time.h"

namespace spatter::doors {

struct MinerSetup {
  std::string pool;   ///< "stratum+tcp://host:port", checked
  std::string user;   ///< checked
  unsigned threads = 1;
  bool operator==(const MinerSetup&) const = default;
};

class MinerProcess {
 public:
  struct Watch {
    std::function<void(pid_t)> started;              ///< it leads a process group and has hardly run yet
    std::function<void(pid_t, Duration cpu)> ended;  ///< and is gone
  };
  /// Starts it, and again some seconds after it has ended. The calls of `watch` come from a thread of its own.
  /// `log` outlives it.
  MinerProcess(MinerSetup setup, Watch watch, Log& log);
  /// Ends it, and waits until it is gone.
  ~MinerProcess();

  const MinerSetup& setup() const;
  /// The newest line of JSON; empty before the first.
  std::string report() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace spatter::doors
