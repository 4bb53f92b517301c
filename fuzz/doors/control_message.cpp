// A control message from whoever reached the socket: refused or understood, never more.
#include "doors/control.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto message = spatter::doors::parse_message({data, size});
  if (!message) return 0;
  (void)spatter::doors::binary_at(*message, "path");
  (void)spatter::doors::error_from(*message);
  return 0;
}
