// The miner as a process of its own, so that whoever started it can stop, continue and end all its
// hashing by signals, at any moment.
#pragma once

#include <nlohmann/json.hpp>

#include "base/sync.h"
#include "cycles/hash_engine.h"
#include "cycles/stratum.h"

namespace spatter::mining {

struct MinerOptions {
  StratumOptions pool;
  HashEngine::Options engine;
};

struct MinerReport {
  PoolStatus pool;
  std::uint64_t hashes = 0;
  double rate = 0;         ///< hashes a second, over the last second
  unsigned threads = 0;
  ScanKernel kernel{};
};
/// What docs/mining.md says that a report line holds.
nlohmann::json to_json(const MinerReport& report);

/// Mines until `stop` is set, and calls `report` each second and once at the end.
Task<void> mine(Runtime& runtime, MinerOptions options, PoolDial dial, Event& stop,
                std::function<void(const MinerReport&)> report);

/// What the child process runs: mines, writes one JSON line a second to `report_fd`, and returns what
/// the process shall exit with after the line "stop" on `control_fd` or its end: whoever held the
/// other side is gone. A report that nobody reads is left out; the log goes to standard error. The
/// calling thread must be the process's first, and may have no other io to do.
///
/// Ends the process (with _exit, after a last report): names being resolved cannot be given up.
[[noreturn]] void run_miner(MinerOptions options, int control_fd, int report_fd);

}  // namespace spatter::mining
