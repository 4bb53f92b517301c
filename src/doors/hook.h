// Runs a command that the owner of this machine configured, when something has happened.
//
// Blocks: not on the executor.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace spatter::doors {

struct HookJob {
  std::string command;  ///< for /bin/sh -c
  /// Beside, or in place of, this process's own variables.
  std::vector<std::pair<std::string, std::string>> environment;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  std::size_t output_bytes_max = 4096;  ///< of what it prints, kept for the error; the rest is read and dropped
};

/// Returns when the shell has ended. It has /dev/null as input, no descriptor of ours, and a process
/// group of its own; when its time is over or `stop` becomes readable that group gets SIGTERM, and SIGKILL
/// a second later. What the command leaves running in the background when it ends is left alone.
/// Errors: timeout, cancelled (`stop`), unavailable (it ended with another status than 0; the error quotes what it
/// printed), io.
Result<void> run_hook(const HookJob& job, int stop);

}  // namespace spatter::doors
