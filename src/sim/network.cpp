#include "sim/network.h"

#include "crypto/sign.h"
#include "wire.h"

namespace spatter::sim {

Network::~Network() = default;

void Network::set_link(MachineId a, MachineId b, LinkQuality quality) {
  links_[{a, b}] = quality;
  links_[{b, a}] = quality;
}

void Network::set_closed(MachineId machine, bool closed) {
  if (closed)
    closed_.insert(machine);
  else
    closed_.erase(machine);
}

void Network::cut_link(MachineId from, MachineId to) {
  if (from != to) cuts_.insert({from, to});
}

void Network::mend_link(MachineId from, MachineId to) {
  cuts_.erase({from, to});
  resume_wires();
}

void Network::partition(const std::vector<std::vector<MachineId>>& groups) {
  for (std::size_t a = 0; a < groups.size(); ++a)
    for (std::size_t b = 0; b < groups.size(); ++b)
      for (const MachineId from : groups[a])
        for (const MachineId to : groups[b])
          if (a != b) cut_link(from, to);
  world_.note(fmt::format("network partitioned into {}", groups.size()));
}

void Network::mend_all_links() {
  if (cuts_.empty()) return;
  cuts_.clear();
  world_.note("network whole again");
  resume_wires();
}

void Network::resume_wires() {
  // A copy: a wire may end, and leave the map, on the way.
  const auto wires = wires_;
  for (const auto& [number, wire] : wires) wire->resume();
}

bool Network::break_a_connection() {
  if (wires_.empty()) return false;
  const auto place = std::next(wires_.begin(),
                               static_cast<std::ptrdiff_t>(world_.random().below(wires_.size())));
  const std::shared_ptr<Wire> wire = place->second;
  wire->break_both("the connection was cut");
  return true;
}

Duration Network::delay(MachineId from, MachineId to) {
  const auto place = links_.find({from, to});
  const LinkQuality& quality = place == links_.end() ? default_link_ : place->second;
  const auto jitter = static_cast<std::uint64_t>(quality.jitter.count());
  return quality.latency + Duration(jitter == 0 ? 0 : world_.random().below(jitter));
}

TimePoint Network::leave_at(MachineId machine, std::uint64_t bytes) {
  Uplink& uplink = uplinks_[machine];
  const auto time = Duration(static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / uplink.rate));
  uplink.free_at = std::max(uplink.free_at, world_.now()) + time;
  return uplink.free_at;
}

SimTransport::SimTransport(World& world, Network& network, MachineId machine, std::string host,
                           Bytes key, Duration clock_offset)
    : world_(world),
      network_(network),
      machine_(machine),
      host_(std::move(host)),
      key_(std::move(key)),
      id_(server_id(key_)),
      clock_offset_(clock_offset) {}

SimTransport::~SimTransport() { vanish(false); }

Result<Address> SimTransport::listen(const Address& address, Accept accept) {
  if (stopped_) return fail(Errc::unavailable, "the transport is stopped");
  if (listening_) return fail(Errc::busy, "listening on {} already", listening_->text());
  Address chosen{host_, address.port};
  if (chosen.port == 0)
    for (chosen.port = 4840; network_.listeners_.contains(chosen);) ++chosen.port;
  if (!network_.listeners_.emplace(chosen, this).second)
    return fail(Errc::busy, "{} is in use", chosen.text());
  accept_ = std::move(accept);
  listening_ = chosen;
  return chosen;
}

/// The transport that listens there, a handshake later. `deadline` is the world's time.
Task<Result<SimTransport*>> SimTransport::reach(Address address, TimePoint deadline) {
  World& world = world_;
  Network& network = network_;
  if (stopped_) co_return fail(Errc::unavailable, "the transport is stopped");
  const auto place = network.listeners_.find(address);
  const MachineId here = machine_;
  // Nobody is known by another name than his listener's; who does not listen does not answer.
  if (place == network.listeners_.end()) {
    co_await world.sleep(2 * network.default_link_.latency);
    co_return fail(Errc::unavailable, "connect to {}: refused", address.text());
  }
  const MachineId there = place->second->machine_;
  const Duration handshake = 2 * (network.delay(here, there) + network.delay(there, here));
  const auto blocked = [&] {
    return network.is_cut(here, there) || network.is_cut(there, here) ||
           (network.is_closed(there) && here != there);
  };
  const bool in_time = world.now() + handshake <= deadline;
  co_await world.sleep_until(in_time ? world.now() + handshake : deadline);
  if (in_time && blocked())
    co_await world.sleep_until(std::min(deadline, world.now() + Network::give_up_after));
  if (!in_time || blocked())
    co_return fail(Errc::unavailable, "connect to {}: no answer", address.text());
  if (stopped_) co_return fail(Errc::unavailable, "the transport is stopped");
  const auto again = network.listeners_.find(address);
  if (again == network.listeners_.end())
    co_return fail(Errc::unavailable, "connect to {}: refused", address.text());
  co_return again->second;
}

