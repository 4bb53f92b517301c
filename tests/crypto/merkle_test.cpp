// The tree against RFC 6962's recursive definition and the published roots of the Certificate
// Transparency test data; range proofs exhaustively for small trees, and that nothing wrong is
// ever accepted.
#include "crypto/merkle.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "hex.h"

namespace spatter {
namespace {

Digest hash_with_prefix(std::uint8_t prefix, ByteView a, ByteView b = {}) {
  return Sha256().update({&prefix, 1}).update(a).update(b).finish();
}

/// RFC 6962, 2.1, as written there.
Digest tree_hash(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256({});
  if (leaves.size() == 1) return leaves[0];
  std::size_t k = 1;
  while (2 * k < leaves.size()) k *= 2;
  return hash_with_prefix(1, tree_hash(leaves.first(k)).view(),
                          tree_hash(leaves.subspan(k)).view());
}

std::vector<Digest> some_leaves(std::size_t count) {
  std::vector<Digest> leaves(count);
  for (std::size_t i = 0; i < count; ++i) leaves[i] = sha256(as_bytes(std::to_string(i)));
  return leaves;
}

constexpr std::uint64_t shard_of(std::uint64_t leaves) {
  return leaves * leaf_bytes;
}

TEST(Merkle, RootsOfTheCertificateTransparencyTestData) {
  const std::vector<std::string> inputs = {"",
                                           "00",
                                           "10",
                                           "2021",
                                           "3031",
                                           "40414243",
                                           "5051525354555657",
                                           "606162636465666768696a6b6c6d6e6f"};
  const std::vector<std::string> roots = {
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  std::vector<Digest> leaves;
  EXPECT_EQ(merkle_root(leaves).hex(), roots[0]);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    leaves.push_back(hash_with_prefix(0, hex(inputs[i])));
    EXPECT_EQ(merkle_root(leaves).hex(), roots[i + 1]) << i + 1 << " leaves";
  }
}

TEST(Merkle, EqualToTheRecursiveDefinitionForEveryCount) {
  const std::vector<Digest> leaves = some_leaves(300);
  for (std::size_t count = 0; count <= leaves.size(); ++count)
    ASSERT_EQ(merkle_root(std::span(leaves).first(count)),
              tree_hash(std::span(leaves).first(count)));
}

TEST(Merkle, LeavesAreSixteenKibWithAShorterLastOne) {
  const Bytes shard = pattern(3 * leaf_bytes + 5);
  const std::vector<Digest> hashes = leaf_hashes(shard);
  ASSERT_EQ(hashes.size(), 4);
  EXPECT_EQ(leaf_count(shard.size()), 4);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(hashes[i], hash_with_prefix(0, ByteView(shard).subspan(i * leaf_bytes, leaf_bytes)));
  EXPECT_EQ(hashes[3], hash_with_prefix(0, ByteView(shard).last(5)));
  EXPECT_TRUE(leaf_hashes({}).empty());
  EXPECT_EQ(leaf_count(std::uint64_t{0} - 1), std::uint64_t{1} << 50);
}

TEST(Merkle, LeafHasherTakesPiecesOfAnySize) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(0, 20 * leaf_bytes);
    const Bytes shard = pattern(size);
    LeafHasher hasher;
    for (ByteView rest = shard; !rest.empty();) {
      const auto most =
          *rc::gen::element<std::size_t>(10, leaf_bytes - 1, leaf_bytes, 5 * leaf_bytes);
      const auto piece = std::min(*rc::gen::inRange<std::size_t>(most / 2, most + 2), rest.size());
      hasher.update(rest.first(piece));
      rest = rest.subspan(piece);
    }
    RC_ASSERT(hasher.bytes() == size);
    RC_ASSERT(hasher.finish() == leaf_hashes(shard));
    hasher.update(as_bytes("a new shard"));
    RC_ASSERT(hasher.finish() == leaf_hashes(as_bytes("a new shard")));
  }));
}

TEST(RangeProof, EveryRangeOfEverySmallTreeVerifies) {
  const std::vector<Digest> all = some_leaves(33);
  for (std::size_t total = 1; total <= all.size(); ++total) {
    const std::span leaves = std::span(all).first(total);
    const Digest root = tree_hash(leaves);
    for (std::size_t first = 0; first < total; ++first)
      for (std::size_t count = 1; count <= total - first; ++count) {
        const Bytes proof = range_proof(leaves, first, count);
        ASSERT_EQ(proof.size(), range_proof_bytes(total, first, count));
        ASSERT_TRUE(verify_range(root, shard_of(total), first, leaves.subspan(first, count), proof))
            << first << "+" << count << " of " << total;
      }
  }
}

