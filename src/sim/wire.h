// One simulated connection: what is under way and what has arrived, for both directions.
#pragma once

#include <deque>

#include "base/sync.h"
#include "sim/network.h"

namespace spatter::sim {

/// The end of one side. Index 0 dialled, index 1 accepted.
struct WireEnd {
  WireEnd(World& world, MachineId machine, ServerId id, Bytes key, Address address)
      : machine(machine),
        id(id),
        key(std::move(key)),
        address(std::move(address)),
        readable(world.executor()),
        writable(world.executor()) {}

  const MachineId machine;
  const ServerId id;
  const Bytes key;
  const Address address;
  std::deque<Buffer> arrived;   // not yet received here
  std::uint64_t unread_bytes = 0;  // sent towards here and not yet received: flow control
  std::deque<Buffer> held;      // stopped by a cut link on the way here, in order
  TimePoint held_since{};
  TimePoint last_arrival{};     // keeps the order under jitter
  std::optional<Error> over;
  WaitQueue readable;
  WaitQueue writable;           // the other side waits here until we have received
};

struct Wire : std::enable_shared_from_this<Wire> {
  Wire(World& world, Network& network, std::uint64_t number, std::unique_ptr<WireEnd> dialler,
       std::unique_ptr<WireEnd> acceptor);

  /// Sends a frame towards end `to`; what it cannot carry any more is dropped.
  void carry(unsigned to, Buffer frame);
  /// Carries what a cut link has held, if it is mended.
  void resume();
  /// Ends one side here and now.
  void end(unsigned side, std::string_view why);
  /// Ends one side, and tells the other behind what is still under way.
  void close(unsigned side);
  void break_both(std::string_view why);
  bool is_over() const { return ends[0]->over && ends[1]->over; }

  World& world;
  Network& network;
  const std::uint64_t number;
  std::array<std::unique_ptr<WireEnd>, 2> ends;

  // Of a relayed wire:
  std::optional<MachineId> via;
  ByteRates rates;
  std::uint64_t carried = 0;
  std::function<void()> on_over;

 private:
  bool is_cut(unsigned to) const;
  void arrive(unsigned to, Buffer frame);
  void finish(unsigned side);  // over, but what has arrived may still be received
  TimePoint arrival_at(unsigned to, TimePoint left);
  void hold(unsigned to, Buffer frame);
};

/// Two ends that come to one relay.
struct RelayedMeeting {
  explicit RelayedMeeting(asio::any_io_executor executor) : changed(executor), over(executor) {}
  struct Seat {
    SimTransport* transport = nullptr;
    Meeting meeting;
    std::shared_ptr<Connection> connection;
  };
  MachineId relay = 0;
  ByteRates rates;
  std::array<Seat, 2> seats;
  std::shared_ptr<Wire> wire;
  WaitQueue changed;
  Event over;
  bool gone = false;
};

class SimConnection final : public Connection {
 public:
  SimConnection(std::shared_ptr<Wire> wire, unsigned side) : wire_(std::move(wire)), side_(side) {}
  ~SimConnection() override { close(); }

  ServerId peer() const override { return there().id; }
  Bytes peer_key() const override { return there().key; }
  Address remote() const override { return there().address; }
  bool relayed() const override { return wire_->via.has_value(); }
  Task<Result<void>> send(std::vector<std::vector<Buffer>> frames) override;
  Task<Result<std::vector<Buffer>>> receive() override;
  void close() override { wire_->close(side_); }

 private:
  const WireEnd& there() const { return *wire_->ends[1 - side_]; }

  std::shared_ptr<Wire> wire_;
  unsigned side_;
};

}  // namespace spatter::sim
