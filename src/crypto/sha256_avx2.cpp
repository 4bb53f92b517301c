// Eight SHA-256 messages in the eight 32-bit lanes of AVX2 registers.
#include <immintrin.h>

#include "sha256_lanes.h"

#define SPATTER_AVX2 __attribute__((target("avx2"), always_inline)) inline

namespace spatter::sha256_internal {
namespace {

SPATTER_AVX2 __m256i add(__m256i a, __m256i b) {
  return _mm256_add_epi32(a, b);
}
SPATTER_AVX2 __m256i xor3(__m256i a, __m256i b, __m256i c) {
  return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
template <int bits>
SPATTER_AVX2 __m256i rotate(__m256i a) {
  return _mm256_or_si256(_mm256_srli_epi32(a, bits), _mm256_slli_epi32(a, 32 - bits));
}
SPATTER_AVX2 __m256i choose(__m256i e, __m256i f, __m256i g) {
  return _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)));
}
SPATTER_AVX2 __m256i majority(__m256i a, __m256i b, __m256i c) {
  return _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
}
SPATTER_AVX2 __m256i small_sigma0(__m256i w) {
  return xor3(rotate<7>(w), rotate<18>(w), _mm256_srli_epi32(w, 3));
}
SPATTER_AVX2 __m256i small_sigma1(__m256i w) {
  return xor3(rotate<17>(w), rotate<19>(w), _mm256_srli_epi32(w, 10));
}

/// Half a block (32 bytes) of each lane: word i of all lanes in words[i], big-endian read.
SPATTER_AVX2 void load_half(__m256i* words, const std::uint8_t* const* blocks, std::size_t offset) {
  const __m256i swap = _mm256_broadcastsi128_si256(
      _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
  __m256i rows[8];
#pragma clang loop unroll(full)
  for (int lane = 0; lane < 8; ++lane)
    rows[lane] = _mm256_shuffle_epi8(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks[lane] + offset)), swap);
#pragma clang loop unroll(full)
  for (int half = 0; half < 2; ++half) {
    __m256i* r = rows + 4 * half;
    __m256i low01 = _mm256_unpacklo_epi32(r[0], r[1]), high01 = _mm256_unpackhi_epi32(r[0], r[1]);
    __m256i low23 = _mm256_unpacklo_epi32(r[2], r[3]), high23 = _mm256_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm256_unpacklo_epi64(low01, low23);
    r[1] = _mm256_unpackhi_epi64(low01, low23);
    r[2] = _mm256_unpacklo_epi64(high01, high23);
    r[3] = _mm256_unpackhi_epi64(high01, high23);
  }
#pragma clang loop unroll(full)
  for (int j = 0; j < 4; ++j) {
    words[j] = _mm256_permute2x128_si256(rows[j], rows[4 + j], 0x20);
    words[4 + j] = _mm256_permute2x128_si256(rows[j], rows[4 + j], 0x31);
  }
}

SPATTER_AVX2 void round(__m256i& a, __m256i& b, __m256i& c, __m256i& d, __m256i& e, __m256i& f,
                        __m256i& g, __m256i& h, __m256i word, std::uint32_t constant) {
  __m256i input = add(add(word, _mm256_set1_epi32(static_cast<int>(constant))), h);
  __m256i sigma1 = xor3(rotate<6>(e), rotate<11>(e), rotate<25>(e));
  __m256i t1 = add(input, add(sigma1, choose(e, f, g)));
  __m256i sigma0 = xor3(rotate<2>(a), rotate<13>(a), rotate<22>(a));
  d = add(d, t1);
  h = add(t1, add(sigma0, majority(a, b, c)));
}

}  // namespace

__attribute__((target("avx2"))) void transform_8_avx2(std::uint32_t* state,
                                                      const std::uint8_t* const* blocks,
                                                      std::size_t count) {
  __m256i s[8];
  for (int i = 0; i < 8; ++i)
    s[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(state + 8 * i));
  for (std::size_t block = 0; block < count; ++block) {
    __m256i w[16];
    load_half(w, blocks, block * block_bytes);
    load_half(w + 8, blocks, block * block_bytes + 32);
    __m256i v[8] = {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]};
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
  for (int i = 0; i < 8; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(state + 8 * i), s[i]);
}

}  // namespace spatter::sha256_internal
