// Lets shards go whose contracts ended long ago: without it, what a person who left for good had
// stored would stay with the others for ever.
//
// Slow and doubtful on purpose, for what is let go may be somebody's last copy. A shard goes when its
// contract ended more than contract_grace_ms ago, and when besides, for as long as `absent_min` of
// this server's own running time, no server of its person has been up and the wall clock has run
// evenly. While one is up it renews what it needs and releases what it doesn't. So neither a clock
// that jumps nor an owner who is away for a season makes a holder drop anything.
//
// All calls on the executor.
#pragma once

#include <map>
#include <set>

#include "base/sync.h"
#include "directory/members.h"
#include "serverhalf/shard_store.h"

namespace spatter {

class Expiry {
 public:
  struct Parts {
    Runtime& runtime;
    Members& members;
    ShardStore& shards;
    Duration look_every = std::chrono::hours(6);
    Duration absent_min = std::chrono::hours(24);
  };
  explicit Expiry(Parts parts);

  void start();
  Task<void> stop();

 private:
  Task<void> run();
  Task<Result<void>> look();
  void check_clock();
  std::set<PersonId> persons_up() const;
  Task<Result<void>> let_go(PersonId person, std::vector<ShardKey> keys);

  Parts parts_;
  /// Since when a person with lapsed contracts has been away, as far as this run of the server knows.
  std::map<PersonId, TimePoint> away_since_;
  std::optional<WallMs> clock_offset_ms_;  ///< wall clock less monotonic clock
  TaskGroup tasks_;
};

}  // namespace spatter
