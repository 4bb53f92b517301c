#include "product.h"

#include <isa-l/erasure_code.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "field.h"
#include "kernels.h"
#include "transform.h"

namespace spatter::code {

namespace {

// From this many bytes of columns on the results are written past the cache: they would push out
// each other and all else before anybody could read them, and lines written whole need not be
// fetched first.
constexpr std::size_t past_cache_bytes = std::size_t{16} << 20;

void run_table(const std::vector<std::uint8_t>& matrix, std::span<const std::uint8_t* const> in,
               std::span<std::uint8_t* const> out, std::size_t bytes) {
  for (std::size_t r = 0; r < out.size(); ++r) {
    for (std::size_t b = 0; b < bytes; ++b) {
      std::uint8_t sum = 0;
      for (std::size_t c = 0; c < in.size(); ++c)
        sum ^= multiply(matrix[r * in.size() + c], in[c][b]);
      out[r][b] = sum;
    }
  }
}

void run_isal(const std::vector<std::uint8_t>& nibbles, std::span<const std::uint8_t* const> in,
              std::span<std::uint8_t* const> out, std::size_t bytes) {
  // ISA-L counts in int and takes pointers to mutable inputs, which it does not change.
  constexpr std::size_t step_max = std::size_t{1} << 30;
  std::vector<unsigned char*> from(in.size());
  std::vector<unsigned char*> to(out.size());
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t step = std::min(bytes - done, step_max);
    for (std::size_t c = 0; c < in.size(); ++c) from[c] = const_cast<unsigned char*>(in[c]) + done;
    for (std::size_t r = 0; r < out.size(); ++r) to[r] = out[r] + done;
    ec_encode_data(static_cast<int>(step), static_cast<int>(in.size()),
                   static_cast<int>(out.size()), const_cast<unsigned char*>(nibbles.data()),
                   from.data(), to.data());
    done += step;
  }
}

bool avx512_without_gfni() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         !__builtin_cpu_supports("gfni");
#else
  return false;
#endif
}

unsigned block_rows(Kernel kernel) {
  switch (kernel) {
    case Kernel::avx2:
      return avx2_block_rows;
    case Kernel::gfni256:
      return gfni256_block_rows;
    case Kernel::gfni512:
      return gfni512_block_rows;
    case Kernel::table:
    case Kernel::isal:
      break;
  }
  return 1;
}

template <class Job>
void run_job(Kernel kernel, const Job& job, void (*avx2)(const Job&), void (*gfni256)(const Job&),
             void (*gfni512)(const Job&)) {
  if (kernel == Kernel::avx2) return avx2(job);
  return kernel == Kernel::gfni256 ? gfni256(job) : gfni512(job);
}

/// ISA-L has AVX-512 kernels without GFNI, which beat our AVX2 one where few columns go in.
Kernel matrix_kernel(Kernel kernel, unsigned columns) {
  return kernel == Kernel::avx2 && columns < 8 && avx512_without_gfni() ? Kernel::isal : kernel;
}

}  // namespace

std::vector<std::uint8_t> interpolation_matrix(std::span<const unsigned> have,
                                               std::span<const unsigned> want) {
  std::vector<std::uint8_t> matrix;
  matrix.reserve(want.size() * have.size());
  for (unsigned target : want) {
    for (unsigned j : have) {
      std::uint8_t value = 1;
      for (unsigned l : have)
        if (l != j)
          value = multiply(value, divide(static_cast<std::uint8_t>(target ^ l),
                                         static_cast<std::uint8_t>(j ^ l)));
      matrix.push_back(value);
    }
  }
  return matrix;
}

Product::Product(Kernel kernel, unsigned rows, unsigned columns, std::vector<std::uint8_t> matrix)
    : Product(kernel, rows, columns) {
  SPATTER_ASSERT(rows >= 1 && columns >= 1 && matrix.size() == std::size_t{rows} * columns);
  SPATTER_ASSERT(supported(kernel));
  if (kernel == Kernel::table) {
    matrix_ = std::move(matrix);
  } else if (kernel == Kernel::isal) {
    nibbles_.resize(matrix.size() * 32);
    ec_init_tables(static_cast<int>(columns), static_cast<int>(rows), matrix.data(),
                   nibbles_.data());
  } else {
    for (unsigned first = 0; first < rows; first += block_rows(kernel))
      for (unsigned c = 0; c < columns; ++c)
        for (unsigned r = first; r < std::min(rows, first + block_rows(kernel)); ++r)
          append_factor(matrix[std::size_t{r} * columns + c]);
  }
}

Product::Product(Kernel kernel, unsigned rows, unsigned columns, const TransformPlan& plan)
    : Product(kernel, rows, columns) {
  log_size_ = plan.log_size;
  std::size_t factors = 0;
  const auto append = [&](std::span<const std::uint8_t> values) {
    for (std::uint8_t value : values) append_factor(value);
    return std::exchange(factors, factors + values.size());
  };
  const auto add_sides = [&](const std::vector<TransformPlan::Coset>& cosets,
                             std::vector<Side>& sides, std::vector<int>& columns) {
    for (const TransformPlan::Coset& coset : cosets) {
      sides.push_back({.twiddles = append(twiddles(plan.log_size, coset.base)),
                       .scales = append(coset.scales),
                       .scaled = !coset.scales.empty()});
      columns.insert(columns.end(), coset.columns.begin(), coset.columns.end());
    }
  };
  add_sides(plan.in, in_sides_, in_columns_);
  add_sides(plan.out, out_sides_, out_columns_);
}

