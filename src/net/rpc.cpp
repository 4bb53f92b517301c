#include "net/rpc.h"

#include <algorithm>

#include "net/methods.h"
#include "rpc_impl.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr Duration settled_after = 5s;       // a connection that stood so long was no failure
constexpr Duration reconnect_jitter = 50ms;  // after a loss, before the first new attempt

}  // namespace

// ---- peers and their sessions

std::shared_ptr<Rpc::Impl::Peer> Rpc::Impl::peer(const ServerId& id) {
  auto& found = peers_[id];
  if (!found) {
    found = std::make_shared<Peer>(runtime.executor());
    found->id = id;
  }
  return found;
}

std::shared_ptr<Session> Rpc::Impl::usable(const Peer& peer, std::uint16_t method) const {
  std::shared_ptr<Session> best;
  for (const auto& session : peer.sessions) {
    if (!session->usable_for(method)) continue;
    if (!best || (best->joining() && !session->joining()) ||
        (best->joining() == session->joining() && session->preferred_to(*best)))
      best = session;
  }
  return best;
}

void Rpc::Impl::adopt(const std::shared_ptr<Session>& session) {
  if (const auto* bar = barred(session->peer()))
    return session->end({Errc::denied, fmt::format("server {} is refused: {}", session->peer(), bar->why)});
  auto to = peer(session->peer());
  session->measures = to->measures;
  // A peer that was restarted has forgotten its old connections, whether we have heard or not.
  for (const auto& old : auto(to->sessions))
    if (old->peer_instance() != session->peer_instance())
      old->end({Errc::unavailable, fmt::format("server {} was restarted", to->id)});
  to->sessions.push_back(session);
  if (!session->relayed()) to->upgrade_wait = {};
  settle(*to);
  update_up(*to);
  to->changed.wake_all();
  tasks_.spawn(Session::read(session));
  tasks_.spawn(Session::write(session));
}

/// Of several connections to one peer, all but one are phased out; both ends choose the same one.
void Rpc::Impl::settle(Peer& peer) {
  std::shared_ptr<Session> best;
  for (const auto& session : peer.sessions)
    if (!session->joining() && (!best || session->preferred_to(*best))) best = session;
  for (const auto& session : auto(peer.sessions))
    if (best && session != best) session->retire();
}

void Rpc::Impl::session_ended(const std::shared_ptr<Session>& session) {
  greeting_.erase(session);
  const auto found = peers_.find(session->peer());
  if (found == peers_.end()) return;
  auto from = found->second;
  if (std::erase(from->sessions, session) == 0) return;
  update_up(*from);
  if (stopping_ || session->joining() || !from->sessions.empty()) return;
  if (runtime.now() - session->established() >= settled_after) from->failed_dials = 0;
  from->measures->failures.add(runtime.now());
  const Duration jitter(static_cast<std::int64_t>(runtime.chance().below(reconnect_jitter.count())));
  from->retry_at = runtime.now() + (from->failed_dials == 0 ? jitter : backoff(from->failed_dials));
  ++from->failed_dials;
  schedule_dial(from);
}

void Rpc::Impl::update_up(Peer& peer) {
  const bool up = std::ranges::any_of(peer.sessions, [](const auto& s) { return !s->joining(); });
  if (std::exchange(peer.up, up) == up) return;
  runtime.log().info("server {} is {}", peer.id, up ? "up" : "down");
  asio::post(runtime.executor(), [weak = weak_from_this(), id = peer.id, up] {
    auto self = weak.lock();
    if (self && self->owner_ && self->owner_->on_reachability) self->owner_->on_reachability(id, up);
  });
}

// ---- calls

Task<Result<RpcReply>> Rpc::Impl::call(ServerId server, RpcRequest request, CallOptions options) {
  auto self = shared_from_this();
  if (request.payload.size() > rpc_payload_bytes_max || request.body.size() > rpc_body_bytes_max)
    co_return fail(Errc::invalid, "{}: the request is too large ({} and {} bytes)",
                   method_name(request.method), request.body.size(), request.payload.size());
  if (network_.is_zero() && !is_join_method(request.method))
    co_return fail(Errc::denied, "{}: this server is in no network yet", method_name(request.method));
  const TimePoint deadline = runtime.now() + options.timeout;
  if (const auto* bar = barred(server))
    co_return fail(Errc::denied, "server {} is refused: {}", server, bar->why);
  auto to = peer(server);
  for (;;) {
    if (stopping_) co_return fail(Errc::cancelled, "this server is stopping");
    auto session = usable(*to, request.method);
    if (!session) {
      CO_TRY(session, co_await with_deadline(runtime, deadline, fmt::format("server {}", server),
                                             session_to(self, to, request.method)));
    }
    auto result = co_await session->call(request, options, deadline);
    if (result) co_return std::move(*result);
  }
}

