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

  unsigned rows() const { return rows_; }
  unsigned columns() const { return columns_; }

  void run(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
           std::size_t bytes) const;

 private:
  Kernel kernel_;
  unsigned rows_;
  unsigned columns_;
  std::vector<std::uint8_t> matrix_;
  std::vector<std::uint8_t> nibbles_;   // 32 bytes per factor, as ISA-L's ec_init_tables
  std::vector<std::uint64_t> affine_;   // one word per factor
};

}  // namespace spatter::code
