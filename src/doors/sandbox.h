// Runs a helper program that reads a stranger's file, where it can do no harm: in bubblewrap, with no
// network, no files but /usr and the one given, no privileges, few system calls, little memory and
// time. What it prints comes back, as untrusted as the file.
//
// Blocks: not on the executor. The helper is gone when this returns, however it returns.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.h"

namespace spatter::doors {

struct SandboxJob {
  std::string bwrap = "/usr/bin/bwrap";
  std::vector<std::string> line;   ///< program (a path below /usr) and arguments
  int file = -1;                   ///< an open file, copied from its offset on: "/input" inside
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  std::size_t output_bytes_max = 1 << 20;
};

struct SandboxResult {
  bool ended_well = false;         ///< exit status 0
  std::string output;
};

/// Errors: unavailable (this system allows no sandbox), timeout, invalid (more output than asked for),
/// io.
Result<SandboxResult> run_sandboxed(const SandboxJob& job);

}  // namespace spatter::doors
