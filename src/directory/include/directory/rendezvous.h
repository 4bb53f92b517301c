// Members find each other through a public DHT when every address they knew is stale: each leaves its
// sealed presence there under a key that changes daily and that only members can compute.
#pragma once

#include <memory>

#include "base/runtime.h"
#include "base/sync.h"
#include "directory/members.h"
#include "directory/presence.h"
#include "net/rpc.h"

namespace spatter {

/// A DHT that belongs to nobody here: keeps small values for some minutes, shows them to everybody,
/// and anybody may add more under the same key. All calls on the executor.
class PublicDht {
 public:
  using Place = std::array<std::uint8_t, 20>;
  virtual ~PublicDht() = default;
  virtual Task<Result<void>> put(Place place, Bytes value) = 0;
  virtual Task<Result<std::vector<Bytes>>> get(Place place) = 0;
  virtual Task<void> stop() = 0;  ///< pending calls fail with Errc::cancelled
};

/// Where the presence of a server is left on a day (days since 1970, UTC).
PublicDht::Place rendezvous_place(const NetworkId& network, const ServerId& server, std::int64_t day);

struct RendezvousOptions {
  Duration publish_every = std::chrono::minutes(4);  ///< values live ten minutes there
  Duration look_every = std::chrono::seconds(10);
  Duration missing_after = std::chrono::seconds(20); ///< a member's own addresses are tried so long
  Duration again_min = std::chrono::seconds(20);     ///< for one member, doubling
  Duration again_max = std::chrono::minutes(30);
  std::size_t looked_up_at_a_time = 4;
  std::size_t values_judged_max = 32;                ///< of what lies under one key
  Duration age_max = std::chrono::hours(24);
};

class Rendezvous {
 public:
  Rendezvous(Runtime& runtime, Rpc& rpc, Members& members, const Identity& identity,
             std::shared_ptr<PublicDht> dht, RendezvousOptions options = {});

  void start();
  Task<void> stop();  ///< stops the DHT as well

 private:
  struct Search {
    TimePoint next{};
    Duration wait{};
  };
  Task<void> publish_loop();
  Task<void> look_loop();
  Task<void> look_up(ServerId id);
  std::vector<ServerId> missing();
  std::int64_t today() const;

  Runtime& runtime_;
  Rpc& rpc_;
  Members& members_;
  const Identity& identity_;
  std::shared_ptr<PublicDht> dht_;
  const RendezvousOptions options_;
  PresenceJudge judge_;
  Event wanted_;
  std::vector<Address> told_;
  Members::Subscription subscription_ = 0;
  std::uint64_t version_ = 0;
  std::map<ServerId, Search> searches_;
  TaskGroup tasks_;
};

}  // namespace spatter
