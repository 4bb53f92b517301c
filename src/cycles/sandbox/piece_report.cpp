#include "cycles/piece_report.h"

namespace spatter::cycles {

namespace {

template <class Number>
Number number_at(ByteView bytes, std::size_t at) {
  Number value = 0;
  for (std::size_t i = sizeof value; i-- > 0;) value = static_cast<Number>(value << 8 | bytes[at + i]);
  return value;
}

/// wasm_rt_trap_t of inside/wasm-rt.h, and what inside/piece.c adds.
constexpr std::string_view traps[] = {
    "no trap", "out of bounds", "integer overflow", "division by zero",
    "conversion of what is no integer", "unreachable code", "call of what is not there or of another type",
    "exception", "stack exhausted", "recursion too deep"};
constexpr std::string_view breaks[] = {
    "nothing", "the machine has not the memory that the limits promise", "the native stack overflowed",
    "the input cannot be read or the output not be written", "a fault outside of the piece's memory"};

}  // namespace

std::string_view PieceReport::detail_in_words() const {
  if (end == End::broken) return detail < std::size(breaks) ? breaks[detail] : "unknown trouble";
  if (end == End::trapped) return detail < std::size(traps) ? traps[detail] : "unknown trap";
  return "";
}

Result<PieceReport> parse_piece_report(ByteView bytes) {
  if (bytes.size() != piece_report_bytes)
    return fail(Errc::invalid, "a piece's report of {} bytes instead of {}", bytes.size(), piece_report_bytes);
  if (as_text(bytes.first(4)) != "SPR1") return fail(Errc::invalid, "a piece's report of unknown form");
  PieceReport report;
  const auto end = number_at<std::uint32_t>(bytes, 4);
  if (end > static_cast<std::uint32_t>(PieceReport::End::broken))
    return fail(Errc::invalid, "a piece's report of an unknown end, {}", end);
  report.end = static_cast<PieceReport::End>(end);
  report.detail = number_at<std::uint32_t>(bytes, 8);
  report.exit_code = number_at<std::uint32_t>(bytes, 12);
  report.fuel = number_at<std::uint64_t>(bytes, 16);
  report.output_bytes = number_at<std::uint64_t>(bytes, 24);
  report.log_bytes_dropped = number_at<std::uint64_t>(bytes, 32);
  return report;
}

}  // namespace spatter::cycles
