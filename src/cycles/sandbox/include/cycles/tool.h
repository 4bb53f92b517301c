// Runs one of a few fixed programs of this machine on strangers' files, in the sandbox. Its arguments
// are made here at home, of typed parameters: nothing a stranger wrote becomes one.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "cycles/sandbox.h"

namespace spatter::cycles {

enum class Tool { ffmpeg, ffprobe };

struct ToolWork {
  struct File {
    std::string name;      ///< letters, digits, dots, hyphens and underlines: what arguments call it by
    std::string path;      ///< where it is outside
  };

  Tool tool = Tool::ffmpeg;
  /// An argument may name its files as "/input/NAME" and "/output/NAME".
  std::vector<std::string> arguments;
  std::vector<File> inputs;    ///< read only
  std::vector<File> outputs;   ///< files that are there already, empty: others it cannot make
  std::vector<File> folders;   ///< read only, as inputs
  std::string output_folder;   ///< outside; then this is "/output", where it may make files
  SandboxLimits limits = default_limits();
  std::string bwrap = "/usr/bin/bwrap";

  /// 2 GiB of memory, an hour of CPU time, files of up to 4 GiB, 1 MiB said.
  static SandboxLimits default_limits();
};

/// What the tool says goes to SandboxEnd's output and complaints.
/// Errors: unavailable (no such tool here, no sandbox), invalid (names that cannot be), io.
Result<Sandboxed> start_tool(const ToolWork& work);

}  // namespace spatter::cycles
