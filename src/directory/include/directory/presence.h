// A server's word on where it is now, sealed for the members of its network: what is sent about on
// the local network and left in a public DHT. Outsiders see random bytes of a rounded length.
//
// A presence counts when its signer is a member, its time is near ours, and it is newer than what was
// heard of that server before; so a recorded one is good for nothing once another has been heard,
// and for little before that.
#pragma once

#include <functional>
#include <map>

#include "base/random.h"
#include "base/time.h"
#include "base/transport.h"
#include "crypto/key.h"
#include "trust/certificate.h"

namespace spatter {

inline constexpr std::size_t presence_addresses_max = 8;
inline constexpr std::size_t presence_bytes_max = 1200;  ///< sealed: fits every datagram

struct Presence {
  ServerId server;
  std::uint64_t version = 0;
  std::uint16_t port = 0;
  std::vector<Address> addresses;
};

/// What seals presences on the local network, and in the DHT those of one server and day.
Key lan_key(const NetworkId& network);
Key rendezvous_key(const NetworkId& network, const ServerId& server, std::int64_t day);

/// Signs and seals; `presence.server` is the identity's.
Bytes seal_presence(const Identity& identity, const Presence& presence, const Key& key, Random& random);

/// Errc::corrupt when it was not sealed with `key`; invalid or denied when what is inside is wrong.
Result<Presence> open_presence(ByteView sealed, const Key& key, const NetworkId& network);

/// Decides which presences to believe. Its memory is bounded by the number of members.
class PresenceJudge {
 public:
  using IsMember = std::function<bool(const ServerId&)>;
  PresenceJudge(ServerId own, IsMember is_member) : own_(own), is_member_(std::move(is_member)) {}

  /// `age_max`: how old it may be; clocks may be as much as ten minutes apart besides.
  Result<void> judge(const Presence& presence, WallMs now, Duration age_max);

 private:
  const ServerId own_;
  const IsMember is_member_;
  std::map<ServerId, std::uint64_t> newest_;
};

}  // namespace spatter
