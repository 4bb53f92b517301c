// Shards that were fetched of stripes which cannot be rebuilt yet, since fewer than k of their holders are
// ever on at once: what came one evening waits here for what comes the next.
//
// Only a cache. One file a shard, `<stripe in hex>.<index>.<wall seconds>` in a folder of its own, neither
// synced nor indexed; whatever is read is checked against the root that the owner signed, and what does not
// have it is removed. So nothing depends on these files, and nothing bad comes out of them.
//
// Bounded, within the server half's budget, and never at the expense of shards under contract: the store is
// told of the bytes here, and they go when it runs short of room. All calls on the executor.
#pragma once

#include <bitset>
#include <map>
#include <string>
#include <vector>

#include "base/rope.h"
#include "base/runtime.h"
#include "serverhalf/shard_store.h"
#include "trust/contract.h"

namespace spatter {

/// Errc::corrupt unless a shard has the size and the root that its owner signed. Any thread.
Result<void> check_whole(const Rope& shard, const Descriptor& descriptor, unsigned index);

class Gathered {
 public:
  struct Options {
    std::string folder = "server/gathered";  ///< on the Runtime's disk
    std::uint64_t bytes_max = 0;             ///< 0: a sixteenth of the server half
    Duration stay = std::chrono::hours(24);  ///< without a further shard, before a stripe makes way for another
    Duration age_max = 14 * std::chrono::hours(24);     ///< of a shard, then it goes
    std::uint64_t disk_reserve_bytes = 64 << 20;        ///< left free, or a sixteenth of the file system
  };
  Gathered(Runtime& runtime, ShardStore& shards, Options options);

  /// Finds what an earlier run has left; what cannot be listed or named is removed.
  Task<void> scan();

  std::bitset<256> indices(const StripeId& stripe) const;
  std::vector<StripeId> stripes() const;
  std::uint64_t bytes() const { return bytes_; }  ///< on the disk, in whole pages

  /// Whether so many bytes more of that stripe could be kept now: Errc::no_space.
  Result<void> room(const StripeId& stripe, std::uint64_t bytes) const;
  /// Keeps a shard that was checked. The stripe that has waited longest without a further one makes way.
  Task<Result<void>> keep(const Descriptor& descriptor, unsigned index, Buffer shard);
  /// Checked; Errc::not_found or corrupt, and then it is gone.
  Task<Result<Buffer>> read(const Descriptor& descriptor, unsigned index);
  Task<void> drop(StripeId stripe);
  /// What has become too old goes, and the oldest while the server half is short of room.
  Task<void> tidy();

 private:
  struct Shard {
    std::string path;
    std::uint64_t bytes = 0;
    WallMs kept_ms = 0;
    bool whole = false;  ///< written
  };
  using Shards = std::map<unsigned, Shard>;

  std::uint64_t bytes_max() const;
  std::uint64_t left_to_shards() const;  ///< room that is not for this
  std::optional<StripeId> oldest(const StripeId* but, WallMs before) const;
  void count(std::int64_t bytes);
  Result<void> write(const Shard& entry, const Buffer& shard);
  Task<void> remove(std::vector<Shard> shards);

  Runtime& runtime_;
  ShardStore& shards_;
  Options options_;
  std::map<StripeId, Shards> stripes_;  ///< none of them empty
  std::uint64_t bytes_ = 0;
};

}  // namespace spatter
