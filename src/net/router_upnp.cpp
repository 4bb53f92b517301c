#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>

#include "router.h"

namespace spatter {
namespace {

constexpr int discovery_ms = 2000;
constexpr int conflict_code = 718;         // the port leads to another machine
constexpr int only_permanent_code = 725;   // the router knows no leases
constexpr unsigned ports_tried_max = 16;
constexpr const char* protocol = "TCP";

std::string reason(int code) {
  const char* text = strupnperror(code);
  return text ? text : fmt::format("error {}", code);
}

class UpnpRouter final : public Router {
 public:
  ~UpnpRouter() override {
    if (found_) FreeUPNPUrls(&urls_);
  }

  Result<void> open() {
    int error = 0;
    UPNPDev* devices = upnpDiscover(discovery_ms, nullptr, nullptr, 0, 0, 2, &error);
    const int kind = devices ? UPNP_GetValidIGD(devices, &urls_, &data_, inside_, sizeof inside_) : 0;
    freeUPNPDevlist(devices);
    found_ = kind != 0;
    if (kind != 1) return fail(Errc::unavailable, "UPnP: no router that is connected answers");
    return {};
  }

  Result<Address> map(std::uint16_t port, Duration lease) override {
    char outside[64] = {};
    if (const int code = UPNP_GetExternalIPAddress(urls_.controlURL, data_.first.servicetype, outside);
        code != UPNPCOMMAND_SUCCESS)
      return fail(Errc::unavailable, "UPnP: the router does not tell its address: {}", reason(code));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(lease).count();
    if (external_port_ == 0) external_port_ = port;
    // Another machine of this home may have the port already.
    for (unsigned tried = 0; tried < ports_tried_max; ++tried) {
      int code = add(external_port_, port, std::to_string(seconds));
      if (code == only_permanent_code) code = add(external_port_, port, "0");
      if (code == UPNPCOMMAND_SUCCESS) return Address{outside, external_port_};
      if (code != conflict_code)
        return fail(Errc::unavailable, "UPnP: the router refuses: {}", reason(code));
      external_port_ = external_port_ == 65535 ? 1024 : static_cast<std::uint16_t>(external_port_ + 1);
    }
    return fail(Errc::unavailable, "UPnP: {} ports are taken at the router", ports_tried_max);
  }

  Result<void> unmap(std::uint16_t) override {
    const auto outside = std::to_string(external_port_);
    const int code = UPNP_DeletePortMapping(urls_.controlURL, data_.first.servicetype,
                                            outside.c_str(), protocol, nullptr);
    if (code != UPNPCOMMAND_SUCCESS)
      return fail(Errc::unavailable, "UPnP: the router refuses: {}", reason(code));
    return {};
  }

  std::string name() const override { return "UPnP"; }

 private:
  int add(std::uint16_t outside, std::uint16_t inside, const std::string& seconds) {
    return UPNP_AddPortMapping(urls_.controlURL, data_.first.servicetype,
                               std::to_string(outside).c_str(), std::to_string(inside).c_str(),
                               inside_, "spatter", protocol, nullptr, seconds.c_str());
  }

  UPNPUrls urls_{};
  IGDdatas data_{};
  char inside_[64] = {};
  bool found_ = false;
  std::uint16_t external_port_ = 0;
};

}  // namespace

Result<std::unique_ptr<Router>> find_upnp_router() {
  auto router = std::make_unique<UpnpRouter>();
  TRY_VOID(router->open());
  return router;
}

}  // namespace spatter
