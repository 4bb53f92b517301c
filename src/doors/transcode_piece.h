// One stretch of a video, coded anew for another server.
#pragma once

#include "cycles/piece_runner.h"
#include "tool_thread.h"

namespace spatter::doors {

/// Blocks. `input` and `output` are paths of this machine; the output is made. Errors are of this machine: what the video
/// itself brings about (it cannot be decoded, it gets larger than it may) is a result, and the same everywhere.
Result<PieceDone> transcode_piece(ToolSession& tools, const wire::WorkOrder& order, const std::string& input,
                                  const std::string& output);

}  // namespace spatter::doors
