// What a server does by itself from time to time: tells the others how much room it has, sizes its
// packs for the present network, takes snapshots, compacts, and evicts cold packs from a user half
// that runs short.
#pragma once

#include <functional>

#include "base/sync.h"
#include "directory/members.h"
#include "serverhalf/shard_store.h"
#include "spatter/keeper.h"
#include "userhalf/volume.h"

namespace spatter {

class RootKeeper;

/// Which packs to drop so that `used` comes down to `wanted` bytes: full ones, coldest first. Pure.
std::vector<PackId> packs_to_evict(std::vector<PackInfo> packs, std::uint64_t used,
                                   std::uint64_t wanted,
                                   const std::function<bool(const PackId&)>& is_full);

class Housekeeper {
 public:
  struct Parts {
    Runtime& runtime;
    Members& members;
    ShardStore& shards;
    Volume& volume;
    Keeper& keeper;
    RootKeeper& roots;
    std::function<std::vector<Address>()> addresses;
    std::uint64_t capacity_bytes = 0;  ///< of the server half
    Duration every = std::chrono::seconds(5);
  };
  explicit Housekeeper(Parts parts);

  void start();
  Task<void> stop();
  /// Tells the others anew at once.
  void publish();

 private:
  Task<void> figures_loop();
  Task<void> tidy_loop();
  void follow_network();
  void refresh_reciprocity();
  Task<void> snapshot_if_due();
  Task<void> evict();
  Task<void> compact();

  Parts parts_;
  std::map<PersonId, std::uint64_t> kept_for_us_;
  std::size_t persons_ = 1;
  Members::Subscription subscription_ = 0;
  TaskGroup tasks_;
};

}  // namespace spatter
