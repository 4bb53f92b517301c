// Calls between servers: many at a time over one connection, small ones never stuck behind bulk.
//
// One Rpc per server. It dials where set_addresses points, reuses connections whoever dialled them,
// reconnects with jittered back-off, notices dead peers by pings, and refuses peers of another
// network. All calls on the Runtime's executor; handlers run there too.
//
// Memory is bounded: payloads above rpc_inline_bytes_max travel only once the receiver has granted
// them room, and the room is given back when the handler (or the caller) is done with the payload.
//
// docs/PROTOCOL.md has the frames.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rope.h"
#include "base/runtime.h"
#include "base/transport.h"

namespace spatter {

inline constexpr std::uint32_t rpc_protocol_version = 1;
/// The longest payload of a request or reply.
inline constexpr std::size_t rpc_payload_bytes_max = 8 << 20;
/// The longest body of a request or reply.
inline constexpr std::size_t rpc_body_bytes_max = 512 << 10;
/// Payloads up to this ride with their header, in one frame; longer ones ask for room first.
inline constexpr std::size_t rpc_inline_bytes_max = 256 << 10;

/// control goes ahead of everything bulk on the same connection.
enum class Priority { control, bulk };

struct RpcRequest {
  std::uint16_t method = 0;
  std::string body;  ///< a Protobuf message of the method
  Buffer payload;
};

struct RpcReply {
  std::string body;
  Rope payload;  ///< in the pieces in which it came
};

/// Who is calling, proven by the connection.
struct Caller {
  ServerId server;
  Bytes key;       ///< its Ed25519 public key
  Address remote;  ///< where the connection comes from: its relay, when there is one
  bool relayed = false;
};

struct CallOptions {
  Duration timeout = std::chrono::seconds(10);
  Priority priority = Priority::control;
  /// How long a payload the reply will bring, when the caller knows: saves a round trip, because
  /// room for it is granted with the request.
  std::size_t reply_payload_bytes = 0;
};

/// What we have seen of a peer ourselves; averages decay exponentially.
struct PeerMeasure {
  bool up = false;                             ///< a connection of our network stands
  bool relayed = false;                        ///< but only through a relay
  std::optional<Duration> round_trip;          ///< of pings
  std::optional<double> send_bytes_per_s;      ///< bulk to the peer, until it had answered
  std::optional<double> receive_bytes_per_s;   ///< bulk from the peer
  double failures = 0;                         ///< recent ones: time-outs, lost connections, no answer
};

struct RpcOptions {
  std::size_t requests_per_peer_max = 256;       ///< being handled for one peer; more get Errc::busy
  std::size_t requests_max = 1024;               ///< being handled in all
  std::size_t inline_bytes_per_peer = 32 << 20;  ///< payloads that rode with requests being handled
  std::size_t inline_bytes = 128 << 20;          ///< and from all; more get Errc::busy
  std::size_t bulk_handlers_per_peer = 16;       ///< at a time; more bulk requests wait their turn
  std::size_t request_bytes_per_peer = 32 << 20; ///< room for bulk request payloads from one peer
  std::size_t request_bytes = 64 << 20;          ///< and from all
  std::size_t reply_bytes_per_peer = 64 << 20;   ///< room for bulk reply payloads from one peer
  std::size_t reply_bytes = 128 << 20;           ///< and from all
  Duration connect_timeout = std::chrono::seconds(5);
  Duration next_address_after = std::chrono::seconds(1);  ///< of no answer: the next one is tried too
  Duration detour_after = std::chrono::seconds(1);        ///< of no answer at any: a relay is tried too
  Duration upgrade_min = std::chrono::seconds(20);        ///< between attempts to do without the relay
  Duration upgrade_max = std::chrono::minutes(10);
  Duration hello_timeout = std::chrono::seconds(5);
  Duration ping_after = std::chrono::seconds(4);   ///< of silence
  Duration dead_after = std::chrono::seconds(12);  ///< of silence
  Duration backoff_min = std::chrono::milliseconds(500);
  Duration backoff_max = std::chrono::seconds(30);
  Duration idle_max = std::chrono::minutes(5);  ///< connections to servers without set addresses
};

class Rpc {
 public:
  /// `network` zero: not a member yet; only join methods can be called then. Both references must
  /// outlive the Rpc; stop() it, and let that complete, before destroying it.
  Rpc(Runtime& runtime, Transport& transport, NetworkId network, RpcOptions options = {});
  ~Rpc();

  /// Runs as a coroutine of its own per request. It is cancelled when the caller gave up, the
  /// deadline passed or the connection broke; what it returns then is dropped. A request for a
  /// method nobody serves is answered with Errc::not_found. Bulk requests of one peer are handled a
  /// few at a time: their handlers must not wait for bulk calls to that same peer.
  using Handler = std::function<Task<Result<RpcReply>>(Caller, RpcRequest)>;
  void serve(std::uint16_t method, Handler handler);

  /// Starts taking connections; port 0 picks one. Returns the address it got.
  Result<Address> listen(const Address& address);

  /// Once a member: connections made before under "no network" are closed.
  void set_network(NetworkId network);
  NetworkId network() const;

  /// Where to dial a peer, and who else may carry its connections. The Rpc then keeps connected to
  /// it, trying again and again with back-off: its addresses first, a relay when none answers. A
  /// connection through a relay is given up for a direct one as soon as there is one. Empty lists
  /// forget the peer; connections that stand remain until idle.
  void set_addresses(ServerId server, std::vector<Address> addresses,
                     std::vector<ServerId> relays = {});

  /// One more place where a peer may be, learned elsewhere than from its record. The newest few are
  /// kept and tried first. Nothing happens to peers without set addresses or relays.
  void add_hint(ServerId server, Address address);

  /// Makes connections through relays; net/relay.h.
  using Detour = std::function<Task<Result<std::shared_ptr<Connection>>>(
      ServerId peer, std::vector<ServerId> relays, TimePoint deadline)>;
  void set_detour(Detour detour);

  /// Takes a connection that a peer has made to us by another way than our listener.
  void take(std::shared_ptr<Connection> connection);

  /// Where a direct connection that we dialled leads; otherwise, the addresses set.
  std::vector<Address> ways_to(ServerId server) const;

  /// Calls a peer; dials when there is no connection. Errors of our own making: unavailable (no
  /// connection; said at once while the peer is known to be down, or when the connection breaks
  /// before the reply), timeout, invalid (request too large). Whatever else comes from the
  /// peer's handler. After unavailable or timeout the request may or may not have been handled.
  Task<Result<RpcReply>> call(ServerId server, RpcRequest request, CallOptions options = {});

  /// Calls whoever answers at an address, `expected` unless that is zero, and says who it was.
  Task<Result<std::pair<ServerId, RpcReply>>> call_address(Address address, ServerId expected,
                                                           RpcRequest request,
                                                           CallOptions options = {});

  /// From now on there are no connections with this server: those that stand end, it is not dialled,
  /// and when it dials it is refused with these words and `proof`, a signed record (or nothing).
  void bar(ServerId server, std::string why, std::string proof);
  /// Called when a peer has refused a connection of ours with a proof. Foreign bytes.
  std::function<void(ServerId peer, std::string proof)> on_barred;

  /// Called when the first connection to a peer stands, and when the last one is gone.
  std::function<void(ServerId, bool up)> on_reachability;

  PeerMeasure measure(ServerId server) const;
  std::vector<ServerId> connected() const;  ///< peers that are up

  /// Closes every connection, cancels every call and handler, and returns when all have ended.
  /// The transport's listener stays: stop the Transport afterwards.
  Task<void> stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace spatter
