// The Merkle tree over the leaves of a shard: how a reader checks any range of a shard that some
// other machine kept, knowing only the 32-byte shard root.
//
// The tree is RFC 6962's: a leaf's hash is SHA-256(0x00, leaf), a node's is SHA-256(0x01, left,
// right), and a tree of n leaves is split at the largest power of two below n. That is the same as
// pairing neighbours level by level and lifting an odd last one unchanged, which is how it is
// computed here. Leaves are 16 KiB; the last one of a shard may be shorter, never empty.
//
// A range proof for leaves [first, first + count) holds the hashes that are missing to come from
// those leaves to the root: level by level from the leaves upward, at each level the left
// neighbour of the range (when the range begins at an odd place), then the right neighbour (when
// it ends after an odd number of nodes and one follows). Its length follows from the tree's size
// and the range alone, so a proof of any other length is refused before it is looked at.
//
// All functions are pure and may be called on any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "crypto/hash.h"

namespace spatter {

inline constexpr std::size_t leaf_bytes = 16384;

/// How many leaves a shard of `shard_size` bytes has; 0 for an empty one.
constexpr std::uint64_t leaf_count(std::uint64_t shard_size) {
  return shard_size / leaf_bytes + (shard_size % leaf_bytes != 0);
}

/// The leaf hashes of a shard, or of a part of one that begins at a leaf.
std::vector<Digest> leaf_hashes(ByteView shard);

/// The root over all leaves of a shard. Of no leaves it is SHA-256 of nothing, as in RFC 6962.
Digest merkle_root(std::span<const Digest> leaves);

/// Bytes of the proof for `count` leaves from `first` in a tree of `total`; nothing when the range
/// is empty or not inside the tree.
std::optional<std::size_t> range_proof_bytes(std::uint64_t total, std::uint64_t first,
                                             std::uint64_t count);

/// The proof for leaves [first, first + count) of the tree over all `leaves`. The range must not be
/// empty and must lie inside.
Bytes range_proof(std::span<const Digest> leaves, std::size_t first, std::size_t count);

/// Whether `leaves` are the leaf hashes from place `first` on of a shard of `shard_size` bytes with
/// this root. Everything but `root` and `shard_size` may come from a stranger: any wrong count,
/// place or byte gives false. Costs no more than hashing the leaves given.
bool verify_range(const Digest& root, std::uint64_t shard_size, std::uint64_t first,
                  std::span<const Digest> leaves, ByteView proof);

/// leaf_hashes of a shard that comes in pieces of any size. Whole leaves inside a piece are hashed
/// side by side without copying; only a leaf that straddles pieces is collected first.
class LeafHasher {
 public:
  void update(ByteView piece);
  /// The hashes of all leaves; the object then starts a new shard.
  std::vector<Digest> finish();
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::vector<Digest> hashes_;
  Bytes partial_;
  std::uint64_t bytes_ = 0;
};

}  // namespace spatter
