// Arithmetic in GF(2^8) with the polynomial 0x11d, one element at a time: for making matrices.
// Elements are bytes; addition is ^.
#pragma once

#include <array>
#include <cstdint>

namespace spatter::code {

struct FieldTables {
  std::array<std::uint8_t, 510> power{};  // power[i] = 2^i, twice around
  std::array<std::uint8_t, 256> log{};    // log[power[i]] = i; log[0] is meaningless

  constexpr FieldTables() {
    unsigned value = 1;
    for (unsigned i = 0; i < 255; ++i) {
      power[i] = power[i + 255] = static_cast<std::uint8_t>(value);
      log[value] = static_cast<std::uint8_t>(i);
      value <<= 1;
      if (value & 0x100) value ^= 0x11d;
    }
  }
};

inline constexpr FieldTables field_tables;

constexpr std::uint8_t multiply(std::uint8_t a, std::uint8_t b) {
  if (a == 0 || b == 0) return 0;
  return field_tables.power[field_tables.log[a] + field_tables.log[b]];
}

/// `b` is not 0.
constexpr std::uint8_t divide(std::uint8_t a, std::uint8_t b) {
  if (a == 0) return 0;
  return field_tables.power[field_tables.log[a] + 255 - field_tables.log[b]];
}

/// The product by `factor` as the 8x8 bit matrix that GF2P8AFFINEQB wants: byte 7-i of the word is
/// the row of result bit i, whose bit j says whether it takes bit j of the operand.
constexpr std::uint64_t affine_matrix(std::uint8_t factor) {
  std::uint64_t matrix = 0;
  for (unsigned j = 0; j < 8; ++j) {
    const std::uint8_t column = multiply(factor, static_cast<std::uint8_t>(1u << j));
    for (unsigned i = 0; i < 8; ++i)
      if (column >> i & 1) matrix |= std::uint64_t{1} << ((7 - i) * 8 + j);
  }
  return matrix;
}

}  // namespace spatter::code
