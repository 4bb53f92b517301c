#include "cycles/mining_work.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace spatter::mining {
namespace {

/// The bits of `value`, from the lowest on, at the places where `mask` has bits.
std::uint32_t deposit(std::uint64_t value, std::uint32_t mask) {
  std::uint32_t result = 0;
  for (; mask != 0; mask &= mask - 1, value >>= 1)
    if ((value & 1) != 0) result |= mask & -mask;
  return result;
}

void put(std::uint8_t* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

}  // namespace

Bytes coinbase_of(const MiningWork& work, ByteView extranonce2) {
  Bytes coinbase = work.job.coinbase1;
  const Bytes& extranonce1 = work.extranonce.extranonce1;
  coinbase.insert(coinbase.end(), extranonce1.begin(), extranonce1.end());
  coinbase.insert(coinbase.end(), extranonce2.begin(), extranonce2.end());
  coinbase.insert(coinbase.end(), work.job.coinbase2.begin(), work.job.coinbase2.end());
  return coinbase;
}

Digest merkle_root(ByteView coinbase, std::span<const Digest> branches) {
  Digest root = double_sha256(coinbase);
  std::uint8_t pair[64];
  for (const Digest& branch : branches) {
    std::ranges::copy(root.bytes, pair);
    std::ranges::copy(branch.bytes, pair + 32);
    root = double_sha256(pair);
  }
  return root;
}

BlockHeader header_of(const MiningWork& work, ByteView extranonce2, std::uint32_t time,
                      std::uint32_t nonce, std::uint32_t version) {
  BlockHeader header;
  put(header.data(), version);
  std::ranges::copy(work.job.previous.bytes, header.data() + 4);
  const Digest root = merkle_root(coinbase_of(work, extranonce2), work.job.branches);
  std::ranges::copy(root.bytes, header.data() + 36);
  put(header.data() + 68, time);
  put(header.data() + 72, work.job.bits);
  put(header.data() + 76, nonce);
  return header;
}

std::optional<SearchUnit> unit_of(const MiningWork& work, std::uint64_t index,
                                  std::uint64_t seconds_since_received) {
  const std::uint32_t mask = work.version_mask;
  const std::uint64_t versions = std::uint64_t{1} << std::popcount(mask);
  const std::uint64_t each = std::min<std::uint64_t>(versions, HeaderScan::versions_max);
  const std::uint64_t groups = versions / each;
  const unsigned bytes = work.extranonce.extranonce2_bytes;
  const std::uint64_t group = index % groups;
  std::uint64_t count = index / groups;  // of extranonce2, and beyond its end of seconds
  std::uint64_t ahead = 0;
  if (bytes < 8) {
    ahead = count >> (8 * bytes);
    count &= (std::uint64_t{1} << (8 * bytes)) - 1;
  }
  if (ahead > std::min(seconds_since_received + 120, time_ahead_s_max)) return std::nullopt;

  SearchUnit unit;
  unit.extranonce2.resize(bytes);
  std::uint64_t number = work.extranonce2_first + count;
  for (unsigned i = bytes; i-- > 0; number >>= 8)
    unit.extranonce2[i] = static_cast<std::uint8_t>(number);
  unit.time = work.job.time + static_cast<std::uint32_t>(ahead);
  for (std::uint64_t v = 0; v < each; ++v)
    unit.versions.push_back((work.job.version & ~mask) | deposit(group * each + v, mask));
  unit.header = header_of(work, unit.extranonce2, unit.time, 0, unit.versions[0]);
  return unit;
}

}  // namespace spatter::mining
