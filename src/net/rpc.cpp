#include "net/rpc.h"

#include <algorithm>
#include <unordered_map>

#include "net/methods.h"
#include "session.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr Duration settled_after = 5s;       // a connection that stood so long was no failure
constexpr Duration reconnect_jitter = 50ms;  // after a loss, before the first new attempt

}  // namespace

/// Which peers there are, which sessions stand, and when to dial. A Peer, once made, stays as long
/// as it has addresses, sessions or somebody waiting.
class Rpc::Impl final : public SessionHost, public std::enable_shared_from_this<Rpc::Impl> {
 public:
  Impl(Runtime& runtime, Transport& transport, NetworkId network, RpcOptions options, Rpc& owner)
      : SessionHost(runtime, options),
        owner_(&owner),
        transport_(transport),
        network_(network),
        tasks_(runtime.executor()) {}

  void start() {
    tasks_.spawn(Deadlines::run(deadlines));
    tasks_.spawn(tick(weak_from_this(), runtime, tick_every()));
  }

  NetworkId own_network() const override { return network_; }
  std::shared_ptr<Handler> find_handler(std::uint16_t method) const override {
    const auto found = handlers_.find(method);
    return found == handlers_.end() ? nullptr : found->second;
  }
  void session_ended(const std::shared_ptr<Session>& session) override;
  const Bar* barred(const ServerId& peer) const override {
    const auto found = bars_.find(peer);
    return found == bars_.end() ? nullptr : &found->second;
  }
  void barred_by(const ServerId& peer, std::string proof) override;
  void bar(const ServerId& server, std::string why, std::string proof);

  void serve(std::uint16_t method, Handler handler) {
    handlers_[method] = std::make_shared<Handler>(std::move(handler));
  }
  Result<Address> listen(const Address& address);
  void set_network(NetworkId network);
  void set_addresses(const ServerId& id, std::vector<Address> addresses);
  Task<Result<RpcReply>> call(ServerId server, RpcRequest request, CallOptions options);
  Task<Result<std::pair<ServerId, RpcReply>>> call_address(Address address, ServerId expected,
                                                           RpcRequest request, CallOptions options);
  PeerMeasure measure(const ServerId& id) const;
  std::vector<ServerId> connected() const;
  Task<void> stop();
  void orphan() { owner_ = nullptr; }
  bool stopped() const { return stopping_; }

 private:
  struct Peer {
    explicit Peer(asio::any_io_executor executor) : changed(std::move(executor)) {}
    ServerId id;
    std::vector<Address> addresses;
    std::vector<std::shared_ptr<Session>> sessions;  // greeted, not over
    bool dialling = false;
    WaitQueue changed;  // a session stands, or a dial has failed
    unsigned failed_dials = 0;
    TimePoint retry_at{};
    Deadlines::Token retry;
    Error last_error{Errc::unavailable, "no attempt yet"};
    std::shared_ptr<Measures> measures = std::make_shared<Measures>();
    bool up = false;
  };

  Duration tick_every() const { return std::clamp<Duration>(options.ping_after / 4, 10ms, 1s); }
  static Task<void> tick(std::weak_ptr<Impl> weak, Runtime& runtime, Duration every);
  void tick_once();

  std::shared_ptr<Peer> peer(const ServerId& id);
  std::shared_ptr<Session> usable(const Peer& peer, std::uint16_t method) const;
  static Task<Result<std::shared_ptr<Session>>> session_to(std::shared_ptr<Impl> self,
                                                           std::shared_ptr<Peer> peer,
                                                           std::uint16_t method);
  void start_dial(const std::shared_ptr<Peer>& peer);
  void schedule_dial(const std::shared_ptr<Peer>& peer);
  static Task<void> dial(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer);
  static Task<Result<std::shared_ptr<Session>>> open(std::shared_ptr<Impl> self, Address address,
                                                     ServerId expected, TimePoint deadline);
  static Task<void> accept(std::shared_ptr<Impl> self, std::shared_ptr<Connection> connection);
  void adopt(const std::shared_ptr<Session>& session);
  void settle(Peer& peer);
  void dial_failed(const std::shared_ptr<Peer>& peer, Error error);
  Duration backoff(unsigned failures);
  void update_up(Peer& peer);

  Rpc* owner_;
  Transport& transport_;
  NetworkId network_;
  TaskGroup tasks_;
  bool stopping_ = false;
  std::unordered_map<std::uint16_t, std::shared_ptr<Handler>> handlers_;
  std::map<ServerId, std::shared_ptr<Peer>> peers_;
  std::set<std::shared_ptr<Session>> greeting_;
  std::map<ServerId, Bar> bars_;
};

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

// ---- dialling

Duration Rpc::Impl::backoff(unsigned failures) {
  const double factor = std::exp2(std::min(failures, 20u) - 1.0);
  const double longest = static_cast<double>(options.backoff_max.count());
  const double whole = std::min(longest, static_cast<double>(options.backoff_min.count()) * factor);
  return Duration(static_cast<std::int64_t>(whole * (0.5 + 0.5 * runtime.chance().unit())));
}

void Rpc::Impl::start_dial(const std::shared_ptr<Peer>& peer) {
  if (stopping_ || std::exchange(peer->dialling, true)) return;
  peer->retry = {};
  tasks_.spawn(dial(shared_from_this(), peer));
}

