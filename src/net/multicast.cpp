#include "net/multicast.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <asio/ip/multicast.hpp>
#include <asio/ip/udp.hpp>
#include <asio/ip/v6_only.hpp>
#include <set>

#include "base/sync.h"

namespace spatter {
namespace {

using asio::ip::udp;

const auto group_v4 = asio::ip::make_address_v4("239.192.48.40");
const auto group_v6 = asio::ip::make_address_v6("ff02::4840");
constexpr std::size_t queued_max = 64;

/// The links that multicast makes sense on.
std::set<unsigned> links() {
  std::set<unsigned> found;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return found;
  for (const ifaddrs* one = first; one; one = one->ifa_next) {
    constexpr unsigned wanted = IFF_UP | IFF_MULTICAST;
    if (one->ifa_addr && (one->ifa_flags & (wanted | IFF_LOOPBACK)) == wanted)
      found.insert(::if_nametoindex(one->ifa_name));
  }
  ::freeifaddrs(first);
  return found;
}

class Multicast final : public Datagrams, public std::enable_shared_from_this<Multicast> {
 public:
  explicit Multicast(Runtime& runtime)
      : v4_(runtime.executor()), v6_(runtime.executor()), changed_(runtime.executor()) {}

  Result<void> open() {
    const bool has_v4 = bind(v4_, udp::endpoint(udp::v4(), multicast_port));
    const bool has_v6 = bind(v6_, udp::endpoint(udp::v6(), multicast_port));
    if (!has_v4 && !has_v6)
      return fail(Errc::io, "UDP port {} cannot be listened to", multicast_port);
    if (has_v4) hear(v4_, from_v4_, space_v4_);
    if (has_v6) hear(v6_, from_v6_, space_v6_);
    return {};
  }

  void send(Bytes bytes) override {
    asio::error_code ignored;
    for (const unsigned link : links()) {
      join(link);
      if (v4_.is_open()) {
        const ip_mreqn out{.imr_multiaddr = {}, .imr_address = {}, .imr_ifindex = static_cast<int>(link)};
        setsockopt(v4_.native_handle(), IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out);
        v4_.send_to(asio::buffer(bytes), udp::endpoint(group_v4, multicast_port), 0, ignored);
      }
      if (v6_.is_open()) {
        auto group = group_v6;
        group.scope_id(link);
        v6_.send_to(asio::buffer(bytes), udp::endpoint(group, multicast_port), 0, ignored);
      }
    }
  }

  Task<Result<Datagram>> receive() override {
    auto self = shared_from_this();
    while (queue_.empty()) {
      if (stopped_) co_return fail(Errc::cancelled, "multicast is stopped");
      changed_.reset();
      co_await changed_.wait();
    }
    Datagram first = std::move(queue_.front());
    queue_.pop_front();
    co_return first;
  }

  void stop() override {
    stopped_ = true;
    asio::error_code ignored;
    v4_.close(ignored);
    v6_.close(ignored);
    changed_.set();
  }

 private:
  static bool bind(udp::socket& socket, const udp::endpoint& endpoint) {
    asio::error_code error;
    socket.open(endpoint.protocol(), error);
    if (!error && endpoint.address().is_v6()) socket.set_option(asio::ip::v6_only(true), error);
    if (!error) socket.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) socket.set_option(asio::ip::multicast::hops(1), error);
    if (!error) socket.bind(endpoint, error);
    if (!error) socket.non_blocking(true, error);
    asio::error_code ignored;
    if (error) socket.close(ignored);
    return !error;
  }

  /// Links come and go: joined when they are first sent to. Joining twice is an error of no account.
  void join(unsigned link) {
    asio::error_code ignored;
    if (v4_.is_open()) {
      ip_mreqn request{.imr_multiaddr = {}, .imr_address = {}, .imr_ifindex = static_cast<int>(link)};
      request.imr_multiaddr.s_addr = htonl(group_v4.to_uint());
      setsockopt(v4_.native_handle(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
    }
    if (v6_.is_open())
      v6_.set_option(asio::ip::multicast::join_group(group_v6, link), ignored);
  }

  void hear(udp::socket& socket, udp::endpoint& from, std::array<std::uint8_t, datagram_bytes_max>& space) {
    socket.async_receive_from(
        asio::buffer(space), from,
        [self = shared_from_this(), &socket, &from, &space](asio::error_code error, std::size_t count) {
          if (self->stopped_ || error == asio::error::operation_aborted) return;
          if (!error && count > 0 && self->queue_.size() < queued_max) {
            self->queue_.push_back({Buffer::copy_of(ByteView(space.data(), count)),
                                    from.address().to_string()});
            self->changed_.set();
          }
          self->hear(socket, from, space);
        });
  }

  udp::socket v4_;
  udp::socket v6_;
  udp::endpoint from_v4_, from_v6_;
  std::array<std::uint8_t, datagram_bytes_max> space_v4_, space_v6_;
  std::deque<Datagram> queue_;
  Event changed_;
  bool stopped_ = false;
};

}  // namespace

Result<std::shared_ptr<Datagrams>> make_multicast(Runtime& runtime) {
  auto made = std::make_shared<Multicast>(runtime);
  TRY_VOID(made->open());
  return made;
}

}  // namespace spatter