Task<Result<std::pair<ServerId, RpcReply>>> Rpc::Impl::call_address(Address address,
                                                                    ServerId expected,
                                                                    RpcRequest request,
                                                                    CallOptions options) {
  auto self = shared_from_this();
  if (request.payload.size() > rpc_payload_bytes_max || request.body.size() > rpc_body_bytes_max)
    co_return fail(Errc::invalid, "{}: the request is too large", method_name(request.method));
  const TimePoint deadline = runtime.now() + options.timeout;
  std::shared_ptr<Session> session;
  for (const auto& [id, peer] : peers_)
    for (const auto& open : peer->sessions)
      if (open->usable_for(request.method) &&
          (expected.is_zero() ? open->dialled == address : id == expected))
        session = open;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (stopping_) co_return fail(Errc::cancelled, "this server is stopping");
    if (!session) {
      const TimePoint until = std::min(deadline, runtime.now() + this->options.connect_timeout);
      CO_TRY(session, co_await open(self, address, expected, until));
      if (stopping_) {
        session->end({Errc::cancelled, "this server is stopping"});
        co_return fail(Errc::cancelled, "this server is stopping");
      }
      adopt(session);
      if (!session->usable_for(request.method) && session->joining())
        co_return fail(Errc::denied, "{} at {}: only members of one network may call {}",
                       session->peer(), address.text(), method_name(request.method));
      // Phased out at once because another connection to the same peer stands: use that.
      if (!session->usable_for(request.method)) session = usable(*peer(session->peer()), request.method);
      if (!session) continue;
    }
    auto result = co_await session->call(request, options, deadline);
    if (result) {
      if (!*result) co_return fail(std::move(*result).error());
      co_return std::pair{session->peer(), std::move(**result)};
    }
    session = nullptr;
  }
  co_return fail(Errc::unavailable, "{}: the connection ended", address.text());
}

// ---- the rest

Result<Address> Rpc::Impl::listen(const Address& address) {
  return transport_.listen(address, [weak = weak_from_this()](std::shared_ptr<Connection> made) {
    auto self = weak.lock();
    if (!self) return made->close();
    self->take(std::move(made));
  });
}

void Rpc::Impl::set_network(NetworkId network) {
  if (network_ == network) return;
  network_ = network;
  for (const auto& [id, peer] : auto(peers_))
    for (const auto& session : auto(peer->sessions))
      session->end({Errc::unavailable, "this server has changed its network"});
}

void Rpc::Impl::set_addresses(const ServerId& id, std::vector<Address> addresses,
                              std::vector<ServerId> relays) {
  auto to = peer(id);
  if (to->addresses == addresses && to->relays == relays) return;
  if (to->addresses != addresses) to->upgrade_at = runtime.now();
  to->addresses = std::move(addresses);
  to->relays = std::move(relays);
  to->retry_at = runtime.now();
  to->failed_dials = 0;
  if (to->has_ways())
    schedule_dial(to);
  else
    to->retry = {};
}

void Rpc::Impl::add_hint(const ServerId& id, Address address) {
  constexpr std::size_t hints_max = 4;
  const auto found = peers_.find(id);
  if (found == peers_.end() || !found->second->has_ways()) return;
  Peer& to = *found->second;
  const bool known = std::ranges::find(to.addresses, address) != to.addresses.end() ||
                     std::ranges::find(to.hints, address) != to.hints.end();
  if (!known) {
    to.hints.insert(to.hints.begin(), std::move(address));
    if (to.hints.size() > hints_max) to.hints.pop_back();
    to.upgrade_at = runtime.now();
  }
  to.retry_at = runtime.now();
  to.failed_dials = 0;
  schedule_dial(found->second);
}

void Rpc::Impl::take(std::shared_ptr<Connection> connection) {
  if (stopping_) return connection->close();
  tasks_.spawn(accept(shared_from_this(), std::move(connection)));
}

std::vector<Address> Rpc::Impl::ways_to(const ServerId& id) const {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return {};
  for (const auto& session : found->second->sessions)
    if (session->dialled && !session->relayed()) return {*session->dialled};
  return found->second->addresses;
}

void Rpc::Impl::bar(const ServerId& id, std::string why, std::string proof) {
  const auto& bar = bars_.insert_or_assign(id, Bar{std::move(why), std::move(proof)}).first->second;
  set_addresses(id, {}, {});
  peer(id)->hints.clear();
  for (const auto& session : auto(peer(id)->sessions))
    session->end({Errc::denied, fmt::format("server {} is refused: {}", id, bar.why)});
}

