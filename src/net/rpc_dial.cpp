// How an Rpc gets its connections: who is dialled, where, when, and what of several ways wins.

#include <algorithm>
#include <cmath>

#include "net/methods.h"
#include "rpc_impl.h"

namespace spatter {

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
  if (stopping_ || !peer->has_ways() || peer->dialling || peer->up) return;
  peer->retry = deadlines->add(
      peer->retry_at, [weak = weak_from_this(), weak_peer = std::weak_ptr(peer)] {
        auto self = weak.lock();
        auto peer = weak_peer.lock();
        if (self && peer && !peer->up && peer->has_ways()) self->start_dial(peer);
      });
}

/// The ways to one peer that are being tried at a time. The first that gets through wins; a direct
/// one still takes over from a relay.
struct Rpc::Impl::Race {
  explicit Race(asio::any_io_executor executor) : changed(std::move(executor)) {}
  WaitQueue changed;
  std::size_t running = 0;
  bool greeting = false;  // one at a time, or the other side would have to choose
  std::shared_ptr<Session> won;
  Error error{Errc::unavailable, "no address is known"};
};

bool Rpc::Impl::Peer::relayed() const {
  return up && std::ranges::all_of(sessions, [](const auto& s) { return s->joining() || s->relayed(); });
}

Task<void> Rpc::Impl::dial(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer) {
  auto race = std::make_shared<Race>(self->runtime.executor());
  const bool upgrading = peer->up;
  co_await run_race(self, peer, race);
  peer->dialling = false;
  if (race->won || self->stopping_ || (peer->up && !upgrading)) co_return;
  if (!upgrading) co_return self->dial_failed(peer, std::move(race->error));
  peer->upgrade_wait = std::clamp(2 * peer->upgrade_wait, self->options.upgrade_min, self->options.upgrade_max);
  peer->upgrade_at = self->runtime.now() + peer->upgrade_wait;
  if (!peer->up) self->schedule_dial(peer);
}

/// Tries address after address, and a relay; none waits for the one before to give up.
Task<void> Rpc::Impl::run_race(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                               std::shared_ptr<Race> race) {
  const bool upgrading = peer->up;
  const TimePoint begun = self->runtime.now();
  std::vector<std::optional<Address>> ways(peer->hints.begin(), peer->hints.end());
  for (const Address& address : peer->addresses)
    if (std::ranges::find(peer->hints, address) == peer->hints.end()) ways.push_back(address);
  // Not last of all: a long list of dead addresses is no reason to wait.
  if (!upgrading && self->detour_ && !peer->relays.empty())
    ways.insert(ways.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(ways.size(), 2)),
                std::nullopt);
  const auto decided = [&] {
    return self->stopping_ || race->won || (upgrading ? !peer->relayed() : peer->up);
  };
  TimePoint not_before = begun;
  for (const auto& way : ways) {
    if (!way) not_before = std::max(begun + self->options.detour_after, not_before - self->options.next_address_after);
    const auto wake = self->deadlines->add(not_before, [race] { race->changed.wake_all(); });
    while (race->running > 0 && !decided() && self->runtime.now() < not_before)
      co_await race->changed.wait();
    if (decided()) break;
    not_before = self->runtime.now() + self->options.next_address_after;
    ++race->running;
    self->tasks_.spawn(attempt(self, peer, race, way));
  }
  while (race->running > 0 && !race->won && !self->stopping_) co_await race->changed.wait();
}

Task<void> Rpc::Impl::attempt(std::shared_ptr<Impl> self, std::shared_ptr<Peer> peer,
                              std::shared_ptr<Race> race, std::optional<Address> address) {
  auto connection = co_await reach(self, peer, address);
  const auto wanted = [&] {
    return !self->stopping_ &&
           (race->won ? race->won->relayed() && !(*connection)->relayed()
                      : !peer->up || (peer->relayed() && !(*connection)->relayed()));
  };
  while (connection && race->greeting && wanted()) co_await race->changed.wait();
  if (connection && wanted()) {
    race->greeting = true;
    auto greeted = co_await greet(self, *connection, address ? *address : (*connection)->remote());
    race->greeting = false;
    if (greeted && !self->stopping_) {
      race->won = *greeted;
      self->adopt(*greeted);
    } else if (!greeted) {
      race->error = std::move(greeted).error();
    }
  } else if (connection) {
    (*connection)->close();
  } else {
    race->error = std::move(connection).error();
  }
  --race->running;
  race->changed.wake_all();
}

/// To an address, or by a detour.
Task<Result<std::shared_ptr<Connection>>> Rpc::Impl::reach(std::shared_ptr<Impl> self,
                                                           std::shared_ptr<Peer> peer,
                                                           std::optional<Address> address) {
  const TimePoint deadline = self->runtime.now() + self->options.connect_timeout;
  if (address) co_return co_await self->transport_.connect(*address, peer->id, deadline);
  if (!self->detour_) co_return fail(Errc::cancelled, "no relays are used any more");
  CO_TRY(auto connection, co_await self->detour_(peer->id, peer->relays, deadline));
  if (connection->peer() != peer->id)
    co_return fail(Errc::denied, "the relay led to {}, not to {}", connection->peer(), peer->id);
  co_return connection;
}

void Rpc::Impl::upgrade_if_due(const std::shared_ptr<Peer>& peer) {
  if (peer->dialling || !peer->relayed() || peer->addresses.empty()) return;
  if (peer->upgrade_wait == Duration::zero()) {
    peer->upgrade_wait = options.upgrade_min;
    peer->upgrade_at = runtime.now() + peer->upgrade_wait;
  }
  if (runtime.now() >= peer->upgrade_at) start_dial(peer);
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

Task<Result<std::shared_ptr<Session>>> Rpc::Impl::greet(std::shared_ptr<Impl> self,
                                                        std::shared_ptr<Connection> connection,
                                                        Address dialled) {
  auto session = std::make_shared<Session>(self, std::move(connection), Session::Role::dialler);
  session->dialled = std::move(dialled);
  self->greeting_.insert(session);
  auto greeted = co_await Session::greet(session);
  self->greeting_.erase(session);
  if (!greeted) {
    session->end(greeted.error());
    co_return fail(std::move(greeted).error());
  }
  co_return session;
}

Task<Result<std::shared_ptr<Session>>> Rpc::Impl::open(std::shared_ptr<Impl> self, Address address,
                                                       ServerId expected, TimePoint deadline) {
  CO_TRY(auto connection, co_await self->transport_.connect(address, expected, deadline));
  co_return co_await greet(self, std::move(connection), address);
}

Task<void> Rpc::Impl::accept(std::shared_ptr<Impl> self, std::shared_ptr<Connection> connection) {
  auto session =
      std::make_shared<Session>(self, std::move(connection), Session::Role::acceptor);
  self->greeting_.insert(session);
  auto greeted = co_await Session::greet(session);
  self->greeting_.erase(session);
  if (greeted) co_return self->adopt(session);
  // Whoever hangs up without a word only wanted to know whether we are here.
  const bool silent = greeted.error().code == Errc::unavailable;
  if (silent)
    self->runtime.log().debug("a connection ended: {}", greeted.error().message);
  else
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
      if (!peer->has_ways())
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

}  // namespace spatter
