#include "directory/lan_finder.h"

#include <asio/experimental/awaitable_operators.hpp>

namespace spatter {

LanFinder::LanFinder(Runtime& runtime, Rpc& rpc, Members& members, const Identity& identity,
                     std::shared_ptr<Datagrams> datagrams, std::uint16_t port, LanOptions options)
    : runtime_(runtime),
      rpc_(rpc),
      members_(members),
      identity_(identity),
      datagrams_(std::move(datagrams)),
      port_(port),
      options_(options),
      key_(lan_key(identity.network)),
      judge_(identity.server, [this](const ServerId& id) { return members_.person_of(id).has_value(); }),
      wanted_(runtime.executor()),
      tasks_(runtime.executor()) {}

void LanFinder::start() {
  subscription_ = members_.subscribe([this] {
    if (members_.own().addresses != told_) announce_soon();
  });
  tasks_.spawn(announce_loop());
  tasks_.spawn(listen_loop());
}

Task<void> LanFinder::stop() {
  if (subscription_) members_.unsubscribe(std::exchange(subscription_, 0));
  datagrams_->stop();
  co_await tasks_.stop();
}

Task<void> LanFinder::announce_loop() {
  using namespace asio::experimental::awaitable_operators;
  for (;;) {
    wanted_.reset();
    version_ = std::max(version_ + 1, static_cast<std::uint64_t>(std::max<WallMs>(runtime_.wall_ms(), 1)));
    told_ = members_.own().addresses;
    const Presence presence{identity_.server, version_, port_, told_};
    datagrams_->send(seal_presence(identity_, presence, key_, runtime_.entropy()));
    const double jitter = 0.5 + runtime_.chance().unit();
    co_await runtime_.sleep(options_.announce_interval_min);
    co_await (wanted_.wait() ||
              runtime_.sleep(std::chrono::duration_cast<Duration>(options_.announce_every * jitter)));
  }
}

Task<void> LanFinder::listen_loop() {
  for (;;) {
    auto datagram = co_await datagrams_->receive();
    if (!datagram) co_return;
    if (take_allowance()) hear(*datagram);
  }
}

bool LanFinder::take_allowance() {
  const TimePoint now = runtime_.now();
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    heard_this_second_ = 0;
  }
  return ++heard_this_second_ <= options_.datagrams_per_s;
}

void LanFinder::hear(const Datagram& datagram) {
  auto presence = open_presence(datagram.bytes, key_, identity_.network);
  if (!presence) return;  // of another network, or anything at all
  if (auto good = judge_.judge(*presence, runtime_.wall_ms(), options_.age_max); !good) return;
  const PeerMeasure measure = rpc_.measure(presence->server);
  if (measure.up && !measure.relayed) return;
  // Nothing in it but the port is better than where it came from.
  const Address address{datagram.host, presence->port};
  if (presence->port != 0 && Address::parse(address.text())) {
    runtime_.log().debug("server {} is on the local network at {}", presence->server, address.text());
    rpc_.add_hint(presence->server, address);
  }
  announce_soon();  // it may look for us as well
}

}  // namespace spatter
