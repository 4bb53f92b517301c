// What a piece's process says of its end, in 40 bytes, little-endian: "SPR1", then as 32-bit numbers
// the end, a detail of it and the exit code, then as 64-bit numbers the fuel used, the bytes written to
// the output and the bytes of the log that were dropped. The process ran foreign code: what it says is
// as untrusted as that.
#pragma once

#include "base/bytes.h"
#include "base/error.h"

namespace spatter::cycles {

inline constexpr std::size_t piece_report_bytes = 40;

struct PieceReport {
  /// As inside/piece.c has them.
  enum class End : std::uint32_t { exited, trapped, out_of_fuel, out_of_memory, output_too_large, broken };
  End end = End::broken;
  std::uint32_t detail = 0;
  std::uint32_t exit_code = 0;
  std::uint64_t fuel = 0;
  std::uint64_t output_bytes = 0;
  std::uint64_t log_bytes_dropped = 0;

  /// The trap, or what broke, in words.
  std::string_view detail_in_words() const;
};

/// Pure. Errors: invalid.
Result<PieceReport> parse_piece_report(ByteView bytes);

}  // namespace spatter::cycles
