// A constant matrix over GF(2^8), prepared for multiplying columns of bytes by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "code/kernel.h"

namespace spatter::code {

/// out[r] = sum over c of matrix[r][c] * in[c], byte by byte.
class Product {
 public:
  /// `matrix`: `rows` times `columns` factors, row by row; both at least 1.
  Product(Kernel kernel, unsigned rows, unsigned columns, std::vector<std::uint8_t> matrix);

  /// The product that evaluates, at the points k..n-1, polynomials given by their values at
  /// 0..k-1: by transforms (transform.h) if the shape is one for them, else by `matrix`.
  static Product evaluation(Kernel kernel, unsigned k, unsigned n,
                            std::vector<std::uint8_t> matrix);

  unsigned rows() const { return rows_; }
  unsigned columns() const { return columns_; }

  void run(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
           std::size_t bytes) const;

 private:
  Product(Kernel kernel, unsigned rows, unsigned columns) :
    kernel_(kernel), rows_(rows), columns_(columns) {}

  void append_factor(std::uint8_t factor);
  void run_steps(const std::uint8_t* const* in, std::uint8_t* const* out, std::size_t bytes,
                 bool past_cache) const;
  void run_padded(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
                  std::size_t start, std::size_t bytes) const;

  Kernel kernel_;
  unsigned rows_;
  unsigned columns_;
  unsigned transform_log_size_ = 0;  // 0: by the matrix
  std::vector<std::uint8_t> matrix_;  // only for Kernel::table
  // As the kernel wants them (kernels.h; for ISA-L as its ec_init_tables leaves them): nibble
  // tables for AVX2 and ISA-L, bit matrices for GFNI.
  std::vector<std::uint8_t> nibbles_;
  std::vector<std::uint64_t> affine_;
};

}  // namespace spatter::code
