// Eight nonces in the lanes of AVX2 registers.
#include <immintrin.h>

#include "scan_body.h"

namespace spatter::mining_internal {
namespace {

struct Vector {
  using Word = __m256i;
  static constexpr std::size_t lanes = lanes_avx2;

  static SPATTER_INLINE Word add(Word a, Word b) { return _mm256_add_epi32(a, b); }
  static SPATTER_INLINE Word xor3(Word a, Word b, Word c) {
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
  }
  static SPATTER_INLINE Word choose(Word a, Word b, Word c) {
    return _mm256_xor_si256(c, _mm256_and_si256(a, _mm256_xor_si256(b, c)));
  }
  static SPATTER_INLINE Word majority(Word a, Word b, Word c) {
    return _mm256_xor_si256(
        b, _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(b, c)));
  }
  template <int n>
  static SPATTER_INLINE Word ror(Word a) {
    return _mm256_xor_si256(_mm256_srli_epi32(a, n), _mm256_slli_epi32(a, 32 - n));
  }
  template <int n>
  static SPATTER_INLINE Word shr(Word a) { return _mm256_srli_epi32(a, n); }
  static SPATTER_INLINE Word all(std::uint32_t value) {
    return _mm256_set1_epi32(static_cast<int>(value));
  }
  static SPATTER_INLINE Word load(const std::uint32_t& value) { return all(value); }
  static SPATTER_INLINE Word reversed(Word a) {
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    return _mm256_shuffle_epi8(a, order);
  }
  static SPATTER_INLINE Word nonces(std::uint32_t first) {
    return reversed(add(all(first), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0)));
  }
  static SPATTER_INLINE std::uint32_t not_above(Word w, std::uint32_t top) {
    const __m256i number = reversed(w);
    const __m256i fits = _mm256_cmpeq_epi32(_mm256_min_epu32(number, all(top)), number);
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(fits)));
  }
};

}  // namespace

std::uint64_t search_avx2(const ScanPlan& plan, std::uint32_t first, std::uint64_t groups,
                          std::uint32_t* masks) {
  return Lanes<Vector>::search<1>(plan, first, groups, masks);
}

}  // namespace spatter::mining_internal
