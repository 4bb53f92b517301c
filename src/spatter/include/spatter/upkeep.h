// What the keeper should do next, as pure functions over the stripe table and the members: which
// pack ranges to encode anew, which stripes are superseded, which shards to add, move and drop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "spatter/placement.h"
#include "spatter/stripe_table.h"

namespace spatter {

/// The network as the owner may count on it.
struct NetworkView {
  ServerId own;
  /// Other members that are up, or gone for less than the grace; `accepts` says who takes shards now.
  std::vector<Candidate> holders;
  /// How many of them are up: what shapes go by. Who is full or fails for a while takes nothing now,
  /// but does not make the network smaller.
  unsigned width = 0;

  bool keeps(const ServerId& server) const;  ///< its shards count as standing
  Shape shape() const { return shape_for(width); }
};

struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t length() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

/// The most that one stripe of this k encodes: k shards of 4 MiB.
std::uint64_t stripe_bytes_max(unsigned k);

/// Every shard that the stripe can have stands with somebody who counts.
bool is_complete(const Stripe& stripe, const NetworkView& view);
/// 2k of them, or complete.
bool is_safe(const Stripe& stripe, const NetworkView& view);
/// Its k is what the network now asks for: not 1 when it could be more, not half or less.
bool has_present_k(const Stripe& stripe, const NetworkView& view);

/// The end of what the stripes that `counts` cover without a gap from `begin` on.
std::uint64_t covered_until(const std::vector<StripePtr>& stripes, std::uint64_t begin,
                            const std::function<bool(const Stripe&)>& counts);

/// What of a sealed pack has to be encoded (again) so that it lies in few stripes of the present k.
/// Empty: it is in shape.
std::vector<ByteRange> ranges_to_write(std::uint64_t pack_length,
                                       const std::vector<StripePtr>& stripes,
                                       const NetworkView& view);

/// What of an open pack to write as one stripe in a quiet moment: the part that no stripe covers
/// yet, and small slices before it, merged so that their number stays logarithmic. `end`: how far
/// the pack is durable.
std::optional<ByteRange> tail_to_write(std::uint64_t end, const std::vector<StripePtr>& stripes,
                                       const NetworkView& view);

/// Stripes of one pack all of whose bytes lie in longer (or equally long, wider) complete stripes.
std::vector<StripeId> superseded(const std::vector<StripePtr>& stripes, const NetworkView& view);

struct Upkeep {
  std::vector<std::pair<std::uint16_t, ServerId>> add;  ///< to be sent first
  /// To be dropped once all of `add` stands: moved away, doubled, or with holders that are gone.
  std::vector<ReleasedShard> drop;
  bool empty() const { return add.empty() && drop.empty(); }
};

/// What brings a stripe that keeps its k to its present shape: lost shards replaced, the deal
/// evened out, own copies added while W < 3 and dropped once three stand elsewhere.
Upkeep upkeep_of(const Stripe& stripe, const NetworkView& view);

}  // namespace spatter