Product Product::interpolation(Kernel kernel, std::span<const unsigned> have,
                               std::span<const unsigned> want) {
  const auto rows = static_cast<unsigned>(want.size());
  const auto columns = static_cast<unsigned>(have.size());
  if (kernel != Kernel::table && kernel != Kernel::isal)
    if (const auto plan = plan_transform(have, want)) return Product(kernel, rows, columns, *plan);
  return Product(matrix_kernel(kernel, columns), rows, columns, interpolation_matrix(have, want));
}

void Product::append_factor(std::uint8_t factor) {
  if (kernel_ == Kernel::avx2) {
    for (unsigned shift : {0u, 4u})
      for (unsigned x = 0; x < 16; ++x)
        nibbles_.push_back(multiply(factor, static_cast<std::uint8_t>(x << shift)));
  } else {
    affine_.push_back(affine_matrix(factor));
  }
}

void Product::run(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
                  std::size_t bytes) const {
  SPATTER_ASSERT(in.size() == columns_ && out.size() == rows_);
  if (bytes == 0) return;
  if (kernel_ == Kernel::table) return run_table(matrix_, in, out, bytes);
  if (kernel_ == Kernel::isal) return run_isal(nibbles_, in, out, bytes);
  const std::size_t whole = bytes / step_bytes * step_bytes;
  const bool past_cache = bytes >= past_cache_bytes / (rows_ + columns_) &&
                          std::ranges::all_of(out, [](const std::uint8_t* column) {
                            return reinterpret_cast<std::uintptr_t>(column) % step_bytes == 0;
                          });
  if (whole > 0) run_steps(in.data(), out.data(), whole, past_cache);
  if (whole < bytes) run_padded(in, out, whole, bytes - whole);
}

const void* Product::factor(std::size_t index) const {
  if (kernel_ == Kernel::avx2) return nibbles_.data() + 32 * index;
  return affine_.data() + index;
}

void Product::run_steps(const std::uint8_t* const* in, std::uint8_t* const* out, std::size_t bytes,
                        bool past_cache) const {
  if (log_size_ > 0) return run_transform(in, out, bytes, past_cache);
  const DenseJob job{.rows = rows_,
                     .columns = columns_,
                     .factors = factor(0),
                     .in = in,
                     .out = out,
                     .bytes = bytes,
                     .past_cache = past_cache};
  run_job(kernel_, job, dense_avx2, dense_gfni256, dense_gfni512);
}

void Product::run_transform(const std::uint8_t* const* in, std::uint8_t* const* out,
                            std::size_t bytes, bool past_cache) const {
  const auto pointed = [&](const std::vector<Side>& sides) {
    std::vector<TransformSide> result;
    for (const Side& side : sides)
      result.push_back({factor(side.twiddles), side.scaled ? factor(side.scales) : nullptr});
    return result;
  };
  const std::vector<TransformSide> in_sides = pointed(in_sides_);
  const std::vector<TransformSide> out_sides = pointed(out_sides_);
  std::vector<const std::uint8_t*> from;
  std::vector<std::uint8_t*> to;
  for (int column : in_columns_) from.push_back(column < 0 ? nullptr : in[column]);
  for (int column : out_columns_) to.push_back(column < 0 ? nullptr : out[column]);
  const TransformJob job{.log_size = log_size_,
                         .in_cosets = static_cast<unsigned>(in_sides.size()),
                         .out_cosets = static_cast<unsigned>(out_sides.size()),
                         .in_sides = in_sides.data(),
                         .out_sides = out_sides.data(),
                         .in = from.data(),
                         .out = to.data(),
                         .bytes = bytes,
                         .past_cache = past_cache};
  run_job(kernel_, job, transform_avx2, transform_gfni256, transform_gfni512);
}

/// The last bytes, fewer than a step, by way of memory that has room for a whole one.
void Product::run_padded(std::span<const std::uint8_t* const> in,
                         std::span<std::uint8_t* const> out, std::size_t start,
                         std::size_t bytes) const {
  std::vector<std::array<std::uint8_t, step_bytes>> memory(columns_ + rows_);
  std::vector<const std::uint8_t*> padded_in(columns_);
  std::vector<std::uint8_t*> padded_out(rows_);
  for (unsigned c = 0; c < columns_; ++c) {
    std::memcpy(memory[c].data(), in[c] + start, bytes);
    padded_in[c] = memory[c].data();
  }
  for (unsigned r = 0; r < rows_; ++r) padded_out[r] = memory[columns_ + r].data();
  run_steps(padded_in.data(), padded_out.data(), step_bytes, false);
  for (unsigned r = 0; r < rows_; ++r) std::memcpy(out[r] + start, padded_out[r], bytes);
}

}  // namespace spatter::code
