#include "crypto/merkle.h"

namespace spatter {
namespace {

constexpr std::uint8_t leaf_prefix = 0x00;
constexpr std::uint8_t node_prefix = 0x01;

static_assert(sizeof(Digest) == Digest::size_bytes, "two digests in a row are a node's content");

/// One level up: neighbours are paired from the first on; an odd last one is lifted unchanged.
std::vector<Digest> level_above(std::span<const Digest> nodes) {
  std::vector<ByteView> pairs(nodes.size() / 2);
  for (std::size_t i = 0; i < pairs.size(); ++i)
    pairs[i] = {nodes[2 * i].bytes.data(), 2 * Digest::size_bytes};
  std::vector<Digest> above((nodes.size() + 1) / 2);
  sha256_many(pairs, std::span(above).first(pairs.size()), node_prefix);
  if (nodes.size() % 2 != 0) above.back() = nodes.back();
  return above;
}

/// A range of nodes on its way from the leaves to the root of a tree.
struct Climb {
  std::uint64_t total;  ///< nodes on this level
  std::uint64_t begin;
  std::uint64_t end;

  bool at_root() const { return total <= 1; }
  bool needs_left() const { return begin % 2 != 0; }
  bool needs_right() const { return end % 2 != 0 && end < total; }
  void up() {
    begin /= 2;
    end = end / 2 + end % 2;
    total = total / 2 + total % 2;
  }
};

bool inside(std::uint64_t total, std::uint64_t first, std::uint64_t count) {
  return count != 0 && first < total && count <= total - first;
}

void append(Bytes& proof, const Digest& digest) {
  proof.insert(proof.end(), digest.bytes.begin(), digest.bytes.end());
}

}  // namespace

std::vector<Digest> leaf_hashes(ByteView shard) {
  std::vector<ByteView> leaves(leaf_count(shard.size()));
  for (std::size_t i = 0; i < leaves.size(); ++i)
    leaves[i] = shard.subspan(i * leaf_bytes, std::min(leaf_bytes, shard.size() - i * leaf_bytes));
  std::vector<Digest> hashes(leaves.size());
  sha256_many(leaves, hashes, leaf_prefix);
  return hashes;
}

Digest merkle_root(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256({});
  if (leaves.size() == 1) return leaves[0];
  std::vector<Digest> level = level_above(leaves);
  while (level.size() > 1) level = level_above(level);
  return level[0];
}

std::optional<std::size_t> range_proof_bytes(std::uint64_t total, std::uint64_t first,
                                             std::uint64_t count) {
  if (!inside(total, first, count)) return std::nullopt;
  std::size_t hashes = 0;
  for (Climb climb{total, first, first + count}; !climb.at_root(); climb.up())
    hashes += static_cast<std::size_t>(climb.needs_left()) + climb.needs_right();
  return hashes * Digest::size_bytes;
}

Bytes range_proof(std::span<const Digest> leaves, std::size_t first, std::size_t count) {
  SPATTER_ASSERT(inside(leaves.size(), first, count));
  Bytes proof;
  std::vector<Digest> own;
  std::span<const Digest> level = leaves;
  for (Climb climb{leaves.size(), first, first + count}; !climb.at_root(); climb.up()) {
    if (climb.needs_left()) append(proof, level[climb.begin - 1]);
    if (climb.needs_right()) append(proof, level[climb.end]);
    own = level_above(level);
    level = own;
  }
  return proof;
}

bool verify_range(const Digest& root, std::uint64_t shard_size, std::uint64_t first,
                  std::span<const Digest> leaves, ByteView proof) {
  const std::uint64_t total = leaf_count(shard_size);
  const auto proof_bytes = range_proof_bytes(total, first, leaves.size());
  if (!proof_bytes || proof.size() != *proof_bytes) return false;

  auto take = [&proof] {
    Digest digest;
    std::memcpy(digest.bytes.data(), proof.data(), Digest::size_bytes);
    proof = proof.subspan(Digest::size_bytes);
    return digest;
  };
  std::vector<Digest> nodes;
  nodes.reserve(leaves.size() + 2);
  nodes.assign(leaves.begin(), leaves.end());
  for (Climb climb{total, first, first + leaves.size()}; !climb.at_root(); climb.up()) {
    if (climb.needs_left()) nodes.insert(nodes.begin(), take());
    if (climb.needs_right()) nodes.push_back(take());
    nodes = level_above(nodes);
  }
  return nodes.size() == 1 && nodes[0] == root;
}

void LeafHasher::update(ByteView piece) {
  bytes_ += piece.size();
  if (!partial_.empty()) {
    const std::size_t missing = std::min(leaf_bytes - partial_.size(), piece.size());
    partial_.insert(partial_.end(), piece.begin(),
                    piece.begin() + static_cast<std::ptrdiff_t>(missing));
    piece = piece.subspan(missing);
    if (partial_.size() < leaf_bytes) return;
    hashes_.push_back(leaf_hashes(partial_)[0]);
    partial_.clear();
  }
  const std::size_t whole = piece.size() / leaf_bytes * leaf_bytes;
  const std::vector<Digest> more = leaf_hashes(piece.first(whole));
  hashes_.insert(hashes_.end(), more.begin(), more.end());
  piece = piece.subspan(whole);
  partial_.insert(partial_.end(), piece.begin(), piece.end());
}

std::vector<Digest> LeafHasher::finish() {
  if (!partial_.empty()) hashes_.push_back(leaf_hashes(partial_)[0]);
  partial_.clear();
  bytes_ = 0;
  return std::exchange(hashes_, {});
}

}  // namespace spatter
