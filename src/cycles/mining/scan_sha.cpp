// Two nonces at a time with the SHA instructions: one alone would wait for each instruction's result.
// A state lies in two registers as these want it: a, b, e, f and c, d, g, h, from the top down.
#include <immintrin.h>

#include "scan_plan.h"

#define SPATTER_INLINE __attribute__((always_inline)) inline

namespace spatter::mining_internal {
namespace {

constexpr int streams = static_cast<int>(lanes_sha);

struct Stream {
  __m128i abef, cdgh;
  __m128i words[4];  ///< the schedule's last sixteen
};

SPATTER_INLINE __m128i quad(std::uint32_t w0, std::uint32_t w1, std::uint32_t w2, std::uint32_t w3) {
  return _mm_set_epi32(static_cast<int>(w3), static_cast<int>(w2), static_cast<int>(w1),
                       static_cast<int>(w0));
}
SPATTER_INLINE __m128i abef_of(const std::uint32_t* s) { return quad(s[5], s[4], s[1], s[0]); }
SPATTER_INLINE __m128i cdgh_of(const std::uint32_t* s) { return quad(s[7], s[6], s[3], s[2]); }

constexpr std::uint32_t turn(std::uint32_t x, int n) { return x >> n | x << (32 - n); }

/// Words 4q + 4 to 4q + 7 of the schedule.
SPATTER_INLINE void next_words(Stream& s, int q) {
  __m128i& next = s.words[(q + 1) % 4];
  const __m128i seven_back = _mm_alignr_epi8(s.words[q % 4], s.words[(q + 3) % 4], 4);
  next = _mm_add_epi32(_mm_sha256msg1_epu32(next, s.words[(q + 2) % 4]), seven_back);
  next = _mm_sha256msg2_epu32(next, s.words[q % 4]);
}

SPATTER_INLINE void four_rounds(Stream& s, __m128i input) {
  s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, input);
  s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(input, 0x0E));
}

SPATTER_INLINE __m128i constants(int q) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(round_constants + 4 * q));
}

/// Rounds 4 to 63 of the header's second block, and what they make of the midstate.
SPATTER_INLINE void first_hash(const ScanPlan& plan, const VersionPlan& version, Stream* s,
                               const std::uint32_t* nonce) {
#pragma clang loop unroll(full)
  for (int n = 0; n < streams; ++n) {
    const std::uint32_t* after = version.after_nonce;
    s[n].abef = quad(after[5], after[4] + nonce[n], after[1], after[0] + nonce[n]);
    s[n].cdgh = cdgh_of(after);
    const std::uint32_t sigma = turn(nonce[n], 7) ^ turn(nonce[n], 18) ^ nonce[n] >> 3;
    s[n].words[0] = quad(plan.word16, plan.word17, plan.word18_part + sigma,
                         plan.word19_part + nonce[n]);
    s[n].words[1] = quad(0x80000000, 0, 0, 0);
    s[n].words[2] = quad(0, 0, 0, 0);
    s[n].words[3] = quad(0, 0, 0, 640);
  }
#pragma clang loop unroll(full)
  for (int q = 1; q < 4; ++q)
#pragma clang loop unroll(full)
    for (int n = 0; n < streams; ++n)
      four_rounds(s[n], _mm_add_epi32(s[n].words[q], constants(q)));
#pragma clang loop unroll(full)
  for (int q = 4; q < 16; ++q)
#pragma clang loop unroll(full)
    for (int n = 0; n < streams; ++n) {
      if (q > 4) next_words(s[n], q - 1);
      four_rounds(s[n], _mm_add_epi32(s[n].words[q % 4], constants(q)));
    }
#pragma clang loop unroll(full)
  for (int n = 0; n < streams; ++n) {
    s[n].abef = _mm_add_epi32(s[n].abef, abef_of(version.midstate));
    s[n].cdgh = _mm_add_epi32(s[n].cdgh, cdgh_of(version.midstate));
  }
}

/// Rounds 0 to 61 of the hash of the hash: f is then what h will be after round 63.
SPATTER_INLINE void second_hash(Stream* s) {
#pragma clang loop unroll(full)
  for (int n = 0; n < streams; ++n) {
    s[n].words[0] = _mm_shuffle_epi32(_mm_unpackhi_epi64(s[n].abef, s[n].cdgh), 0xB1);
    s[n].words[1] = _mm_shuffle_epi32(_mm_unpacklo_epi64(s[n].abef, s[n].cdgh), 0xB1);
    s[n].words[2] = quad(0x80000000, 0, 0, 0);
    s[n].words[3] = quad(0, 0, 0, 256);
    s[n].abef = abef_of(initial_state);
    s[n].cdgh = cdgh_of(initial_state);
  }
#pragma clang loop unroll(full)
  for (int q = 0; q < 15; ++q)
#pragma clang loop unroll(full)
    for (int n = 0; n < streams; ++n) {
      if (q > 3) next_words(s[n], q - 1);
      four_rounds(s[n], _mm_add_epi32(s[n].words[q % 4], constants(q)));
    }
#pragma clang loop unroll(full)
  for (int n = 0; n < streams; ++n) {
    next_words(s[n], 14);
    s[n].abef = _mm_sha256rnds2_epu32(s[n].cdgh, s[n].abef,
                                      _mm_add_epi32(s[n].words[3], constants(15)));
  }
}

}  // namespace

std::uint64_t search_sha(const ScanPlan& plan, std::uint32_t first, std::uint64_t groups,
                         std::uint32_t* masks) {
  for (std::uint64_t group = 0; group < groups; ++group) {
    std::uint32_t nonce[streams], found = 0;
    for (int n = 0; n < streams; ++n)
      nonce[n] = __builtin_bswap32(first + static_cast<std::uint32_t>(group * lanes_sha) +
                                   static_cast<std::uint32_t>(n));
    for (std::size_t v = 0; v < plan.versions; ++v) {
      Stream s[streams];
      first_hash(plan, plan.version[v], s, nonce);
      second_hash(s);
      masks[v] = 0;
      for (int n = 0; n < streams; ++n) {
        const std::uint32_t last =
            static_cast<std::uint32_t>(_mm_cvtsi128_si32(s[n].abef)) + initial_state[7];
        if (__builtin_bswap32(last) <= plan.target_top) masks[v] |= 1U << n;
      }
      found |= masks[v];
    }
    if (found != 0) return group;
  }
  return groups;
}

}  // namespace spatter::mining_internal
