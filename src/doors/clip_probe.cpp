#include "doors/clip_probe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "cycles/sandbox.h"
#include "doors/control.h"

namespace spatter::doors {

namespace {

/// A second, independent descriptor of the clip, at its beginning.
Result<Descriptor> open_again(int file) {
  struct stat info{};
  if (::fstat(file, &info) != 0) return fail(from_errno(errno, "look at the clip"));
  if (!S_ISREG(info.st_mode)) return fail(Errc::invalid, "the clip is not a plain file");
  if (info.st_size == 0) return fail(Errc::invalid, "the clip is empty");
  if (static_cast<std::uint64_t>(info.st_size) > clip_bytes_max)
    return fail(Errc::invalid, "the clip has {} bytes, at most {} are allowed", info.st_size,
                clip_bytes_max);
  Descriptor again(::open(fmt::format("/proc/self/fd/{}", file).c_str(), O_RDONLY | O_CLOEXEC));
  if (!again) return fail(from_errno(errno, "open the clip"));
  return again;
}

}  // namespace

Result<ClipFacts> probe_clip(int file, const ProbeOptions& options) {
  TRY(const auto clip, open_again(file));
  if (::access(options.ffprobe.c_str(), X_OK) != 0)
    return fail(Errc::unavailable, "{} is missing: without it no clip is looked at", options.ffprobe);
  cycles::SandboxJob job;
  job.bwrap = options.bwrap;
  job.line = {options.ffprobe, "-v", "error", "-protocol_whitelist", "file",
              "-format_whitelist", "matroska,mov", "-show_entries",
              "format=format_name:stream=index,codec_type,codec_name,width,height:"
              "packet=stream_index,pts_time,duration_time",
              "-of", "json=compact=1", "file:/input"};
  job.files = {{.inside = "/input", .fd = clip.get()}};
  job.limits.wall = options.timeout;
  job.limits.file_bytes_max = probe_report_bytes_max;
  auto result = cycles::run_sandboxed(job);
  if (!result) return fail(result.error().during("look into the clip"));
  if (result->how == cycles::SandboxHow::wall_time_out)
    return fail(Errc::timeout, "look into the clip: {} took too long", options.ffprobe);
  if (!result->ended_well()) return fail(Errc::invalid, "the clip cannot be read as a WebM or MP4 video");
  return judge_probe_report(result->output, options.limits);
}

Result<ClipFacts> probe_clip_at(const std::string& path, const ProbeOptions& options) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return fail(from_errno(errno, "open " + path));
  return probe_clip(file.get(), options);
}

}  // namespace spatter::doors