Task<Result<std::shared_ptr<Connection>>> SimTransport::connect(Address address, ServerId expected,
                                                                TimePoint deadline) {
  World& world = world_;
  Network& network = network_;
  const MachineId here = machine_;
  CO_TRY(SimTransport* const found, co_await reach(address, deadline - clock_offset_));
  SimTransport& peer = *found;
  if (!expected.is_zero() && peer.id_ != expected)
    co_return fail(Errc::denied, "connect to {}: {} answers, not {}", address.text(), peer.id_,
                   expected);
  const std::uint64_t number = network.next_wire_++;
  const auto port = static_cast<std::uint16_t>(32768 + number % 28000);
  auto wire = std::make_shared<Wire>(
      world, network, number,
      std::make_unique<WireEnd>(world, here, id_, key_, Address{host_, port}),
      std::make_unique<WireEnd>(world, peer.machine_, peer.id_, peer.key_, address));
  network.wires_.emplace(number, wire);
  world.note(fmt::format("wire {} m{} to m{}", number, here, peer.machine_));
  auto accepted = std::make_shared<SimConnection>(wire, 1);
  auto dialled = std::make_shared<SimConnection>(wire, 0);
  peer.accept_(std::move(accepted));
  co_return dialled;
}

// ---- through a relay

Task<Result<std::shared_ptr<Connection>>> SimTransport::meet(Meeting meeting, TimePoint deadline) {
  World& world = world_;
  Network& network = network_;
  deadline -= clock_offset_;
  CO_TRY(SimTransport* const relay, co_await reach(meeting.relay, deadline));
  const auto found = network.tickets_.find(meeting.ticket);
  if (found == network.tickets_.end() || found->second.first->relay != relay->machine_)
    co_return fail(Errc::unavailable, "relay {}: closed", meeting.relay.text());
  const auto [together, side] = found->second;
  network.tickets_.erase(found);
  const bool dialling = meeting.dialling;
  together->seats[side] = {this, meeting, nullptr};
  const auto& other = together->seats[1 - side];
  if (other.transport) {
    const bool right = meeting.other == other.transport->id_ && other.meeting.other == id_ &&
                       dialling != other.meeting.dialling;
    if (right) {
      SimTransport* ends[2] = {dialling ? this : other.transport, dialling ? other.transport : this};
      const auto end_of = [&](const SimTransport& end) {
        return std::make_unique<WireEnd>(world, end.machine_, end.id_, end.key_, meeting.relay);
      };
      const std::uint64_t number = network.next_wire_++;
      auto wire = std::make_shared<Wire>(world, network, number, end_of(*ends[0]), end_of(*ends[1]));
      wire->via = together->relay;
      wire->rates = together->rates;
      wire->on_over = [together] { together->over.set(); };
      together->wire = wire;
      network.wires_.emplace(number, wire);
      world.note(fmt::format("wire {} m{} to m{} through m{}", number, ends[0]->machine_,
                             ends[1]->machine_, together->relay));
      for (unsigned seat = 0; seat < 2; ++seat)
        together->seats[seat].connection = std::make_shared<SimConnection>(
            wire, together->seats[seat].meeting.dialling ? 0 : 1);
    }
    together->gone = !right;
    together->changed.wake_all();
  }
  const auto wake = world.at(deadline, [together] { together->changed.wake_all(); });
  while (!together->seats[side].connection && !together->gone && world.now() < deadline)
    co_await together->changed.wait();
  world.cancel(wake);
  auto connection = std::exchange(together->seats[side].connection, nullptr);
  together->seats[side].transport = nullptr;
  if (connection) co_return connection;
  co_return fail(Errc::unavailable, "relay {}: nobody came to the other end", meeting.relay.text());
}

Task<Result<std::uint64_t>> SimTransport::relay(std::array<RelayTicket, 2> tickets, ByteRates rates,
                                                TimePoint deadline) {
  World& world = world_;
  Network& network = network_;
  if (stopped_) co_return fail(Errc::unavailable, "the transport is stopped");
  deadline -= clock_offset_;
  auto together = std::make_shared<RelayedMeeting>(world.executor());
  together->relay = machine_;
  together->rates = std::move(rates);
  for (unsigned side = 0; side < 2; ++side) network.tickets_[tickets[side]] = {together, side};
  // Cancelled or not, nothing of it stays behind.
  struct End {
    Network& network;
    std::array<RelayTicket, 2> tickets;
    std::shared_ptr<RelayedMeeting> together;
    ~End() {
      for (const auto& ticket : tickets) network.tickets_.erase(ticket);
      together->gone = true;
      together->changed.wake_all();
      if (auto wire = std::exchange(together->wire, nullptr)) wire->break_both("the relay ended it");
    }
  } end{network, tickets, together};
  const auto wake = world.at(deadline, [together] {
    if (!together->wire) together->over.set();
  });
  co_await together->over.wait();
  world.cancel(wake);
  co_return together->wire ? together->wire->carried : 0;
}

void SimTransport::close_listener() {
  if (!listening_) return;
  network_.listeners_.erase(*listening_);
  listening_.reset();
}

Task<void> SimTransport::stop() {
  vanish(false);
  accept_ = nullptr;
  co_return;
}

void SimTransport::vanish(bool silent) {
  if (std::exchange(stopped_, true)) return;
  close_listener();
  const auto wires = network_.wires_;
  for (const auto& [number, wire] : wires) {
    if (wire->via == machine_) wire->break_both("its relay has vanished");
    for (unsigned side = 0; side < 2; ++side) {
      if (wire->ends[side]->id != id_ || wire->ends[side]->machine != machine_) continue;
      if (!silent) {
        wire->close(side);
        continue;
      }
      wire->end(side, "this machine has crashed");
      world_.after(Network::give_up_after, [wire, other = 1 - side] {
        wire->end(other, "no answer from the other end for too long");
      });
    }
  }
}

}  // namespace spatter::sim
