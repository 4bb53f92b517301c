// What comes to a listener in place of TLS, and what members may ask of a relay: refused, or exactly
// what was written.
#include "net/methods.h"
#include "relay_link.h"
#include "wire/proto/relay.pb.h"

using namespace spatter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (auto ticket = parse_relay_opening(bytes))
    SPATTER_ASSERT(std::ranges::equal(relay_opening(*ticket), bytes));
  wire::RelayOpenRequest open;
  if (open.ParseFromArray(data, static_cast<int>(size)))
    if (auto target = ServerId::from(open.target())) SPATTER_ASSERT(target->raw() == open.target());
  wire::RelayAskRequest ask;
  if (ask.ParseFromArray(data, static_cast<int>(size))) {
    (void)ServerId::from(ask.dialler());
    (void)RelayTicket::from(ask.ticket());
  }
  wire::ReachProbeReply reply;
  (void)reply.ParseFromArray(data, static_cast<int>(size));
  return 0;
}
