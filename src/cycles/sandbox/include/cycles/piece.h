// Runs one piece of foreign work: a translated program, once, in a sandbox and a process of its own. What
// comes out depends on the module, its arguments, input, seed and limits alone, to the byte and the unit of
// fuel, so that workers can be compared: as long as the end is one of those that is_result() names. Any
// other end is this machine's trouble or choice and says nothing of the piece.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/time.h"
#include "cycles/sandbox.h"
#include "cycles/translator.h"

namespace spatter::cycles {

/// All but the times are part of what the piece computes: equal for all its workers.
struct PieceLimits {
  std::uint64_t fuel = 100'000'000'000;           ///< at most 2^62
  std::uint64_t memory_bytes = 512ULL << 20;      ///< growth beyond fails; at most 2 GiB
  std::uint64_t output_bytes_max = 256ULL << 20;
  std::uint64_t log_bytes_max = 64 << 10;         ///< what goes beyond is dropped
  unsigned cpu_seconds = 600;
  std::chrono::milliseconds wall = std::chrono::hours(4);  ///< it may be stopped most of the time
};

struct PieceWork {
  Program program;
  int input = -1;                       ///< a plain file, read from its beginning; or else
  ByteView input_bytes;                 ///< copied by start()
  int output = -1;                      ///< a plain file, empty; else one in memory is made
  std::vector<std::string> arguments;   ///< after the program's name
  std::uint64_t seed = 0;               ///< of what random_get gives
  PieceLimits limits;
  std::string bwrap = "/usr/bin/bwrap";
};

enum class PieceEnd : std::uint8_t {
  exited,            ///< with `exit_code`
  trapped,           ///< out of bounds, division by zero, too deep a recursion...: `trap` says which
  out_of_fuel,
  out_of_memory,     ///< gave up (unreachable code) after it was refused memory, or needs more to begin with
  output_too_large,
  killed,            ///< by kill(), by the system, or for a call that no translated module makes
  timed_out,         ///< CPU or wall time
};
std::string_view to_string(PieceEnd end);
/// Whether every worker must come to the same end.
bool is_result(PieceEnd end);

struct PieceOutcome {
  PieceEnd end = PieceEnd::killed;
  int exit_code = 0;
  std::string trap;            ///< in words
  Descriptor output;           ///< a file of `output_bytes`; what counts only when it exited
  std::uint64_t output_bytes = 0;
  std::string log;
  std::uint64_t log_bytes_dropped = 0;
  /// Used: exactly, when it exited; all of the budget, when it ran out; as of its last call of the
  /// host, when it ended otherwise (a processor may be ahead of or behind the module's own count when
  /// it traps). 0 when the end is no result.
  std::uint64_t fuel = 0;
  Duration cpu{};              ///< with the sandbox's own, some milliseconds

  Result<Bytes> output_content() const;
};

class Piece {
 public:
  /// Errors: invalid (limits, arguments or files that make no sense), unavailable (no sandbox), io.
  static Result<Piece> start(const PieceWork& work);

  /// Of the running process, as of Sandboxed.
  pid_t group() const { return sandboxed_.group(); }
  std::optional<pid_t> process() { return sandboxed_.process(); }
  std::optional<Duration> cpu() { return sandboxed_.cpu(); }
  void stop() { sandboxed_.stop(); }
  void resume() { sandboxed_.resume(); }
  void kill() { sandboxed_.kill(); }

  /// Blocks until it has ended; kills it when its wall time is up. To be called once.
  /// Errors: unavailable (no sandbox, or this machine has not the memory or the disk that the limits
  /// promise), io.
  Result<PieceOutcome> wait();

 private:
  Piece(Sandboxed sandboxed, Descriptor report, Descriptor output, Descriptor log, const PieceLimits& limits)
      : sandboxed_(std::move(sandboxed)), report_(std::move(report)), output_(std::move(output)),
        log_(std::move(log)), limits_(limits) {}

  Sandboxed sandboxed_;
  Descriptor report_, output_, log_;
  PieceLimits limits_;
};

}  // namespace spatter::cycles
