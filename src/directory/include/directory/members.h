// Who is in the network, where to reach them, and who is up: what everything that talks to other
// servers asks. Interim implementation: GossipMembers (directory/gossip.h); a DHT fills the same
// interface later.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "base/transport.h"

namespace spatter {

struct Member {
  ServerId id;
  PersonId person;
  Bytes key;                        ///< Ed25519 public key of the server, 32 bytes
  std::vector<Address> addresses;   ///< where to dial, best first; may be empty
  std::vector<ServerId> relays;     ///< who carries connections to it, when it cannot be dialled
  bool carries = false;             ///< carries connections for others, as it says
  std::uint64_t capacity_bytes = 0; ///< of its server half, as it says
  std::uint64_t free_bytes = 0;     ///< of its server half when its record was made, as it says
  bool up = false;                  ///< reachable as of now
  /// It may keep shards of this server's person: both persons are trusted, or it is his own.
  bool may_hold = true;
  TimePoint since{};                ///< when `up` last changed
  bool operator==(const Member&) const = default;
};

/// All calls on the executor.
class Members {
 public:
  virtual ~Members() = default;

  /// This server's own entry. Always up.
  virtual Member own() const = 0;
  /// Every *other* server, sorted by id.
  virtual std::vector<Member> others() const = 0;
  /// Every server, this one included, sorted by id.
  virtual std::vector<Member> all() const = 0;
  virtual std::optional<Member> find(const ServerId& id) const = 0;
  /// The person behind a server; nullopt when it is no member: then it may do nothing.
  virtual std::optional<PersonId> person_of(const ServerId& id) const = 0;
  virtual bool is_up(const ServerId& id) const = 0;
  /// Whether a member is trusted; a guest may look, and keep nothing with others.
  virtual bool is_trusted(const PersonId&) const { return true; }
  /// What part of a trusted person's allowance somebody has; 0 for a guest.
  virtual unsigned allowance_percent(const PersonId&) const { return 100; }
  /// The person who has retired this server for good; it is no member any more, whatever it says.
  virtual std::optional<PersonId> retired_by(const ServerId&) const { return std::nullopt; }

  /// `changed` runs on the executor after anything above has changed; it must not block and must
  /// not subscribe. Lives until unsubscribed or until the Members dies.
  using Subscription = std::uint64_t;
  virtual Subscription subscribe(std::function<void()> changed) = 0;
  virtual void unsubscribe(Subscription id) = 0;

  /// What this server says of itself; goes to the others when it changed enough to matter.
  virtual void publish_own(std::vector<Address> addresses, std::uint64_t capacity_bytes,
                           std::uint64_t free_bytes) = 0;
};

}  // namespace spatter