void Rpc::Impl::barred_by(const ServerId& peer, std::string proof) {
  asio::post(runtime.executor(), [weak = weak_from_this(), peer, proof = std::move(proof)] {
    auto self = weak.lock();
    if (self && self->owner_ && self->owner_->on_barred) self->owner_->on_barred(peer, proof);
  });
}

PeerMeasure Rpc::Impl::measure(const ServerId& id) const {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return {};
  const Peer& peer = *found->second;
  PeerMeasure measure;
  measure.up = peer.up;
  measure.relayed = peer.relayed();
  if (auto seconds = peer.measures->round_trip_s.value())
    measure.round_trip = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds));
  measure.send_bytes_per_s = peer.measures->send_bytes_per_s.value();
  measure.receive_bytes_per_s = peer.measures->receive_bytes_per_s.value();
  measure.failures = peer.measures->failures.value(runtime.now());
  return measure;
}

std::vector<ServerId> Rpc::Impl::connected() const {
  std::vector<ServerId> ids;
  for (const auto& [id, peer] : peers_)
    if (peer->up) ids.push_back(id);
  return ids;
}

Task<void> Rpc::Impl::tick(std::weak_ptr<Impl> weak, Runtime& runtime, Duration every) {
  for (;;) {
    co_await runtime.sleep(every);
    auto self = weak.lock();
    if (!self) co_return;
    self->tick_once();
  }
}

void Rpc::Impl::tick_once() {
  const TimePoint now = runtime.now();
  for (const auto& [id, peer] : auto(peers_)) {
    for (const auto& session : auto(peer->sessions)) {
      session->tick();
      const Duration idle_max = session->joining() ? options.idle_max / 5 : options.idle_max;
      const bool wanted = peer->has_ways() && !session->joining();
      if (!session->over() && session->idle() && !wanted && now - session->last_used() > idle_max)
        session->retire();
    }
    // Two references: peers_ and the copy above; more: somebody waits.
    upgrade_if_due(peer);
    if (peer->sessions.empty() && !peer->has_ways() && !peer->dialling &&
        peer->changed.empty() && peer.use_count() == 2 && peer->measures->failures.value(now) < 0.1)
      peers_.erase(id);
  }
}

Task<void> Rpc::Impl::stop() {
  auto self = shared_from_this();
  if (!std::exchange(stopping_, true)) {
    for (const auto& session : auto(greeting_)) session->end({Errc::cancelled, "this server is stopping"});
    for (const auto& [id, peer] : auto(peers_)) {
      peer->retry = {};
      for (const auto& session : auto(peer->sessions))
        session->end({Errc::cancelled, "this server is stopping"});
      peer->changed.wake_all();
    }
  }
  co_await tasks_.stop();
  while (handlers_running != 0) co_await handlers_idle.wait();
}

Rpc::Rpc(Runtime& runtime, Transport& transport, NetworkId network, RpcOptions options)
    : impl_(std::make_shared<Impl>(runtime, transport, network, options, *this)) {
  impl_->start();
}

Rpc::~Rpc() {
  SPATTER_ASSERT(impl_->stopped());
  impl_->orphan();
}

void Rpc::serve(std::uint16_t method, Handler handler) { impl_->serve(method, std::move(handler)); }
Result<Address> Rpc::listen(const Address& address) { return impl_->listen(address); }
void Rpc::set_network(NetworkId network) { impl_->set_network(network); }
NetworkId Rpc::network() const { return impl_->own_network(); }
void Rpc::set_addresses(ServerId server, std::vector<Address> addresses,
                        std::vector<ServerId> relays) {
  impl_->set_addresses(server, std::move(addresses), std::move(relays));
}
void Rpc::add_hint(ServerId server, Address address) {
  impl_->add_hint(server, std::move(address));
}
void Rpc::set_detour(Detour detour) { impl_->set_detour(std::move(detour)); }
void Rpc::take(std::shared_ptr<Connection> connection) { impl_->take(std::move(connection)); }
std::vector<Address> Rpc::ways_to(ServerId server) const { return impl_->ways_to(server); }
Task<Result<RpcReply>> Rpc::call(ServerId server, RpcRequest request, CallOptions options) {
  return impl_->call(server, std::move(request), options);
}
Task<Result<std::pair<ServerId, RpcReply>>> Rpc::call_address(Address address, ServerId expected,
                                                              RpcRequest request,
                                                              CallOptions options) {
  return impl_->call_address(std::move(address), expected, std::move(request), options);
}
void Rpc::bar(ServerId server, std::string why, std::string proof) {
  impl_->bar(server, std::move(why), std::move(proof));
}
PeerMeasure Rpc::measure(ServerId server) const { return impl_->measure(server); }
std::vector<ServerId> Rpc::connected() const { return impl_->connected(); }
Task<void> Rpc::stop() { return impl_->stop(); }

}  // namespace spatter
