// Datagrams by UDP multicast on every link of this machine: 239.192.48.40 and ff02::4840, one hop,
// port 4840. Several servers of one machine hear each other too.
#pragma once

#include <memory>

#include "base/datagrams.h"
#include "base/runtime.h"

namespace spatter {

inline constexpr std::uint16_t multicast_port = 4840;
inline constexpr std::size_t datagram_bytes_max = 1400;

/// Errc::io when neither IPv4 nor IPv6 can be had. `runtime` outlives it.
Result<std::shared_ptr<Datagrams>> make_multicast(Runtime& runtime);

}  // namespace spatter