TEST(RangeProof, OrderIsLevelByLevelLeftBeforeRight) {
  const std::vector<Digest> l = some_leaves(7);
  auto node = [](const Digest& a, const Digest& b) {
    return hash_with_prefix(1, a.view(), b.view());
  };
  Bytes expected = to_bytes(l[2].view());                 // left of leaf 3
  for (const Digest& d : {l[5], node(l[0], l[1]), l[6]})  // right of 4; left, right one level up
    expected.insert(expected.end(), d.bytes.begin(), d.bytes.end());
  EXPECT_EQ(range_proof(l, 3, 2), expected);
}

TEST(RangeProof, WrongPlaceCountSizeRootOrLengthIsRejected) {
  const std::vector<Digest> all = some_leaves(21);
  const std::size_t total = all.size();
  const Digest root = merkle_root(all);
  for (std::size_t first = 0; first < total; ++first)
    for (std::size_t count = 1; count <= total - first; ++count) {
      const Bytes proof = range_proof(all, first, count);
      const std::span leaves = std::span(all).subspan(first, count);
      for (std::size_t other = 0; other <= total + 1; ++other)
        ASSERT_EQ(verify_range(root, shard_of(total), other, leaves, proof), other == first);
      ASSERT_FALSE(verify_range(root, shard_of(total), std::uint64_t{0} - 1, leaves, proof));
      for (std::size_t fewer = 0; fewer < count; ++fewer)
        ASSERT_FALSE(verify_range(root, shard_of(total), first, leaves.first(fewer), proof));
      std::vector<Digest> more(leaves.begin(), leaves.end());
      more.push_back(all[0]);
      ASSERT_FALSE(verify_range(root, shard_of(total), first, more, proof));
      ASSERT_FALSE(verify_range(sha256({}), shard_of(total), first, leaves, proof));

      Bytes longer = proof;
      longer.insert(longer.end(), 32, 0);
      ASSERT_FALSE(verify_range(root, shard_of(total), first, leaves, longer));
      ASSERT_FALSE(verify_range(root, shard_of(total), first, leaves,
                                ByteView(longer).first(proof.size() + 1)));
      if (!proof.empty()) {
        ASSERT_FALSE(verify_range(root, shard_of(total), first, leaves,
                                  ByteView(proof).first(proof.size() - 32)));
        ASSERT_FALSE(
            verify_range(root, shard_of(total), first, leaves, ByteView(proof).subspan(32)));
      }
    }
  EXPECT_FALSE(verify_range(merkle_root({}), 0, 0, {}, {}));
}

TEST(RangeProof, AnyFlippedBitOfLeavesProofOrRootIsRejected) {
  EXPECT_TRUE(rc::check([] {
    const auto total = *rc::gen::inRange<std::size_t>(1, 600);
    const std::vector<Digest> all = some_leaves(total);
    const auto first = *rc::gen::inRange<std::size_t>(0, total);
    const auto count = *rc::gen::inRange<std::size_t>(1, total - first + 1);
    Digest root = merkle_root(all);
    Bytes proof = range_proof(all, first, count);
    std::vector<Digest> leaves(all.begin() + static_cast<std::ptrdiff_t>(first),
                               all.begin() + static_cast<std::ptrdiff_t>(first + count));
    RC_ASSERT(verify_range(root, shard_of(total), first, leaves, proof));

    const auto bit = static_cast<std::uint8_t>(1U << *rc::gen::inRange(0, 8));
    const auto at = *rc::gen::inRange<std::size_t>(0, 32 + 32 * leaves.size() + proof.size());
    if (at < 32)
      root.bytes[at] ^= bit;
    else if (at < 32 + 32 * leaves.size())
      leaves[(at - 32) / 32].bytes[at % 32] ^= bit;
    else
      proof[at - 32 - 32 * leaves.size()] ^= bit;
    RC_ASSERT(!verify_range(root, shard_of(total), first, leaves, proof));
  }));
}

TEST(RangeProof, AHugeClaimedShardCostsNothing) {
  const std::vector<Digest> leaves = some_leaves(2);
  EXPECT_FALSE(verify_range(leaves[0], std::uint64_t{0} - 1, 0, leaves, Bytes(49 * 32)));
  EXPECT_EQ(range_proof_bytes(std::uint64_t{1} << 50, 1, 1), 50 * 32);
}

}  // namespace
}  // namespace spatter
