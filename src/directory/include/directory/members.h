// Who is in the network, where to reach them, and who is up: what everything that talks to other
// servers asks. A network has any number of servers, so this is a *view*: all of them while they are
// few, else those that matter here and a sample of the rest (directory/gossip.h). Persons, what they are
// trusted with and which servers were retired are known of the whole network.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/task.h"
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
  /// Every *other* server of the view, sorted by id.
  virtual std::vector<Member> others() const = 0;
  /// Every server of the view, this one included, sorted by id.
  virtual std::vector<Member> all() const = 0;
  /// Whether the view is the whole network, as far as can be known here.
  virtual bool is_complete() const { return true; }
  /// Every other server that is up, sorted by id: those of the view, and others that are connected now.
  virtual std::vector<Member> connected() const;
  /// Of the view, or connected now.
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

  /// The servers on which something here depends (holders of own stripes, owners of shards kept here,
  /// relays), most important first: the view keeps them, at most three quarters of its room, and looks
  /// up those that it lacks. Takes the place of what was said before.
  virtual void watch(std::vector<ServerId>) {}
  /// A server that may be outside the view: of what is known here, else looked up in the directory.
  /// not_found or unavailable as of Directory::look_up.
  virtual Task<Result<Member>> look_up(ServerId id);
  /// Tells a server that has refused a call with Errc::denied who this one is: it may not have us in
  /// its view. True: it took that, so the call is worth repeating. Costs nothing when done lately.
  virtual Task<bool> introduce(ServerId id);
  /// The key that a person signs with now; his first one unless he has changed it.
  virtual PersonId key_of(const PersonId& person) const { return person; }
  /// Whether a key is or was that person's.
  virtual bool was_key_of(const PersonId& key, const PersonId& person) const { return key == person; }
  /// The person behind a server that is or was a member.
  virtual std::optional<PersonId> once_person_of(const ServerId& id) const {
    const auto person = person_of(id);
    return person ? person : retired_by(id);
  }

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
