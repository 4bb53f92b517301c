// Authenticated byte-frame connections between servers: TLS 1.3 in production (net), virtual wires
// in the simulator (sim).
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_rate.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/task.h"
#include "base/time.h"

namespace spatter {

/// "192.0.2.7:4040", "[2001:db8::1]:4040" or "name.example:4040".
struct Address {
  std::string host;
  std::uint16_t port = 0;
  std::string text() const;
  static Result<Address> parse(std::string_view text);
  auto operator<=>(const Address&) const = default;
};

/// Shown to a relay by one end of a link that it shall carry; random, good for one connection.
using RelayTicket = Id<struct RelayTicketTag>;

/// One end of a relayed link.
struct Meeting {
  Address relay;
  RelayTicket ticket;
  ServerId other;       ///< who must be at the other end
  bool dialling = true; ///< of the two ends, one dials and one accepts
};

/// A frame is at most this long; a longer one from a peer closes the connection.
inline constexpr std::size_t frame_bytes_max = 1 << 20;

/// One authenticated connection: frames arrive whole, in order, once, or not at all. All calls on
/// the Runtime's executor; at most one send and one receive at a time.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual ServerId peer() const = 0;  ///< proven by the peer's key
  virtual Bytes peer_key() const = 0; ///< its Ed25519 public key, 32 bytes
  virtual Address remote() const = 0; ///< of a relayed connection: the relay's
  virtual bool relayed() const { return false; }
  /// Sends frames, each given as pieces to be laid end to end. Returns when the transport can take
  /// more (that is the back-pressure), not when the peer has them.
  virtual Task<Result<void>> send(std::vector<std::vector<Buffer>> frames) = 0;
  /// The next frames, at least one; an error when the connection is over.
  virtual Task<Result<std::vector<Buffer>>> receive() = 0;
  /// Ends both directions at once; pending calls return Errc::unavailable. Idempotent.
  virtual void close() = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  using Accept = std::function<void(std::shared_ptr<Connection>)>;
  /// Serves until the transport is stopped; port 0 picks one. Returns the address it got.
  virtual Result<Address> listen(const Address& address, Accept accept) = 0;
  /// Dials, and proves that the peer is `expected` unless that is zero (then anyone may answer,
  /// as when joining by an invite link).
  virtual Task<Result<std::shared_ptr<Connection>>> connect(Address address, ServerId expected,
                                                            TimePoint deadline) = 0;
  /// connect() through a relay: both ends dial it and show their tickets, and it carries bytes
  /// between them that it cannot read. Who is there is proven end to end, as with connect().
  virtual Task<Result<std::shared_ptr<Connection>>> meet(Meeting meeting, TimePoint deadline);
  /// The relay's side, on a listening transport: the connections that show these two tickets before
  /// `deadline` are joined, no faster than `rates` allow. Returns the bytes carried once the link
  /// is over. Cancelling ends the link.
  virtual Task<Result<std::uint64_t>> relay(std::array<RelayTicket, 2> tickets, ByteRates rates,
                                            TimePoint deadline);
  /// Closes the listener and every connection; returns when their callbacks have ended.
  virtual Task<void> stop() = 0;
};

}  // namespace spatter
