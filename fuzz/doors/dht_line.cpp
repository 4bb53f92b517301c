// Whatever the rendezvous program says: refused, or a line within its bounds.
#include "doors/dht_line.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  const auto line = doors::parse_dht_line(as_text(ByteView(data, size)));
  if (!line) {
    SPATTER_ASSERT(!line.error().message.empty());
    return 0;
  }
  SPATTER_ASSERT(line->value.size() <= doors::dht_value_bytes_max);
  SPATTER_ASSERT((line->kind == doors::DhtLine::Kind::ready) == line->id.empty());
  return 0;
}
