// What the header-scanning kernels share: everything about a header that does not depend on the nonce,
// computed once per scan. Only mining code includes this. It defines no functions: the kernels are
// compiled for processors that others may not be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spatter::mining_internal {

/// Headers that differ in their version only, and so in the first block's midstate, share the second
/// block's message schedule: up to so many are hashed side by side.
inline constexpr std::size_t versions_max = 4;

/// What is known of one version before the nonce is.
struct VersionPlan {
  std::uint32_t midstate[8];  ///< after the header's first block
  /// The state after round 3 of the second block, a to h; to a and e the nonce's word is still to be added.
  std::uint32_t after_nonce[8];
};

struct ScanPlan {
  VersionPlan version[versions_max];
  std::size_t versions;
  // Words of the second block's schedule; of some only the part that does not depend on the nonce.
  std::uint32_t word16, word17, word18_part, word19_part, word31_part, word32_part;
  std::uint32_t target_top;  ///< the target's most significant 32 bits
};

/// Hashes `groups` times `lanes` nonces from `first` on, each with all versions of the plan, and stops
/// at the first group in which a hash's most significant word is not above the target's. Returns the
/// groups before that one (`groups` if there is none) and sets bit l of `masks[v]` for each such lane.
using Kernel = std::uint64_t (*)(const ScanPlan& plan, std::uint32_t first, std::uint64_t groups,
                                 std::uint32_t* masks);

inline constexpr std::size_t lanes_scalar = 1, lanes_sha = 2, lanes_avx2 = 8, lanes_avx512 = 16;
std::uint64_t search_scalar(const ScanPlan&, std::uint32_t, std::uint64_t, std::uint32_t*);
std::uint64_t search_sha(const ScanPlan&, std::uint32_t, std::uint64_t, std::uint32_t*);
std::uint64_t search_avx2(const ScanPlan&, std::uint32_t, std::uint64_t, std::uint32_t*);
std::uint64_t search_avx512(const ScanPlan&, std::uint32_t, std::uint64_t, std::uint32_t*);

inline constexpr std::uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline constexpr std::uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

}  // namespace spatter::mining_internal
