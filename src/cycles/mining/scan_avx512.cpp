// Sixteen nonces in the lanes of AVX-512 registers.
#include <immintrin.h>

#include "scan_body.h"

namespace spatter::mining_internal {
namespace {

struct Vector {
  using Word = __m512i;
  static constexpr std::size_t lanes = lanes_avx512;

  static SPATTER_INLINE Word add(Word a, Word b) { return _mm512_add_epi32(a, b); }
  // Truth tables: bit (a << 2 | b << 1 | c) is the result.
  static SPATTER_INLINE Word xor3(Word a, Word b, Word c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0x96);
  }
  static SPATTER_INLINE Word choose(Word a, Word b, Word c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0xCA);
  }
  static SPATTER_INLINE Word majority(Word a, Word b, Word c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0xE8);
  }
  template <int n>
  static SPATTER_INLINE Word ror(Word a) { return _mm512_ror_epi32(a, n); }
  template <int n>
  static SPATTER_INLINE Word shr(Word a) { return _mm512_srli_epi32(a, n); }
  static SPATTER_INLINE Word all(std::uint32_t value) {
    return _mm512_set1_epi32(static_cast<int>(value));
  }
  static SPATTER_INLINE Word load(const std::uint32_t& value) { return all(value); }
  static SPATTER_INLINE Word reversed(Word a) {
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    return _mm512_shuffle_epi8(a, order);
  }
  static SPATTER_INLINE Word nonces(std::uint32_t first) {
    const __m512i counts = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return reversed(add(all(first), counts));
  }
  static SPATTER_INLINE std::uint32_t not_above(Word w, std::uint32_t top) {
    return _mm512_cmple_epu32_mask(reversed(w), all(top));
  }
};

}  // namespace

std::uint64_t search_avx512(const ScanPlan& plan, std::uint32_t first, std::uint64_t groups,
                            std::uint32_t* masks) {
  return Lanes<Vector>::search<2>(plan, first, groups, masks);
}

}  // namespace spatter::mining_internal
