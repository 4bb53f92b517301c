#include "transcode_piece.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "cycles/video_target.h"

namespace spatter::doors {
namespace {

constexpr auto wall_max = std::chrono::hours(48);
constexpr std::uint64_t memory_bytes_most = 2ULL << 30, output_bytes_most = 1ULL << 40;

constexpr std::uint64_t said_bytes_max = 64 << 10;

/// What ffmpeg says when the machine, and not the video, is at fault. Decoders call some broken streams an
/// "Input/output error": only of the files themselves it is one.
constexpr std::array own_troubles = {
    "No space left on device", "Cannot allocate memory", "malloc of size", "Failed to allocate", "Memory allocation",
    "/piece: Input/output error", "av_interleaved_write_frame(): Input/output error", "Resource temporarily unavailable",
    "Unknown encoder", "Decoder (codec", "error while loading shared libraries"};

}  // namespace

Result<PieceDone> transcode_piece(ToolSession& tools, const wire::WorkOrder& order, const std::string& input,
                                  const std::string& output) {
  const auto& parameters = order.transcode();
  cycles::Descriptor file(::open(output.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return fail(from_errno(errno, "open " + output));
  cycles::ToolWork work;
  work.arguments = cycles::transcode_arguments(parameters, order.fuel_max());
  work.inputs = {{"piece", input}};
  work.outputs = {{"piece", output}};
  work.limits.memory_bytes = std::min(memory_bytes_most, std::max<std::uint64_t>(order.memory_bytes_max(), 64 << 20));
  // One byte more than it may have, so that the file itself shows that it got too large.
  const auto output_bytes_max = std::min(order.output_bytes_max(), output_bytes_most);
  work.limits.file_bytes_max = std::max(output_bytes_max + 1, said_bytes_max);
  work.limits.cpu_seconds = cycles::transcode_cpu_seconds(order.fuel_max());
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
  struct stat made{};
  if (::fstat(file.get(), &made) != 0) return fail(from_errno(errno, "look at an output"));
  if (static_cast<std::uint64_t>(made.st_size) > output_bytes_max) {
    done.end = WorkEnd::output_too_large;
    return ended_badly();
  }
  if (end->how != cycles::SandboxHow::exited)
    return fail(Errc::unavailable, "ffmpeg {} here{}", to_string(end->how),
                end->how == cycles::SandboxHow::signalled ? fmt::format(" ({})", end->code) : "");
  // ffmpeg goes on without a frame that it had no memory for, and calls that well ended.
  for (const auto* trouble : own_troubles)
    if (end->complaints.contains(trouble)) return fail(Errc::unavailable, "ffmpeg cannot go on here: {}", trouble);
  if (end->code != 0) {
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
