// A constant matrix over GF(2^8), prepared for multiplying columns of bytes by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "code/kernel.h"
#include "transform.h"

namespace spatter::code {

/// The rows of Lagrange's formula: a polynomial of degree below have.size() has at want[r] the sum
/// over c of [r][c] times its value at have[c].
std::vector<std::uint8_t> interpolation_matrix(std::span<const unsigned> have,
                                               std::span<const unsigned> want);

/// out[r] = sum over c of matrix[r][c] * in[c], byte by byte.
class Product {
 public:
  /// `matrix`: `rows` times `columns` factors, row by row; both at least 1.
  Product(Kernel kernel, unsigned rows, unsigned columns, std::vector<std::uint8_t> matrix);

  /// The product that takes the values at the points `have` of a polynomial of degree below
  /// have.size() to those at the points `want`: by transforms where they serve, else by a matrix.
  static Product interpolation(Kernel kernel, std::span<const unsigned> have,
                               std::span<const unsigned> want);

  unsigned rows() const { return rows_; }
  unsigned columns() const { return columns_; }

  void run(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
           std::size_t bytes) const;

 private:
  struct Side {
    std::size_t twiddles = 0;  // where its factors begin
    std::size_t scales = 0;
    bool scaled = false;
  };

  Product(Kernel kernel, unsigned rows, unsigned columns)
      : kernel_(kernel), rows_(rows), columns_(columns) {}
  Product(Kernel kernel, unsigned rows, unsigned columns, const TransformPlan& plan);

  void append_factor(std::uint8_t factor);
  const void* factor(std::size_t index) const;
  void run_steps(const std::uint8_t* const* in, std::uint8_t* const* out, std::size_t bytes,
                 bool past_cache) const;
  void run_transform(const std::uint8_t* const* in, std::uint8_t* const* out, std::size_t bytes,
                     bool past_cache) const;
  void run_padded(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
                  std::size_t start, std::size_t bytes) const;

  Kernel kernel_;
  unsigned rows_;
  unsigned columns_;
  std::vector<std::uint8_t> matrix_;  // only for Kernel::table
  // As the kernel wants them (kernels.h; for ISA-L as its ec_init_tables leaves them): nibble
  // tables for AVX2 and ISA-L, bit matrices for GFNI.
  std::vector<std::uint8_t> nibbles_;
  std::vector<std::uint64_t> affine_;
  // By transforms: each coset's factors, and for each of its points the column or none.
  unsigned log_size_ = 0;  // 0: by the matrix
  std::vector<Side> in_sides_;
  std::vector<Side> out_sides_;
  std::vector<int> in_columns_;
  std::vector<int> out_columns_;
};

}  // namespace spatter::code
