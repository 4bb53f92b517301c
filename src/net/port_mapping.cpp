#include "net/port_mapping.h"

#include <asio/ip/address_v4.hpp>
#include <asio/post.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "router.h"

namespace spatter {
namespace {

class RouterMapping final : public PortMapping {
 public:
  RouterMapping(Runtime& runtime, PortMappingOptions options) : runtime_(runtime), options_(options) {}
  ~RouterMapping() override { finish(); }

  void start(std::uint16_t port, std::function<void()> changed) override {
    SPATTER_ASSERT(!thread_.joinable());
    shown_->changed = std::move(changed);
    thread_ = std::thread([this, port] { keep(port); });
  }

  std::optional<Address> external() const override { return shown_->address; }

  Task<void> stop() override {
    shown_->changed = nullptr;
    shown_->address.reset();
    co_await runtime_.blocking([this] { finish(); });
  }

 private:
  /// The executor's side.
  struct Shown {
    std::optional<Address> address;
    std::function<void()> changed;
  };

  void finish() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  /// False when it is time to end.
  bool wait(Duration duration) {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, duration, [this] { return stopping_.load(); });
  }

  void keep(std::uint16_t port) {
    std::unique_ptr<Router> router;
    Duration retry = options_.retry_min;
    std::string last_failure;
    do {
      if (!router) router = find();
      auto address = router ? router->map(port, options_.lease)
                            : Result<Address>(fail(Errc::unavailable, "no router answers"));
      if (address && is_public_ipv4(address->host)) {
        show(*address, router->name());
        retry = options_.retry_min;
        continue;
      }
      if (address) address = fail(Errc::unavailable, "the router's own address, {}, is a private one", address->host);
      if (last_failure != address.error().message) {
        last_failure = address.error().message;
        runtime_.log().info("no way in through the router: {}", last_failure);
      }
      if (router) (void)router->unmap(port);
      router.reset();
      show({}, {});
      if (!wait(retry)) return;
      retry = std::min(2 * retry, options_.retry_max);
    } while (router ? wait(options_.renew) : !stopping_);
    if (!router) return;
    if (auto gone = router->unmap(port); !gone)
      runtime_.log().info("port mapping: {}", gone.error().message);
  }

  std::unique_ptr<Router> find() {
    auto router = find_nat_pmp_router(stopping_);
    if (!router && router.error().code != Errc::not_found && !stopping_) router = find_upnp_router();
    return router ? std::move(*router) : nullptr;
  }

  void show(std::optional<Address> address, std::string_view protocol) {
    if (address && shown_last_ != address)
      runtime_.log().info("the router ({}) lets others in at {}", protocol, address->text());
    if (shown_last_ == address) return;
    shown_last_ = address;
    asio::post(runtime_.executor(), [shown = shown_, address] {
      if (!shown->changed) return;
      shown->address = address;
      shown->changed();
    });
  }

  Runtime& runtime_;
  const PortMappingOptions options_;
  std::shared_ptr<Shown> shown_ = std::make_shared<Shown>();
  std::optional<Address> shown_last_;  // the thread's
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace

bool is_public_ipv4(std::string_view host) {
  asio::error_code error;
  const auto address = asio::ip::make_address_v4(host, error);
  if (error) return false;
  const std::uint32_t number = address.to_uint();
  const auto within = [number](std::uint32_t network, unsigned bits) {
    return number >> (32 - bits) == network >> (32 - bits);
  };
  return !within(0, 8) && !within(0x0a000000, 8) && !within(0x64400000, 10) &&
         !within(0x7f000000, 8) && !within(0xa9fe0000, 16) && !within(0xac100000, 12) &&
         !within(0xc0a80000, 16) && !within(0xe0000000, 3);
}

std::unique_ptr<PortMapping> make_port_mapping(Runtime& runtime, PortMappingOptions options) {
  return std::make_unique<RouterMapping>(runtime, options);
}

}  // namespace spatter
