// What `spatter chance verify` reads, JSON or binary, explained: never more than a report.
#include "doors/chance_report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  const auto parsed = doors::parse_chance({data, size});
  if (!parsed) return 0;
  doors::ChanceUse use;
  use.choose = 3;
  use.of = 10;
  use.lot = {2, 3, 10};
  use.aging = {5, 10};
  const doors::ChanceReport report = doors::explain_chance(*parsed, use);
  SPATTER_ASSERT(!report.steps.empty() && report.facts["holds"] == !report.wrong);
  // What was understood is written so that it is understood again.
  const std::string json = doors::chance_json(parsed->record).dump();
  const auto again = doors::parse_chance(as_bytes(json));
  SPATTER_ASSERT(again && write_chance_file(again->record) == write_chance_file(parsed->record));
  return 0;
}
