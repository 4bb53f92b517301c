// A way in through the home's router: a port of its outside address that leads to this server, asked
// for by NAT-PMP (RFC 6886) or UPnP's Internet Gateway Device protocol, whichever the router speaks.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/runtime.h"
#include "base/transport.h"

namespace spatter {

/// All calls on the executor.
class PortMapping {
 public:
  virtual ~PortMapping() = default;
  /// Asks for `port`, and keeps asking. `changed` runs on the executor when external() is another.
  virtual void start(std::uint16_t port, std::function<void()> changed) = 0;
  /// Where the router lets others in; nothing while it does not.
  virtual std::optional<Address> external() const = 0;
  /// Takes the mapping back, as far as the router answers within some seconds.
  virtual Task<void> stop() = 0;
};

struct PortMappingOptions {
  Duration lease = std::chrono::hours(1);
  Duration renew = std::chrono::minutes(15);
  Duration retry_min = std::chrono::seconds(30);  ///< after a failure, doubling
  Duration retry_max = std::chrono::minutes(15);
};

/// Works on a thread of its own: routers take seconds to answer, or never do. `runtime` outlives it.
std::unique_ptr<PortMapping> make_port_mapping(Runtime& runtime, PortMappingOptions options = {});

/// Whether an IPv4 address can be reached from everywhere, as far as its number says: what a router
/// behind another router calls its outside is not.
bool is_public_ipv4(std::string_view host);

}  // namespace spatter
