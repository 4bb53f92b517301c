// Sixteen SHA-256 messages in the sixteen 32-bit lanes of AVX-512 registers.
#include <immintrin.h>

#include "sha256_lanes.h"

#define SPATTER_AVX512 __attribute__((target("avx512f,avx512bw"), always_inline)) inline

namespace spatter::sha256_internal {
namespace {

// Truth tables for _mm512_ternarylogic_epi32: bit (a << 2 | b << 1 | c) is the result.
constexpr int xor3 = 0x96;
constexpr int choose = 0xCA;  // a ? b : c
constexpr int majority = 0xE8;

SPATTER_AVX512 __m512i add(__m512i a, __m512i b) {
  return _mm512_add_epi32(a, b);
}

SPATTER_AVX512 __m512i big_sigma0(__m512i a) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13),
                                   _mm512_ror_epi32(a, 22), xor3);
}
SPATTER_AVX512 __m512i big_sigma1(__m512i e) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11),
                                   _mm512_ror_epi32(e, 25), xor3);
}
SPATTER_AVX512 __m512i small_sigma0(__m512i w) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(w, 7), _mm512_ror_epi32(w, 18),
                                   _mm512_srli_epi32(w, 3), xor3);
}
SPATTER_AVX512 __m512i small_sigma1(__m512i w) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(w, 17), _mm512_ror_epi32(w, 19),
                                   _mm512_srli_epi32(w, 10), xor3);
}

/// One block of each lane, transposed so that word i of all lanes is in words[i], big-endian read.
SPATTER_AVX512 void load_words(__m512i* words, const std::uint8_t* const* blocks,
                               std::size_t offset) {
  const __m512i swap =
      _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
  __m512i rows[16];
#pragma clang loop unroll(full)
  for (int lane = 0; lane < 16; ++lane)
    rows[lane] = _mm512_shuffle_epi8(_mm512_loadu_si512(blocks[lane] + offset), swap);
  // 4x4 transposition of 32-bit words within each 128-bit quarter, four lanes at a time ...
  __m512i quads[16];
#pragma clang loop unroll(full)
  for (int group = 0; group < 4; ++group) {
    const __m512i* r = rows + 4 * group;
    __m512i low01 = _mm512_unpacklo_epi32(r[0], r[1]), high01 = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i low23 = _mm512_unpacklo_epi32(r[2], r[3]), high23 = _mm512_unpackhi_epi32(r[2], r[3]);
    quads[4 * group + 0] = _mm512_unpacklo_epi64(low01, low23);
    quads[4 * group + 1] = _mm512_unpackhi_epi64(low01, low23);
    quads[4 * group + 2] = _mm512_unpacklo_epi64(high01, high23);
    quads[4 * group + 3] = _mm512_unpackhi_epi64(high01, high23);
  }
  // ... then of the quarters: quarter q of quads[4g + j] holds word 4q + j of lanes 4g to 4g + 3.
#pragma clang loop unroll(full)
  for (int j = 0; j < 4; ++j) {
    __m512i a = _mm512_shuffle_i32x4(quads[j], quads[4 + j], 0x44);
    __m512i b = _mm512_shuffle_i32x4(quads[j], quads[4 + j], 0xEE);
    __m512i c = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], 0x44);
    __m512i d = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], 0xEE);
    words[j] = _mm512_shuffle_i32x4(a, c, 0x88);
    words[4 + j] = _mm512_shuffle_i32x4(a, c, 0xDD);
    words[8 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
    words[12 + j] = _mm512_shuffle_i32x4(b, d, 0xDD);
  }
}

SPATTER_AVX512 void round(__m512i& a, __m512i& b, __m512i& c, __m512i& d, __m512i& e, __m512i& f,
                          __m512i& g, __m512i& h, __m512i word, std::uint32_t constant) {
  __m512i input = add(add(word, _mm512_set1_epi32(static_cast<int>(constant))), h);
  __m512i t1 = add(input, add(big_sigma1(e), _mm512_ternarylogic_epi32(e, f, g, choose)));
  d = add(d, t1);
  h = add(t1, add(big_sigma0(a), _mm512_ternarylogic_epi32(a, b, c, majority)));
}

}  // namespace

__attribute__((target("avx512f,avx512bw"))) void transform_16_avx512(
    std::uint32_t* state, const std::uint8_t* const* blocks, std::size_t count) {
  __m512i s[8];
  for (int i = 0; i < 8; ++i) s[i] = _mm512_loadu_si512(state + 16 * i);
  for (std::size_t block = 0; block < count; ++block) {
    __m512i w[16];
    load_words(w, blocks, block * block_bytes);
    __m512i v[8] = {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]};
#pragma clang loop unroll(disable)
    for (int sixteen = 0; sixteen < 64; sixteen += 16) {
      if (sixteen != 0) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; ++i)
          w[i] = add(add(w[i], small_sigma0(w[(i + 1) % 16])),
                     add(w[(i + 9) % 16], small_sigma1(w[(i + 14) % 16])));
      }
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) {
        // Instead of moving the eight variables along, their names rotate.
        round(v[(64 - i) % 8], v[(65 - i) % 8], v[(66 - i) % 8], v[(67 - i) % 8], v[(68 - i) % 8],
              v[(69 - i) % 8], v[(70 - i) % 8], v[(71 - i) % 8], w[i],
              round_constants[static_cast<std::size_t>(sixteen + i)]);
      }
    }
    for (int i = 0; i < 8; ++i) s[i] = add(s[i], v[i]);
  }
  for (int i = 0; i < 8; ++i) _mm512_storeu_si512(state + 16 * i, s[i]);
}

}  // namespace spatter::sha256_internal
