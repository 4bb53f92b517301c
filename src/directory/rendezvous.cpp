#include "directory/rendezvous.h"

#include <asio/experimental/awaitable_operators.hpp>

#include "crypto/kdf.h"

namespace spatter {
namespace {

constexpr WallMs day_ms = 24LL * 3600 * 1000;
constexpr WallMs hour_ms = 3600 * 1000;

}  // namespace

PublicDht::Place rendezvous_place(const NetworkId& network, const ServerId& server, std::int64_t day) {
  const Key place = derive_key(rendezvous_key(network, server, day), "place");
  PublicDht::Place result;
  std::copy_n(place.bytes.begin(), result.size(), result.begin());
  return result;
}

Rendezvous::Rendezvous(Runtime& runtime, Rpc& rpc, Members& members, const Identity& identity,
                       std::shared_ptr<PublicDht> dht, RendezvousOptions options)
    : runtime_(runtime),
      rpc_(rpc),
      members_(members),
      identity_(identity),
      dht_(std::move(dht)),
      options_(options),
      judge_(identity.server, [this](const ServerId& id) { return members_.person_of(id).has_value(); }),
      wanted_(runtime.executor()),
      tasks_(runtime.executor()) {}

void Rendezvous::start() {
  subscription_ = members_.subscribe([this] {
    if (members_.own().addresses != told_) wanted_.set();
  });
  tasks_.spawn(publish_loop());
  tasks_.spawn(look_loop());
}

Task<void> Rendezvous::stop() {
  if (subscription_) members_.unsubscribe(std::exchange(subscription_, 0));
  co_await dht_->stop();
  co_await tasks_.stop();
}

std::int64_t Rendezvous::today() const { return runtime_.wall_ms() / day_ms; }

Task<void> Rendezvous::publish_loop() {
  using namespace asio::experimental::awaitable_operators;
  for (;;) {
    wanted_.reset();
    const WallMs now = runtime_.wall_ms();
    version_ = std::max(version_ + 1, static_cast<std::uint64_t>(std::max<WallMs>(now, 1)));
    told_ = members_.own().addresses;
    const Presence presence{identity_.server, version_, 0, told_};
    // Around midnight the others' clocks may be in the next day already, or still in the last.
    std::vector<std::int64_t> days{today()};
    if (now % day_ms > day_ms - hour_ms) days.push_back(today() + 1);
    bool failed = false;
    for (const std::int64_t day : presence.addresses.empty() ? std::vector<std::int64_t>{} : days) {
      const Key key = rendezvous_key(identity_.network, identity_.server, day);
      auto put = co_await dht_->put(rendezvous_place(identity_.network, identity_.server, day),
                                    seal_presence(identity_, presence, key, runtime_.entropy()));
      if (put) continue;
      failed = true;
      runtime_.log().debug("rendezvous: {}", put.error().message);
    }
    // The first moments after a start are for the DHT to find its way in.
    const Duration wait = failed || presence.addresses.empty() ? options_.look_every : options_.publish_every;
    co_await runtime_.sleep(options_.look_every / 2);
    co_await (wanted_.wait() || runtime_.sleep(wait));
  }
}

/// Members that are down for a while, those first that were looked for longest ago.
std::vector<ServerId> Rendezvous::missing() {
  const TimePoint now = runtime_.now();
  std::vector<std::pair<TimePoint, ServerId>> due;
  for (const Member& member : members_.others()) {
    if (member.up) {
      searches_.erase(member.id);
      continue;
    }
    const Search& search = searches_.try_emplace(member.id, Search{.next = member.since + options_.missing_after}).first->second;
    if (search.next <= now) due.emplace_back(search.next, member.id);
  }
  std::ranges::sort(due);
  if (due.size() > options_.looked_up_at_a_time) due.resize(options_.looked_up_at_a_time);
  std::vector<ServerId> ids;
  for (const auto& [when, id] : due) ids.push_back(id);
  return ids;
}

Task<void> Rendezvous::look_loop() {
  for (;;) {
    co_await runtime_.sleep(options_.look_every);
    for (const ServerId& id : missing()) {
      Search& search = searches_[id];
      search.wait = std::clamp(2 * search.wait, options_.again_min, options_.again_max);
      search.next = runtime_.now() + search.wait;
      co_await look_up(id);
    }
  }
}

Task<void> Rendezvous::look_up(ServerId id) {
  for (const std::int64_t day : {today(), today() - 1}) {
    auto values = co_await dht_->get(rendezvous_place(identity_.network, id, day));
    if (!values) {
      runtime_.log().debug("rendezvous: server {}: {}", id, values.error().message);
      co_return;
    }
    const Key key = rendezvous_key(identity_.network, id, day);
    std::optional<Presence> newest;
    for (std::size_t i = 0; i < values->size() && i < options_.values_judged_max; ++i) {
      auto presence = open_presence((*values)[i], key, identity_.network);
      if (!presence || presence->server != id) continue;
      if (judge_.judge(*presence, runtime_.wall_ms(), options_.age_max)) newest = std::move(*presence);
    }
    if (!newest) continue;
    runtime_.log().info("server {} has told where it is through the public DHT", id);
    // The best was first, and the last hint is tried first.
    constexpr std::size_t used_max = 4;
    if (newest->addresses.size() > used_max) newest->addresses.resize(used_max);
    for (auto address = newest->addresses.rbegin(); address != newest->addresses.rend(); ++address)
      rpc_.add_hint(id, *address);
    co_return;
  }
}

}  // namespace spatter
