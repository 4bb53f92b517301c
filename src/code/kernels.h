// What the SIMD kernels are asked to do. Included by files that are compiled for newer CPUs than
// the rest of the program, so it defines no functions and includes nothing that does: such a
// function might be linked in for everybody.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace spatter::code {

// `bytes` is a multiple of `step_bytes`. With `past_cache` every output is aligned to `step_bytes`.
inline constexpr size_t step_bytes = 64;

/// out[r] = sum over c of factor(r, c) * in[c]. The factors come in blocks of `block_rows` rows
/// (the last has what is left), within a block column by column, within a column row by row.
struct DenseJob {
  unsigned rows;
  unsigned columns;
  const void* factors;
  const uint8_t* const* in;
  uint8_t* const* out;
  size_t bytes;
  bool past_cache;
};

/// One coset of 2^log_size points on either side of a transform.
struct TransformSide {
  const void* twiddles;  ///< 2^log_size - 1 factors (see transform.h)
  const void* scales;    ///< a factor for each point, or null: all 1
};

/// Sums over the cosets of `in` the polynomials that have `in`, scaled, as values there, and gives
/// that sum's values, scaled, at the points of the cosets of `out`. In both, 2^log_size columns to
/// a coset; a null input is all zeros, a null output not wanted.
struct TransformJob {
  unsigned log_size;
  unsigned in_cosets;
  unsigned out_cosets;
  const TransformSide* in_sides;
  const TransformSide* out_sides;
  const uint8_t* const* in;
  uint8_t* const* out;
  size_t bytes;
  bool past_cache;
};

inline constexpr unsigned transform_log_size_min = 3;
inline constexpr unsigned transform_log_size_max = 4;

// AVX2: a factor is 32 bytes, its products with 0..15 and with 0, 16, ..., 240.
inline constexpr unsigned avx2_block_rows = 4;
void dense_avx2(const DenseJob& job);
void transform_avx2(const TransformJob& job);

// GFNI: a factor is a word, field.h's affine_matrix.
inline constexpr unsigned gfni256_block_rows = 6;
void dense_gfni256(const DenseJob& job);
void transform_gfni256(const TransformJob& job);

inline constexpr unsigned gfni512_block_rows = 8;
void dense_gfni512(const DenseJob& job);
void transform_gfni512(const TransformJob& job);

}  // namespace spatter::code
