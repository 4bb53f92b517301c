// The simulated network: wires between machines with delay, limited bandwidth, partitions, cut
// connections and peers that send garbage. Wires behave as TLS over TCP does: frames arrive whole,
// in order, once, or the connection is over; a partition delays them until it heals or, after
// `give_up_after`, ends the connection at both ends. Identity is by the key each transport was made
// with; nothing is encrypted.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "base/transport.h"
#include "sim/world.h"

namespace spatter::sim {

class SimTransport;
struct Wire;
struct RelayedMeeting;
using MachineId = std::uint32_t;

struct LinkQuality {
  Duration latency = std::chrono::microseconds(500);
  Duration jitter = std::chrono::microseconds(200);  ///< up to this much more
};

class Network {
 public:
  explicit Network(World& world) : world_(world) {}
  ~Network();

  static constexpr Duration give_up_after = std::chrono::seconds(20);

  /// What everybody has who was given nothing else.
  void set_default_link(LinkQuality quality) { default_link_ = quality; }
  void set_link(MachineId a, MachineId b, LinkQuality quality);
  /// Bytes a second a machine can send, over all its wires.
  void set_uplink(MachineId machine, double bytes_per_second) { uplinks_[machine].rate = bytes_per_second; }

  /// Nobody can connect to this machine any more, as behind a NAT; it still can to others.
  void set_closed(MachineId machine, bool closed = true);

  /// Nothing passes from `from` to `to` until it is mended. One way only.
  void cut_link(MachineId from, MachineId to);
  void mend_link(MachineId from, MachineId to);
  /// Machines in different groups cannot reach each other; those in no group reach everybody.
  void partition(const std::vector<std::vector<MachineId>>& groups);
  void mend_all_links();

  /// Ends one connection drawn by chance, losing what is under way on it; false when there is none.
  bool break_a_connection();
  /// This share (0 to 1) of the frames a machine sends arrives as other bytes, of other length: a
  /// peer with bad code or bad will, for TLS lets nobody else do this.
  void set_garbage(MachineId machine, double share) { garbage_[machine] = share; }

  std::uint64_t bytes_carried() const { return bytes_carried_; }

 private:
  friend class SimTransport;
  friend class SimConnection;
  friend struct Wire;
  struct Uplink {
    double rate = 125e6;
    TimePoint free_at{};
  };

  bool is_cut(MachineId from, MachineId to) const { return cuts_.contains({from, to}); }
  bool is_closed(MachineId machine) const { return closed_.contains(machine); }
  Duration delay(MachineId from, MachineId to);
  /// When the last of `bytes` given to the machine's uplink now will have left it.
  TimePoint leave_at(MachineId machine, std::uint64_t bytes);
  void resume_wires();

  World& world_;
  LinkQuality default_link_;
  std::map<std::pair<MachineId, MachineId>, LinkQuality> links_;
  std::map<MachineId, Uplink> uplinks_;
  std::map<MachineId, double> garbage_;
  std::set<std::pair<MachineId, MachineId>> cuts_;
  std::set<MachineId> closed_;
  std::map<Address, SimTransport*> listeners_;
  std::map<RelayTicket, std::pair<std::shared_ptr<RelayedMeeting>, unsigned>> tickets_;
  std::map<std::uint64_t, std::shared_ptr<Wire>> wires_;  // by number, those not over
  std::uint64_t next_wire_ = 1;
  std::uint64_t bytes_carried_ = 0;
};

/// One server's place in the network.
class SimTransport final : public Transport {
 public:
  /// `host` is the machine's one address; its monotonic clock is ahead of the world's by so much.
  SimTransport(World& world, Network& network, MachineId machine, std::string host, Bytes key,
               Duration clock_offset = {});
  ~SimTransport() override;

  Result<Address> listen(const Address& address, Accept accept) override;
  Task<Result<std::shared_ptr<Connection>>> connect(Address address, ServerId expected,
                                                    TimePoint deadline) override;
  Task<Result<std::shared_ptr<Connection>>> meet(Meeting meeting, TimePoint deadline) override;
  Task<Result<std::uint64_t>> relay(std::array<RelayTicket, 2> tickets, ByteRates rates,
                                    TimePoint deadline) override;
  Task<void> stop() override;

  /// The machine is gone: every connection is over at this end at once. When `silent`, the others
  /// learn of it only by waiting in vain (no packet comes any more); else their ends break too.
  void vanish(bool silent);

 private:
  friend class Network;
  friend class SimConnection;
  friend struct Wire;
  void close_listener();
  Task<Result<SimTransport*>> reach(Address address, TimePoint deadline);

  World& world_;
  Network& network_;
  const MachineId machine_;
  const std::string host_;
  const Bytes key_;
  const ServerId id_;
  const Duration clock_offset_;
  Accept accept_;
  std::optional<Address> listening_;
  bool stopped_ = false;
};

}  // namespace spatter::sim
