#include "transcode_piece.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>

#include "cycles/video_target.h"

namespace spatter::doors {
namespace {

constexpr unsigned cpu_seconds_max = 12 * 3600;  // of ten seconds of video; a whole one without key frames takes longer
constexpr auto wall_max = std::chrono::hours(48);
constexpr std::uint64_t memory_bytes_most = 2ULL << 30;

/// What ffmpeg says when the machine, and not the video, is at fault.
constexpr std::array own_troubles = {"No space left on device", "Cannot allocate memory", "Input/output error",
                                     "Resource temporarily unavailable", "Unknown encoder", "error while loading shared libraries"};

}  // namespace

Result<PieceDone> transcode_piece(ToolSession& tools, const wire::WorkOrder& order, const std::string& input,
                                  const std::string& output) {
  const auto& parameters = order.transcode();
  cycles::Descriptor file(::open(output.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return fail(from_errno(errno, "open " + output));
  cycles::ToolWork work;
  work.arguments = cycles::transcode_arguments(parameters);
  work.inputs = {{"piece", input}};
  work.outputs = {{"piece", output}};
  work.limits.memory_bytes = std::min(memory_bytes_most, std::max<std::uint64_t>(order.memory_bytes_max(), 64 << 20));
  work.limits.file_bytes_max = std::max<std::uint64_t>(order.output_bytes_max(), 1);
  work.limits.cpu_seconds = cpu_seconds_max;
  work.limits.wall = wall_max;
  auto end = tools.run(work);
  if (!end) return fail(std::move(end).error());

  PieceDone done{.log = end->complaints.substr(0, piece_log_bytes_max),
                 .processor_s = std::chrono::duration<double>(end->cpu).count()};
  // Nothing of a bad end is kept: how far it had come may differ.
  const auto ended_badly = [&]() -> Result<PieceDone> {
    if (::ftruncate(file.get(), 0) != 0) return fail(from_errno(errno, "empty an output"));
    return done;
  };
  const bool too_large = (end->how == cycles::SandboxHow::signalled && end->code == SIGXFSZ) ||
                         end->complaints.contains("File too large");
  if (too_large) {
    done.end = WorkEnd::output_too_large;
    return ended_badly();
  }
  if (end->how != cycles::SandboxHow::exited)
    return fail(Errc::unavailable, "ffmpeg {} here{}", to_string(end->how),
                end->how == cycles::SandboxHow::signalled ? fmt::format(" ({})", end->code) : "");
  if (end->code != 0) {
    for (const auto* trouble : own_troubles)
      if (end->complaints.contains(trouble)) return fail(Errc::unavailable, "ffmpeg cannot go on here: {}", trouble);
    done.exit_code = end->code;
    return ended_badly();
  }
  TRY(const auto frames, cycles::frames_of_progress(end->output));
  done.fuel = cycles::transcode_fuel(parameters, frames);
  if (done.fuel > order.fuel_max()) {
    done.end = WorkEnd::out_of_fuel;
    done.fuel = order.fuel_max();
    return ended_badly();
  }
  return done;
}

}  // namespace spatter::doors
