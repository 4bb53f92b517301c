// What a router can be asked, blocking: the two protocols behind PortMapping.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "base/transport.h"

namespace spatter {

class Router {
 public:
  virtual ~Router() = default;
  /// The outside address that now leads to `port` of this machine, for `lease`. The same again renews.
  virtual Result<Address> map(std::uint16_t port, Duration lease) = 0;
  virtual Result<void> unmap(std::uint16_t port) = 0;
  virtual std::string name() const = 0;
};

/// Errc::unavailable when no router answers in this protocol, not_found when there is no router to be
/// asked. `give_up` is looked at while waiting.
Result<std::unique_ptr<Router>> find_nat_pmp_router(const std::atomic<bool>& give_up);
Result<std::unique_ptr<Router>> find_upnp_router();

}  // namespace spatter
