#include <arpa/inet.h>
#include <natpmp.h>
#include <poll.h>

#include <chrono>

#include "router.h"

namespace spatter {
namespace {

constexpr auto answer_within = std::chrono::seconds(2);

class NatPmpRouter final : public Router {
 public:
  explicit NatPmpRouter(const std::atomic<bool>& give_up) : give_up_(give_up) {}
  ~NatPmpRouter() override {
    if (open_) closenatpmp(&state_);
  }

  Result<void> open() {
    const int result = initnatpmp(&state_, 0, 0);
    open_ = state_.s > 0;  // also when it failed
    if (result != 0) return fail(Errc::not_found, "this machine has no router");
    TRY(host_, outside());
    return {};
  }

  Result<Address> map(std::uint16_t port, Duration lease) override {
    TRY(host_, outside());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(lease).count();
    TRY(const auto answer, request(port, static_cast<std::uint32_t>(seconds)));
    return Address{host_, answer.pnu.newportmapping.mappedpublicport};
  }

  Result<void> unmap(std::uint16_t port) override {
    TRY_VOID(request(port, 0));
    return {};
  }

  std::string name() const override { return "NAT-PMP"; }

 private:
  Result<std::string> outside() {
    if (sendpublicaddressrequest(&state_) < 0)
      return fail(Errc::unavailable, "NAT-PMP: the router cannot be asked");
    TRY(const auto answer, await(NATPMP_RESPTYPE_PUBLICADDRESS));
    char text[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, &answer.pnu.publicaddress.addr, text, sizeof text);
    return std::string(text);
  }

  /// A lifetime of 0 takes the mapping back.
  Result<natpmpresp_t> request(std::uint16_t port, std::uint32_t seconds) {
    if (sendnewportmappingrequest(&state_, NATPMP_PROTOCOL_TCP, port, seconds == 0 ? 0 : port,
                                  seconds) < 0)
      return fail(Errc::unavailable, "NAT-PMP: the router cannot be asked");
    return await(NATPMP_RESPTYPE_TCPPORTMAPPING);
  }

  Result<natpmpresp_t> await(int kind) {
    const auto until = std::chrono::steady_clock::now() + answer_within;
    natpmpresp_t answer{};
    for (;;) {
      timeval wait{};
      getnatpmprequesttimeout(&state_, &wait);
      const int wait_ms = static_cast<int>(wait.tv_sec * 1000 + wait.tv_usec / 1000);
      pollfd poll{state_.s, POLLIN, 0};
      ::poll(&poll, 1, std::clamp(wait_ms, 1, 200));
      const int result = readnatpmpresponseorretry(&state_, &answer);
      if (result == 0 && answer.type == kind) return answer;
      if (result != 0 && result != NATPMP_TRYAGAIN)
        return fail(Errc::unavailable, "NAT-PMP: the router refuses ({})", result);
      if (give_up_ || std::chrono::steady_clock::now() > until)
        return fail(Errc::unavailable, "NAT-PMP: the router does not answer");
    }
  }

  const std::atomic<bool>& give_up_;
  natpmp_t state_{};
  bool open_ = false;
  std::string host_;
};

}  // namespace

Result<std::unique_ptr<Router>> find_nat_pmp_router(const std::atomic<bool>& give_up) {
  auto router = std::make_unique<NatPmpRouter>(give_up);
  TRY_VOID(router->open());
  return router;
}

}  // namespace spatter
