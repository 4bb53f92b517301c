#include "shard_file.h"

#include <charconv>
#include <cstring>

#include "crypto/hash.h"
#include "trust/contract.h"

namespace spatter::serverhalf {
namespace {

constexpr std::string_view magic = "SPSHARD1";

template <class Number>
void put_number(Bytes& out, Number value) {
  for (std::size_t i = 0; i < sizeof value; ++i)
    out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

template <class Number>
Number get_number(const std::uint8_t* in) {
  Number value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value |= static_cast<Number>(in[i]) << (8 * i);
  return value;
}

void append(Bytes& out, ByteView more) { out.insert(out.end(), more.begin(), more.end()); }

}  // namespace

std::string shard_folder(const std::string& root, const StripeId& stripe) {
  return root + "/shards/" + to_hex(stripe.view().first(1));
}

std::string shard_path(const std::string& root, const ShardKey& key) {
  return fmt::format("{}/{}.{}", shard_folder(root, key.stripe), key.stripe.hex(), key.index);
}

std::optional<ShardKey> parse_shard_name(std::string_view folder_name, std::string_view name) {
  if (name.size() < 66 || name[64] != '.') return {};
  auto stripe = StripeId::from_hex(name.substr(0, 64));
  if (!stripe || name.substr(0, 2) != folder_name || name.substr(0, 64) != stripe->hex()) return {};
  const std::string_view digits = name.substr(65);
  ShardKey key{*stripe, 0};
  auto [end, error] = std::from_chars(digits.begin(), digits.end(), key.index);
  if (error != std::errc() || end != digits.end() || key.index > shard_index_max ||
      std::to_string(key.index) != digits)
    return {};
  return key;
}

Bytes make_tail(std::uint64_t size, std::span<const Digest> leaves, std::string_view descriptor,
                std::string_view contract) {
  Bytes tail;
  tail.reserve(leaves.size() * 32 + descriptor.size() + contract.size() + footer_bytes);
  for (const Digest& leaf : leaves) append(tail, leaf.view());
  append(tail, as_bytes(descriptor));
  append(tail, as_bytes(contract));
  append(tail, as_bytes(magic));
  put_number<std::uint64_t>(tail, size);
  put_number<std::uint32_t>(tail, static_cast<std::uint32_t>(descriptor.size()));
  put_number<std::uint32_t>(tail, static_cast<std::uint32_t>(contract.size()));
  put_number<std::uint64_t>(tail, 0);
  append(tail, sha256(tail).view());
  return tail;
}

Result<ShardTail> parse_tail(ByteView tail) {
  if (tail.size() < footer_bytes || tail.size() > tail_bytes_max)
    return fail(Errc::corrupt, "a tail of {} bytes", tail.size());
  const std::uint8_t* footer = tail.data() + tail.size() - footer_bytes;
  if (std::memcmp(footer, magic.data(), magic.size()) != 0)
    return fail(Errc::corrupt, "no footer of a shard file");
  const Digest whole = sha256(tail.first(tail.size() - 32));
  if (std::memcmp(whole.bytes.data(), tail.data() + tail.size() - 32, 32) != 0)
    return fail(Errc::corrupt, "the leaf hashes and the contract in the file have changed");
  ShardTail parsed;
  parsed.size = get_number<std::uint64_t>(footer + 8);
  const std::uint64_t descriptor = get_number<std::uint32_t>(footer + 16);
  const std::uint64_t contract = get_number<std::uint32_t>(footer + 20);
  if (parsed.size < 1 || parsed.size > shard_bytes_max)
    return fail(Errc::corrupt, "a footer that speaks of {} bytes", parsed.size);
  const std::uint64_t leaves = leaf_count(parsed.size);
  if (tail.size() != leaves * 32 + descriptor + contract + footer_bytes)
    return fail(Errc::corrupt, "a footer that does not fit its file");
  parsed.leaves.resize(leaves);
  for (std::uint64_t i = 0; i < leaves; ++i)
    std::memcpy(parsed.leaves[i].bytes.data(), tail.data() + 32 * i, 32);
  parsed.descriptor = to_string(tail.subspan(leaves * 32, descriptor));
  parsed.contract = to_string(tail.subspan(leaves * 32 + descriptor, contract));
  return parsed;
}

Result<ShardTail> read_tail(File& file) {
  TRY(const std::uint64_t file_size, file.size());
  if (file_size < footer_bytes) return fail(Errc::corrupt, "a file of {} bytes", file_size);
  Bytes footer(footer_bytes);
  TRY_VOID(read_exactly(file, file_size - footer_bytes, footer));
  if (std::memcmp(footer.data(), magic.data(), magic.size()) != 0)
    return fail(Errc::corrupt, "no footer of a shard file");
  const auto size = get_number<std::uint64_t>(footer.data() + 8);
  if (size > file_size || file_size - size > tail_bytes_max)
    return fail(Errc::corrupt, "a footer that does not fit its file");
  Bytes tail(file_size - size);
  TRY_VOID(read_exactly(file, size, tail));
  return parse_tail(tail);
}

Result<void> read_exactly(File& file, std::uint64_t offset, MutableBytes out) {
  TRY(const std::size_t got, file.read_at(offset, out));
  if (got != out.size())
    return fail(Errc::corrupt, "the file ends after {} bytes", offset + got);
  return {};
}

std::optional<std::string> compare_shard(ByteView bytes, std::span<const Digest> leaves,
                                         const Digest& root) {
  if (leaves.size() != leaf_count(bytes.size()) || merkle_root(leaves) != root)
    return "its leaf hashes do not lead to the contract's root";
  const auto found = leaf_hashes(bytes);
  for (std::size_t i = 0; i < found.size(); ++i)
    if (found[i] != leaves[i]) return fmt::format("leaf {} has changed", i);
  return {};
}

}  // namespace spatter::serverhalf
