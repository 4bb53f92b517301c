// The compression function of SHA-256 for several messages side by side, one file per instruction
// set. Only hash code includes this.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace spatter::sha256_internal {

inline constexpr std::size_t block_bytes = 64;
inline constexpr std::size_t lanes_max = 16;

extern const std::array<std::uint32_t, 64> round_constants;
extern const std::array<std::uint32_t, 8> initial_state;

/// Word w of lane l is at [w * lanes + l].
using LaneState = std::array<std::uint32_t, 8 * lanes_max>;

/// Compresses `count` consecutive blocks from each of the lanes' pointers into the state.
using Transform = void (*)(std::uint32_t* state, const std::uint8_t* const* blocks,
                           std::size_t count);

void transform_16_avx512(std::uint32_t* state, const std::uint8_t* const* blocks,
                         std::size_t count);
void transform_2_sha(std::uint32_t* state, const std::uint8_t* const* blocks, std::size_t count);
void transform_8_avx2(std::uint32_t* state, const std::uint8_t* const* blocks, std::size_t count);

}  // namespace spatter::sha256_internal
