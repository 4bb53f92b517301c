#include "cycles/piece.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "cycles/piece_report.h"

namespace spatter::cycles {

namespace {

constexpr std::uint64_t page_bytes = 64 << 10;
constexpr std::uint64_t fuel_max = 1ULL << 62;
constexpr std::uint64_t memory_bytes_max = 2ULL << 30;
constexpr std::uint64_t argument_bytes_max = 64 << 10;
constexpr std::size_t arguments_max = 1000;
/// The program's own: its native stack (inside/piece.c), tables and the C library's.
constexpr std::uint64_t own_data_bytes = 256ULL << 20;

Result<void> check(const PieceWork& work) {
  const auto& limits = work.limits;
  if (!work.program.file) return fail(Errc::invalid, "a piece without a program");
  if (limits.fuel == 0 || limits.fuel > fuel_max)
    return fail(Errc::invalid, "a budget of {} is not between 1 and 2^62", limits.fuel);
  if (limits.memory_bytes > memory_bytes_max)
    return fail(Errc::invalid, "{} bytes of memory are more than 2 GiB", limits.memory_bytes);
  if (work.arguments.size() > arguments_max)
    return fail(Errc::invalid, "{} arguments are more than {}", work.arguments.size(), arguments_max);
  std::uint64_t bytes = 0;
  for (const auto& argument : work.arguments) bytes += argument.size() + 1;
  if (bytes > argument_bytes_max)
    return fail(Errc::invalid, "arguments of {} bytes are longer than {}", bytes, argument_bytes_max);
  for (const int fd : {work.input, work.output}) {
    struct stat info{};
    if (fd >= 0 && (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)))
      return fail(Errc::invalid, "the {} of a piece is not a plain file", fd == work.input ? "input" : "output");
  }
  return {};
}

SandboxLimits sandbox_limits(const PieceLimits& limits) {
  SandboxLimits result;
  result.data_bytes = limits.memory_bytes + own_data_bytes;
  result.cpu_seconds = limits.cpu_seconds;
  result.wall = limits.wall;
  result.file_bytes_max = std::max(limits.output_bytes_max, limits.log_bytes_max);
  result.open_files_max = 16;
  return result;
}

std::string text_of(int file, std::uint64_t bytes_max) {
  std::string text(bytes_max, '\0');
  const auto n = ::pread(file, text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

PieceEnd end_of(PieceReport::End end) {
  switch (end) {
    case PieceReport::End::exited: return PieceEnd::exited;
    case PieceReport::End::trapped: return PieceEnd::trapped;
    case PieceReport::End::out_of_fuel: return PieceEnd::out_of_fuel;
    case PieceReport::End::out_of_memory: return PieceEnd::out_of_memory;
    case PieceReport::End::output_too_large: return PieceEnd::output_too_large;
    case PieceReport::End::broken: break;
  }
  return PieceEnd::killed;
}

/// Why a process that said nothing is gone.
void explain(const SandboxEnd& end, PieceOutcome& outcome) {
  const bool out_of_time = end.how == SandboxHow::cpu_time_out || end.how == SandboxHow::wall_time_out;
  outcome.end = out_of_time ? PieceEnd::timed_out : PieceEnd::killed;
  outcome.trap = to_string(end.how);
  if (end.how == SandboxHow::signalled)
    outcome.trap = end.code == SIGSYS ? "tried a call that is not its own" : fmt::format("signal {}", end.code);
}

}  // namespace

std::string_view to_string(PieceEnd end) {
  switch (end) {
    case PieceEnd::exited: return "exited";
    case PieceEnd::trapped: return "trapped";
    case PieceEnd::out_of_fuel: return "out of fuel";
    case PieceEnd::out_of_memory: return "out of memory";
    case PieceEnd::output_too_large: return "output too large";
    case PieceEnd::killed: return "killed";
    case PieceEnd::timed_out: return "timed out";
  }
  return "?";
}

bool is_result(PieceEnd end) { return end != PieceEnd::killed && end != PieceEnd::timed_out; }

Result<Bytes> PieceOutcome::output_content() const {
  Bytes bytes(output_bytes);
  for (std::size_t at = 0; at < bytes.size();) {
    const auto n = ::pread(output.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "read a piece's output"));
    if (n == 0) return fail(Errc::io, "a piece's output of {} bytes ends at {}", output_bytes, at);
    at += static_cast<std::size_t>(n);
  }
  return bytes;
}

Result<Piece> Piece::start(const PieceWork& work) {
  TRY_VOID(check(work));
  TRY(const auto program, open_again(work.program.file->get()));
  TRY(const auto input, work.input >= 0 ? open_again(work.input) : file_of(work.input_bytes, "input"));
  Descriptor output(work.output >= 0 ? ::fcntl(work.output, F_DUPFD_CLOEXEC, 0) : -1);
  if (work.output < 0) {
    TRY(output, file_of({}, "output"));
  }
  if (!output) return fail(from_errno(errno, "hand a file to a piece"));
  TRY(auto log, file_of({}, "log"));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail(from_errno(errno, "make a pipe"));
  Descriptor report(ends[0]);
  const Descriptor report_end(ends[1]);

  SandboxJob job;
  job.bwrap = work.bwrap;
  job.system_files = false;
  job.files = {{.inside = "/program", .fd = program.get(), .executable = true}};
  job.input = input.get();
  job.output = output.get();
  job.complaints = log.get();
  job.report = report_end.get();
  job.limits = sandbox_limits(work.limits);
  const auto pages = std::min<std::uint64_t>(work.limits.memory_bytes / page_bytes, work.program.memory_pages_max);
  job.line = {"/program", std::to_string(work.limits.fuel), std::to_string(pages),
              std::to_string(work.limits.output_bytes_max), std::to_string(work.limits.log_bytes_max),
              std::to_string(work.seed)};
  job.line.insert(job.line.end(), work.arguments.begin(), work.arguments.end());
  TRY(auto sandboxed, Sandboxed::start(job));
  return Piece(std::move(sandboxed), std::move(report), std::move(output), std::move(log), work.limits);
}

Result<PieceOutcome> Piece::wait() {
  auto ended = sandboxed_.wait();
  if (!ended) {
    // bubblewrap complains where the piece would log.
    auto error = std::move(ended).error();
    if (const auto said = text_of(log_.get(), 300); error.code == Errc::unavailable && said.starts_with("bwrap:"))
      error.message = fmt::format("no sandbox can be made ({})", said.substr(0, said.find('\n')));
    return fail(std::move(error));
  }
  PieceOutcome outcome;
  outcome.cpu = ended->cpu;
  outcome.log = text_of(log_.get(), limits_.log_bytes_max);
  outcome.output = std::move(output_);
  std::uint8_t bytes[piece_report_bytes + 1];
  const auto n = ::read(report_.get(), bytes, sizeof bytes);
  const auto report = parse_piece_report({bytes, n > 0 ? static_cast<std::size_t>(n) : 0});
  if (!ended->ended_well() || !report) {
    explain(*ended, outcome);
    if (ended->ended_well()) outcome.trap = report.error().message;
    return outcome;
  }
  if (report->end == PieceReport::End::broken)
    return fail(Errc::unavailable, "the piece cannot be run here: {}", report->detail_in_words());
  // What it says of itself must at least be possible.
  struct stat info{};
  if (::fstat(outcome.output.get(), &info) != 0 || report->fuel > limits_.fuel ||
      report->output_bytes > limits_.output_bytes_max ||
      report->output_bytes > static_cast<std::uint64_t>(info.st_size)) {
    outcome.trap = "reports what cannot be";
    return outcome;
  }
  outcome.end = end_of(report->end);
  outcome.exit_code = static_cast<int>(report->exit_code);
  outcome.trap = report->detail_in_words();
  outcome.fuel = report->fuel;
  outcome.output_bytes = report->output_bytes;
  outcome.log_bytes_dropped = report->log_bytes_dropped;
  return outcome;
}

}  // namespace spatter::cycles
