#include "base/transport.h"

namespace spatter {

Task<Result<std::shared_ptr<Connection>>> Transport::meet(Meeting meeting, TimePoint) {
  co_return fail(Errc::unavailable, "{}: this transport knows no relays", meeting.relay.text());
}

Task<Result<std::uint64_t>> Transport::relay(std::array<RelayTicket, 2>, ByteRates, TimePoint) {
  co_return fail(Errc::unavailable, "this transport does not relay");
}

}  // namespace spatter
