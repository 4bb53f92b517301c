// Writes stripes: encodes a pack range as it streams by, sends every shard to its holder, collects
// the receipts. A holder that fails, is full or lags far behind the others is passed over for the
// next in the draw, so one bad machine does not hold a write up.
//
// Memory: at most two segments of all columns per stripe under way (see segment_bytes), and at most
// `writes_at_once` stripes.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/sync.h"
#include "spatter/context.h"
#include "spatter/label.h"
#include "spatter/placement.h"

namespace spatter {

class TaskGroups;

/// Where pack bytes come from: the local file, or the network when it was evicted.
class PackBytes {
 public:
  virtual ~PackBytes() = default;
  virtual Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) = 0;
};

struct Written {
  StripeId stripe;
  unsigned receipts = 0;  ///< shards that stand, own copies included
  bool full = false;      ///< all of the shape
  Error missing{};        ///< when not full: why no more were taken
};

class StripeWriter {
 public:
  StripeWriter(SpatterContext context, OwnedVolume volume, PackBytes& packs);
  ~StripeWriter();
  /// Ends what hedging left behind. No write or extend may be under way.
  Task<void> stop();

  /// Encodes pack range [label.offset, + label.length) as a new stripe of `shape`. When enough
  /// receipts are there for `safe` the stripe is added to the table and `on_safe` called; further
  /// receipts are added as they come. Completes when all shards stand, or none of the candidates
  /// can take what is missing (then full is false). An error means that the stripe is not safe;
  /// what was sent is then queued for release. Errc::fenced: another writer has the volume.
  Task<Result<Written>> write(StripeLabel label, Shape shape, std::function<void()> on_safe);

  struct Extra {
    std::uint16_t index;
    ServerId holder;
  };
  /// Sends shards of a stripe that stands already to further holders, from the pack's bytes; a shard
  /// that does not come out as its signed root says is never sent. Returns those that now stand
  /// (they are in the table).
  Task<Result<std::vector<Extra>>> extend(StripePtr stripe, std::vector<Extra> extras);

  /// Servers that can hold now: known, reachable, with room, not lately failing. Not the own one.
  /// They may be fewer than the shape counts on: who is full is a member still.
  std::vector<Candidate> candidates() const;
  /// Whether a member is passed over for now because it lately failed or was full.
  bool is_avoided(const ServerId& server) const;
  /// Those who refused may do so no more.
  void avoid_nobody() { avoided_->clear(); }

  /// Why shards find no holder now: full members first, for that is for people to put right.
  Error why_missing(Error otherwise = {Errc::unavailable, "no other server can hold"}) const;

  /// Whether a write or extend of this stripe is under way.
  bool is_writing(const StripeId& stripe) const { return writing_->contains(stripe); }

  /// Shard bytes acknowledged by holders since the start.
  std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  struct Target;
  struct Stream;
  struct Job;
  Task<Result<void>> run(std::shared_ptr<Job> job);
  std::vector<std::shared_ptr<Target>> plan(Job& job) const;
  Task<Result<void>> begin(std::shared_ptr<Job> job, std::vector<std::shared_ptr<Target>> targets);
  Task<Result<void>> encode_whole(std::shared_ptr<Job> job);
  Task<Result<void>> stream(std::shared_ptr<Job> job, std::vector<std::shared_ptr<Target>> targets);
  Result<void> take_roots(Job& job, const std::vector<std::vector<Digest>>& leaves);
  Task<Result<void>> sign(std::shared_ptr<Job> job, std::vector<std::shared_ptr<Target>> targets);
  Task<Result<void>> settle(std::shared_ptr<Job> job, std::vector<std::shared_ptr<Target>> targets,
                            unsigned goal, Duration patience_min);
  Task<Result<void>> record(std::shared_ptr<Job> job);
  Task<void> give_up(std::shared_ptr<Job> job);
  bool has_spare(const Job& job) const;

  SpatterContext context_;
  OwnedVolume volume_;
  PackBytes& packs_;
  struct Avoided {
    TimePoint until;
    bool full = false;  ///< it said that it has no room
  };
  std::shared_ptr<std::unordered_map<ServerId, Avoided>> avoided_;
  std::shared_ptr<std::unordered_multiset<StripeId>> writing_;
  Semaphore streaming_;  ///< stripes whose segments are in memory
  Semaphore extending_;  ///< likewise of stripes that stand
  std::unique_ptr<TaskGroups> groups_;
  std::uint64_t bytes_sent_ = 0;
};

/// A member as placement sees it.
Candidate candidate_of(const Member& member, bool accepts);

}  // namespace spatter
