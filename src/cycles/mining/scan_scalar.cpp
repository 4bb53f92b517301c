// One nonce at a time, for any processor.
#include "scan_body.h"

namespace spatter::mining_internal {
namespace {

struct Vector {
  using Word = std::uint32_t;
  static constexpr std::size_t lanes = lanes_scalar;

  static SPATTER_INLINE Word add(Word a, Word b) { return a + b; }
  static SPATTER_INLINE Word xor3(Word a, Word b, Word c) { return a ^ b ^ c; }
  static SPATTER_INLINE Word choose(Word a, Word b, Word c) { return c ^ (a & (b ^ c)); }
  static SPATTER_INLINE Word majority(Word a, Word b, Word c) { return b ^ ((a ^ b) & (b ^ c)); }
  template <int n>
  static SPATTER_INLINE Word ror(Word a) { return a >> n | a << (32 - n); }
  template <int n>
  static SPATTER_INLINE Word shr(Word a) { return a >> n; }
  static SPATTER_INLINE Word all(std::uint32_t value) { return value; }
  static SPATTER_INLINE Word load(const std::uint32_t& value) { return value; }
  static SPATTER_INLINE Word nonces(std::uint32_t first) { return __builtin_bswap32(first); }
  static SPATTER_INLINE std::uint32_t not_above(Word w, std::uint32_t top) {
    return __builtin_bswap32(w) <= top;
  }
};

}  // namespace

std::uint64_t search_scalar(const ScanPlan& plan, std::uint32_t first, std::uint64_t groups,
                            std::uint32_t* masks) {
  return Lanes<Vector>::search<1>(plan, first, groups, masks);
}

}  // namespace spatter::mining_internal
