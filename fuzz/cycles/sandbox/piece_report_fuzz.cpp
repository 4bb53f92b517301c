// What a process that ran foreign code says of its end: any bytes are either refused or read as something
// that can be told.
#include "cycles/piece_report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter::cycles;
  const auto report = parse_piece_report({data, size});
  if (!report) return 0;
  SPATTER_ASSERT(size == piece_report_bytes);
  SPATTER_ASSERT(report->end <= PieceReport::End::broken);
  SPATTER_ASSERT(report->detail_in_words().size() < 100);
  return 0;
}
