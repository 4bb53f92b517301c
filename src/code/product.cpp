#include "product.h"

#include <isa-l/erasure_code.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "field.h"
#include "kernels.h"
#include "transform.h"

namespace spatter::code {

namespace {

// From this many bytes of results on they are written past the cache: they would push out each
// other and all else before anybody could read them, and lines written whole need not be fetched.
constexpr std::size_t past_cache_bytes = std::size_t{8} << 20;

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
    for (std::size_t c = 0; c < in.size(); ++c)
      from[c] = const_cast<unsigned char*>(in[c]) + done;
    for (std::size_t r = 0; r < out.size(); ++r) to[r] = out[r] + done;
    ec_encode_data(static_cast<int>(step), static_cast<int>(in.size()),
                   static_cast<int>(out.size()), const_cast<unsigned char*>(nibbles.data()),
                   from.data(), to.data());
    done += step;
  }
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

}  // namespace

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

Product Product::evaluation(Kernel kernel, unsigned k, unsigned n,
                            std::vector<std::uint8_t> matrix) {
  const bool own = kernel != Kernel::table && kernel != Kernel::isal;
  const unsigned log_size = static_cast<unsigned>(std::countr_zero(k));
  if (!own || !std::has_single_bit(k) || log_size < 2 || log_size > transform_log_size_max ||
      n % k != 0)
    return Product(kernel, n - k, k, std::move(matrix));
  Product result(kernel, n - k, k);
  result.transform_log_size_ = log_size;
  for (unsigned base = 0; base < n; base += k)
    for (std::uint8_t factor : twiddles(log_size, static_cast<std::uint8_t>(base)))
      result.append_factor(factor);
  return result;
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
  const bool past_cache =
      bytes >= past_cache_bytes / rows_ && std::ranges::all_of(out, [](const std::uint8_t* column) {
        return reinterpret_cast<std::uintptr_t>(column) % step_bytes == 0;
      });
  if (whole > 0) run_steps(in.data(), out.data(), whole, past_cache);
  if (whole < bytes) run_padded(in, out, whole, bytes - whole);
}

void Product::run_steps(const std::uint8_t* const* in, std::uint8_t* const* out, std::size_t bytes,
                        bool past_cache) const {
  const void* factors = kernel_ == Kernel::avx2 ? static_cast<const void*>(nibbles_.data())
                                                : static_cast<const void*>(affine_.data());
  if (transform_log_size_ > 0) {
    const TransformJob job{.log_size = transform_log_size_,
                           .cosets = rows_ >> transform_log_size_,
                           .factors = factors,
                           .in = in,
                           .out = out,
                           .bytes = bytes,
                           .past_cache = past_cache};
    if (kernel_ == Kernel::avx2) return transform_avx2(job);
    return kernel_ == Kernel::gfni256 ? transform_gfni256(job) : transform_gfni512(job);
  }
  const DenseJob job{.rows = rows_,
                     .columns = columns_,
                     .factors = factors,
                     .in = in,
                     .out = out,
                     .bytes = bytes,
                     .past_cache = past_cache};
  if (kernel_ == Kernel::avx2) return dense_avx2(job);
  return kernel_ == Kernel::gfni256 ? dense_gfni256(job) : dense_gfni512(job);
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
