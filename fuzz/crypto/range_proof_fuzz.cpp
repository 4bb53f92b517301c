// A holder's answer to a read. Input: what the reader asks (total, first, count), which leaf hashes
// and which proof to change how. Only the unchanged answer may be accepted.
#include "crypto/merkle.h"

namespace {

using namespace spatter;

std::vector<Digest> some_leaves(std::size_t count) {
  std::vector<Digest> leaves(count);
  for (std::size_t i = 0; i < count; ++i) {
    leaves[i].bytes[0] = static_cast<std::uint8_t>(i);
    leaves[i].bytes[1] = static_cast<std::uint8_t>(i >> 8);
  }
  return leaves;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 24) return 0;
  auto number = [&data, &size](std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{data[i]} << (8 * i);
    data += bytes;
    size -= bytes;
    return value;
  };
  const std::size_t total = 1 + number(2) % 700;
  const std::vector<Digest> all = some_leaves(total);
  const std::size_t first = number(2) % total;
  const std::size_t count = 1 + number(2) % (total - first);
  const std::uint64_t claimed_first = number(8), claimed_size = number(8);
  const std::uint16_t changes = static_cast<std::uint16_t>(number(2));
  const ByteView rest(data, size);

  std::vector<Digest> leaves(all.begin() + static_cast<std::ptrdiff_t>(first),
                             all.begin() + static_cast<std::ptrdiff_t>(first + count));
  Bytes proof = range_proof(all, first, count);
  SPATTER_ASSERT(proof.size() == range_proof_bytes(total, first, count));
  const std::vector<Digest> true_leaves = leaves;
  const Bytes true_proof = proof;
  if (changes & 1) proof = to_bytes(rest);
  if (changes & 2) proof.insert(proof.end(), rest.begin(), rest.end());
  if (changes & 4 && !rest.empty() && !proof.empty()) proof[rest[0] % proof.size()] ^= rest[0] | 1;
  if (changes & 8) leaves.resize(rest.size() % 1000);
  if (changes & 16 && !rest.empty() && !leaves.empty())
    leaves[rest[0] % leaves.size()].bytes[31] ^= rest[0] | 1;
  const std::uint64_t at = changes & 32 ? claimed_first : first;
  const std::uint64_t shard_size = changes & 64 ? claimed_size : total * leaf_bytes;

  const bool accepted = verify_range(merkle_root(all), shard_size, at, leaves, proof);
  const bool unchanged = at == first && leaves == true_leaves && proof == true_proof;
  if (leaf_count(shard_size) == total)
    SPATTER_ASSERT(accepted == unchanged);
  else
    SPATTER_ASSERT(!accepted || unchanged);
  return 0;
}
