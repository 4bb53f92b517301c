// Writes stripes: encodes a pack range as it streams by, sends every shard to its holder, collects
// the receipts. A holder that fails, is full or lags far behind the others is passed over for the
// next in the draw, so one bad machine does not hold a write up.
//
// Memory: at most two segments of all columns per stripe under way (see segment_bytes), and at most
// `writes_at_once` stripes.
#pragma once

#include <functional>
#include <set>

#include "base/sync.h"
#include "spatter/context.h"
#include "spatter/label.h"
#include "spatter/placement.h"

namespace spatter {

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
};

class StripeWriter {
 public:
  StripeWriter(SpatterContext context, OwnedVolume volume, PackBytes& packs);

  /// Encodes pack range [label.offset, + label.length) as a new stripe of `shape`. When enough
  /// receipts are there for `safe` the stripe is added to the table and `on_safe` called; further
  /// receipts are added as they come. Completes when all shards stand, or none of the candidates
  /// can take what is missing (then full is false). An error means that the stripe is not safe;
  /// what was sent is then queued for release.
  Task<Result<Written>> write(StripeLabel label, Shape shape, std::function<void()> on_safe);

  /// Sends shards of a stripe that stands already to new holders, from the pack's bytes; a shard
  /// that does not come out as its signed root says is never sent. Returns those that now stand
  /// (they are in the table).
  struct Extra {
    std::uint16_t index;
    ServerId holder;
  };
  Task<Result<std::vector<Extra>>> extend(StripePtr stripe, std::vector<Extra> extras);

  /// Servers that can hold now: known, reachable, not full, not lately failing. Own server excluded.
  std::vector<Candidate> candidates() const;
  /// Their number, as the shape of new stripes counts it.
  unsigned width() const { return static_cast<unsigned>(candidates().size()); }

  /// Shard bytes acknowledged by holders since the start.
  std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  struct Encoding;
  struct Target;
  Task<Result<void>> send_pass(std::shared_ptr<Encoding> encoding);
  Task<Result<void>> send_small(std::shared_ptr<Encoding> encoding);
  Task<Result<void>> send_large(std::shared_ptr<Encoding> encoding);

  SpatterContext context_;
  OwnedVolume volume_;
  PackBytes& packs_;
  std::unordered_map<ServerId, TimePoint> avoid_until_;
  std::uint64_t bytes_sent_ = 0;
};

}  // namespace spatter
