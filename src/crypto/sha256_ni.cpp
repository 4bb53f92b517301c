// Two SHA-256 messages at a time with the SHA instructions: one message alone waits for each
// instruction's result; the second fills the gaps.
#include <immintrin.h>

#include "sha256_lanes.h"

#define SPATTER_SHA __attribute__((target("sha,sse4.1"), always_inline)) inline

namespace spatter::sha256_internal {
namespace {

/// One message under way: its eight words as the instructions want them, and the last sixteen words
/// of its schedule.
struct Stream {
  __m128i abef;
  __m128i cdgh;
  __m128i words[4];
};

SPATTER_SHA void load_state(Stream& stream, const std::uint32_t* state, int lane) {
  auto word = [&](int w) { return static_cast<int>(state[2 * w + lane]); };
  stream.abef = _mm_set_epi32(word(0), word(1), word(4), word(5));
  stream.cdgh = _mm_set_epi32(word(2), word(3), word(6), word(7));
}

SPATTER_SHA void store_state(const Stream& stream, std::uint32_t* state, int lane) {
  alignas(16) std::uint32_t feba[4], hgdc[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(feba), stream.abef);
  _mm_store_si128(reinterpret_cast<__m128i*>(hgdc), stream.cdgh);
  const std::uint32_t words[8] = {feba[3], feba[2], hgdc[3], hgdc[2],
                                  feba[1], feba[0], hgdc[1], hgdc[0]};
  for (int w = 0; w < 8; ++w) state[2 * w + lane] = words[w];
}

/// Rounds 4q to 4q + 3, and the words that rounds 4q + 4 to 4q + 7 will need.
template <int q>
SPATTER_SHA void four_rounds(Stream& s, const std::uint8_t* block) {
  if constexpr (q < 4) {
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    s.words[q] =
        _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * q)), swap);
  }
  const __m128i constants =
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(round_constants.data() + 4 * q));
  const __m128i input = _mm_add_epi32(s.words[q % 4], constants);
  s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, input);
  s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(input, 0x0E));
  if constexpr (q >= 3 && q < 15) {
    __m128i& next = s.words[(q + 1) % 4];
    const __m128i seven_back = _mm_alignr_epi8(s.words[q % 4], s.words[(q + 3) % 4], 4);
    next = _mm_add_epi32(_mm_sha256msg1_epu32(next, s.words[(q + 2) % 4]), seven_back);
    next = _mm_sha256msg2_epu32(next, s.words[q % 4]);
  }
}

template <int q = 0>
SPATTER_SHA void all_rounds(Stream& one, const std::uint8_t* block_one, Stream& two,
                            const std::uint8_t* block_two) {
  four_rounds<q>(one, block_one);
  four_rounds<q>(two, block_two);
  if constexpr (q < 15) all_rounds<q + 1>(one, block_one, two, block_two);
}

}  // namespace

__attribute__((target("sha,sse4.1"))) void transform_2_sha(std::uint32_t* state,
                                                           const std::uint8_t* const* blocks,
                                                           std::size_t count) {
  Stream one, two;
  load_state(one, state, 0);
  load_state(two, state, 1);
  for (std::size_t block = 0; block < count; ++block) {
    const __m128i before[4] = {one.abef, one.cdgh, two.abef, two.cdgh};
    all_rounds(one, blocks[0] + block * block_bytes, two, blocks[1] + block * block_bytes);
    one.abef = _mm_add_epi32(one.abef, before[0]);
    one.cdgh = _mm_add_epi32(one.cdgh, before[1]);
    two.abef = _mm_add_epi32(two.abef, before[2]);
    two.cdgh = _mm_add_epi32(two.cdgh, before[3]);
  }
  store_state(one, state, 0);
  store_state(two, state, 1);
}

}  // namespace spatter::sha256_internal
