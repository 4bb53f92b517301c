// A shard in a file of its own: the shard's bytes first, so that a range is read where it lies, then
// all that is needed to serve it and to know what it is without the index. Blocking calls.
//
//   size bytes          the shard
//   32 * leaves         leaf hashes
//   d bytes             stripe descriptor (wire Signed)
//   c bytes             contract with both signatures, as of when the file was made
//   64 bytes            footer: "SPSHARD1", u64 size, u32 d, u32 c, u64 zero (little-endian), then
//                       SHA-256 of everything from the leaf hashes to here
#pragma once

#include <optional>
#include <string>

#include "base/disk.h"
#include "crypto/merkle.h"
#include "serverhalf/shard_store.h"

namespace spatter::serverhalf {

inline constexpr std::uint64_t footer_bytes = 64;
/// Longer tails than any we write are refused unread.
inline constexpr std::uint64_t tail_bytes_max = 64 << 10;

std::string shard_folder(const std::string& root, const StripeId& stripe);  ///< root/shards/ab
std::string shard_path(const std::string& root, const ShardKey& key);
/// The key of a file name inside a shard folder; nothing when it is not one of ours.
std::optional<ShardKey> parse_shard_name(std::string_view folder_name, std::string_view name);

Bytes make_tail(std::uint64_t size, std::span<const Digest> leaves, std::string_view descriptor,
                std::string_view contract);

struct ShardTail {
  std::uint64_t size = 0;
  std::vector<Digest> leaves;
  std::string descriptor;
  std::string contract;
};
/// `tail` is all that follows the shard's bytes. Errc::corrupt when it is not as it was made.
Result<ShardTail> parse_tail(ByteView tail);
/// Finds and reads the tail of a whole file.
Result<ShardTail> read_tail(File& file);

/// Exactly out.size() bytes; a shorter file is Errc::corrupt.
Result<void> read_exactly(File& file, std::uint64_t offset, MutableBytes out);

/// What is wrong with the bytes of a shard, if anything: compares the stored leaf hashes with the
/// root, then every leaf with its hash.
std::optional<std::string> compare_shard(ByteView bytes, std::span<const Digest> leaves,
                                         const Digest& root);

}  // namespace spatter::serverhalf
