// Places in the directory's key space: 256-bit numbers, near one another when their XOR is small
// (Maymounkov and Mazieres, "Kademlia", 2002).
//
// A server's position is the hash of its key and of draws that other persons made for it
// (directory/place_rule.h): whoever makes keys by the million still cannot choose where he stands. A
// record's position is the hash of its key.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>

#include "base/ids.h"

namespace spatter {

using Position = Id<struct PositionTag>;

/// SHA-256("spatter/1 position" || 0x00 || server key || draw); `draw` is that of its place
/// (directory/place_draw.h).
Position server_position(ByteView server_key, const Digest& draw);

/// The XOR of two positions, as a number: most significant word first.
struct Distance {
  std::array<std::uint64_t, 4> words{};

  auto operator<=>(const Distance&) const = default;
  /// How many leading bits two positions share; 256 when they are the same.
  int shared_bits() const {
    for (int i = 0; i < 4; ++i)
      if (words[static_cast<std::size_t>(i)] != 0)
        return 64 * i + std::countl_zero(words[static_cast<std::size_t>(i)]);
    return 256;
  }
  /// As a share of the whole space, in [0, 1).
  double share() const {
    return static_cast<double>(words[0]) * 0x1p-64 + static_cast<double>(words[1]) * 0x1p-128;
  }
};

inline std::uint64_t position_word(const Position& position, std::size_t word) {
  std::uint64_t value;
  std::memcpy(&value, position.bytes.data() + 8 * word, sizeof value);
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
  return value;
}

inline Distance distance(const Position& a, const Position& b) {
  Distance result;
  for (std::size_t i = 0; i < 4; ++i) result.words[i] = position_word(a, i) ^ position_word(b, i);
  return result;
}

}  // namespace spatter
