#include "cycles/target.h"

#include <cmath>
#include <limits>
#include <vector>

namespace spatter::mining {

std::strong_ordering Uint256::operator<=>(const Uint256& other) const {
  for (int i = 3; i >= 0; --i)
    if (words[i] != other.words[i]) return words[i] <=> other.words[i];
  return std::strong_ordering::equal;
}

std::string Uint256::hex() const {
  return fmt::format("{:016x}{:016x}{:016x}{:016x}", words[3], words[2], words[1], words[0]);
}

Uint256 Uint256::max() {
  Uint256 result;
  for (auto& word : result.words) word = UINT64_MAX;
  return result;
}

Uint256 number_of(const Digest& hash) {
  Uint256 result;
  for (std::size_t i = 0; i < 32; ++i)
    result.words[i / 8] |= std::uint64_t{hash.bytes[i]} << (8 * (i % 8));
  return result;
}

Uint256 target_of_difficulty_one() {
  Uint256 result;
  result.words[3] = 0xffff0000;
  return result;
}

Uint256 target_of_difficulty(double difficulty) {
  SPATTER_ASSERT(std::isfinite(difficulty) && difficulty > 0);
  // difficulty = mantissa * 2^exponent exactly, the mantissa below 2^53.
  int exponent = 0;
  const double fraction = std::frexp(difficulty, &exponent);
  const auto mantissa = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
  exponent -= 53;
  // 0xffff * 2^(208 - exponent) / mantissa, by long division, 64 bits at a time.
  const int shift = 208 - exponent;
  if (shift < 0) return {};  // not even the dividend reaches 1
  std::vector<std::uint64_t> dividend(static_cast<std::size_t>(shift) / 64 + 2);
  const auto at = static_cast<std::size_t>(shift) / 64;
  const unsigned __int128 ones = static_cast<unsigned __int128>(0xffff) << (shift % 64);
  dividend[at] = static_cast<std::uint64_t>(ones);
  dividend[at + 1] = static_cast<std::uint64_t>(ones >> 64);
  Uint256 result;
  unsigned __int128 rest = 0;
  for (std::size_t i = dividend.size(); i-- > 0;) {
    const unsigned __int128 part = rest << 64 | dividend[i];
    const auto digit = static_cast<std::uint64_t>(part / mantissa);
    rest = part % mantissa;
    if (i < 4)
      result.words[i] = digit;
    else if (digit != 0)
      return Uint256::max();
  }
  return result;
}

double difficulty_of(const Uint256& number) {
  double value = 0;
  for (int i = 3; i >= 0; --i) value = value * 0x1p64 + static_cast<double>(number.words[i]);
  if (value == 0) return std::numeric_limits<double>::infinity();
  return 0xffff * 0x1p208 / value;
}

Result<Uint256> target_of_bits(std::uint32_t bits) {
  const std::uint32_t mantissa = bits & 0x7fffff;
  const int bytes = static_cast<int>(bits >> 24);
  auto bad = [&](std::string_view why) {
    return fail(Errc::invalid, "{:08x} is no target of a block: {}", bits, why);
  };
  if ((bits & 0x800000) != 0) return bad("it is negative");
  Uint256 result;
  for (int i = 0; i < 3; ++i) {
    const int place = bytes - 3 + i;  // of this byte of the mantissa, in the number
    const std::uint64_t byte = mantissa >> (8 * i) & 0xff;
    if (byte == 0 || place < 0) continue;
    if (place >= 32) return bad("it has more than 256 bits");
    result.words[place / 8] |= byte << (8 * (place % 8));
  }
  if (result == Uint256{}) return bad("no hash is below it");
  return result;
}

}  // namespace spatter::mining