void Rpc::Impl::schedule_dial(const std::shared_ptr<Peer>& peer) {
  if (stopping_ || peer->addresses.empty() || peer->dialling || peer->up) return;
  peer->retry = deadlines->add(
      peer->retry_at, [weak = weak_from_this(), weak_peer = std::weak_ptr(peer)] {
        auto self = weak.lock();
        auto peer = weak_peer.lock();
        if (self && peer && !peer->up && !peer->addresses.empty()) self->start_dial(peer);
      });
}

Task<void> Rpc::Impl::dial(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer) {
  Error error{Errc::unavailable, "no address is known"};
  for (const Address& address : auto(peer->addresses)) {
    const TimePoint deadline = self->runtime.now() + self->options.connect_timeout;
    auto opened = co_await open(self, address, peer->id, deadline);
    if (self->stopping_) break;
    if (opened) {
      peer->dialling = false;
      co_return self->adopt(*opened);
    }
    error = std::move(opened).error();
    if (peer->up) break;  // it has dialled us meanwhile
  }
  peer->dialling = false;
  self->dial_failed(peer, std::move(error));
}

void Rpc::Impl::dial_failed(const std::shared_ptr<Peer>& peer, Error error) {
  peer->last_error = std::move(error);
  peer->measures->failures.add(runtime.now());
  ++peer->failed_dials;
  peer->retry_at = runtime.now() + backoff(peer->failed_dials);
  runtime.log().debug("server {}: {}", peer->id, peer->last_error.message);
  peer->changed.wake_all();
  schedule_dial(peer);
}

Task<Result<std::shared_ptr<Session>>> Rpc::Impl::open(std::shared_ptr<Impl> self, Address address,
                                                       ServerId expected, TimePoint deadline) {
  CO_TRY(auto connection, co_await self->transport_.connect(address, expected, deadline));
  auto session = std::make_shared<Session>(self, std::move(connection), Session::Role::dialler);
  session->dialled = address;
  self->greeting_.insert(session);
  auto greeted = co_await Session::greet(session);
  self->greeting_.erase(session);
  if (!greeted) {
    session->end(greeted.error());
    co_return fail(std::move(greeted).error());
  }
  co_return session;
}

Task<void> Rpc::Impl::accept(std::shared_ptr<Impl> self, std::shared_ptr<Connection> connection) {
  auto session =
      std::make_shared<Session>(self, std::move(connection), Session::Role::acceptor);
  self->greeting_.insert(session);
  auto greeted = co_await Session::greet(session);
  self->greeting_.erase(session);
  if (greeted) co_return self->adopt(session);
  self->runtime.log().info("refused a connection: {}", greeted.error().message);
  session->end(std::move(greeted).error());
}

/// Waits for a session, dialling if need be. Says at once what went wrong last time while the peer
/// is left alone between attempts.
Task<Result<std::shared_ptr<Session>>> Rpc::Impl::session_to(std::shared_ptr<Impl> self,
                                                             std::shared_ptr<Peer> peer,
                                                             std::uint16_t method) {
  for (bool dialled = false;; dialled = true) {
    if (self->stopping_) co_return fail(Errc::cancelled, "this server is stopping");
    if (auto session = self->usable(*peer, method)) co_return session;
    if (!peer->dialling) {
      if (peer->addresses.empty())
        co_return fail(Errc::unavailable, "server {}: no address is known", peer->id);
      const bool resting = peer->failed_dials > 1 && self->runtime.now() < peer->retry_at;
      if (dialled || resting)
        co_return fail(Errc::unavailable, "server {} can't be reached: {}", peer->id,
                       peer->last_error.message);
      self->start_dial(peer);  // may have failed already when this returns
    }
    if (peer->dialling) co_await peer->changed.wait();
  }
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
    if (!self || self->stopping_) return made->close();
    self->tasks_.spawn(accept(self, std::move(made)));
  });
}

void Rpc::Impl::set_network(NetworkId network) {
  if (network_ == network) return;
  network_ = network;
  for (const auto& [id, peer] : auto(peers_))
    for (const auto& session : auto(peer->sessions))
      session->end({Errc::unavailable, "this server has changed its network"});
}

void Rpc::Impl::set_addresses(const ServerId& id, std::vector<Address> addresses) {
  auto to = peer(id);
  if (to->addresses == addresses) return;
  to->addresses = std::move(addresses);
  to->retry_at = runtime.now();
  to->failed_dials = 0;
  if (to->addresses.empty())
    to->retry = {};
  else
    schedule_dial(to);
}

void Rpc::Impl::bar(const ServerId& id, std::string why, std::string proof) {
  const auto& bar = bars_.insert_or_assign(id, Bar{std::move(why), std::move(proof)}).first->second;
  set_addresses(id, {});
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
      const bool wanted = !peer->addresses.empty() && !session->joining();
      if (!session->over() && session->idle() && !wanted && now - session->last_used() > idle_max)
        session->retire();
    }
    // Two references: peers_ and the copy above; more: somebody waits.
    if (peer->sessions.empty() && peer->addresses.empty() && !peer->dialling &&
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
void Rpc::set_addresses(ServerId server, std::vector<Address> addresses) {
  impl_->set_addresses(server, std::move(addresses));
}
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
