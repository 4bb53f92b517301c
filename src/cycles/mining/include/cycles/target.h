// How hard a hash is, in exact 256-bit numbers: a hash counts when, read as a number, it is not above a
// target. Pure functions, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"

namespace spatter::mining {

struct Uint256 {
  std::uint64_t words[4] = {};  ///< the least significant first

  std::strong_ordering operator<=>(const Uint256& other) const;
  bool operator==(const Uint256&) const = default;
  std::string hex() const;  ///< 64 digits, the most significant first, as block hashes are written

  static Uint256 max();
};

/// A double SHA-256 as bitcoin reads it: the first byte is the least significant.
Uint256 number_of(const Digest& hash);

/// The target of difficulty 1 as pools count it: 0xffff followed by 208 zero bits.
Uint256 target_of_difficulty_one();

/// That target divided by `difficulty`, rounded down; a difficulty so small that the quotient would not
/// fit gives the largest number. The double is taken exactly as the binary fraction that it is. It
/// must be finite and above 0.
Uint256 target_of_difficulty(double difficulty);

/// The difficulty for which `number` would just do; for people to read. Infinite for 0.
double difficulty_of(const Uint256& number);

/// A header's compact target ("bits": one byte of length, three of mantissa). Refuses what bitcoin
/// does: negative ones, zero, more than 256 bits.
Result<Uint256> target_of_bits(std::uint32_t bits);

}  // namespace spatter::mining
