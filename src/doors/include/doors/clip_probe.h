// Looks into a stranger's video clip without trusting it: ffprobe reads it inside a sandbox
// (bubblewrap: no network, no files but its own libraries and the clip, no privileges, few system
// calls, little memory and time), and what ffprobe says is read as a stranger's words
// (trust/clip.h). The clip is never decoded here.
//
// Blocks for as long as it takes, at most ProbeOptions::timeout: not on the executor.
#pragma once

#include <chrono>
#include <string>

#include "trust/clip.h"

namespace spatter::doors {

struct ProbeOptions {
  ClipLimits limits;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  std::string bwrap = "/usr/bin/bwrap";
  std::string ffprobe = "/usr/bin/ffprobe";
};

/// `file` is an open file, read from its beginning; its offset is left alone. Errors: invalid (what is
/// wrong with the clip, for people), timeout, unavailable (ffprobe or bubblewrap is missing, or
/// this system allows no sandbox: then no clip is looked at).
Result<ClipFacts> probe_clip(int file, const ProbeOptions& options = {});

/// The same for a path; not_found and io when it cannot be opened.
Result<ClipFacts> probe_clip_at(const std::string& path, const ProbeOptions& options = {});

}  // namespace spatter::doors
