// The field against a bit-by-bit multiplication, and the bit matrices against the field.
#include "field.h"

#include <gtest/gtest.h>

#include <bit>

namespace spatter::code {
namespace {

std::uint8_t slow_multiply(unsigned a, unsigned b) {
  unsigned product = 0;
  for (unsigned bit = 0; bit < 8; ++bit)
    if (b >> bit & 1) product ^= a << bit;
  for (unsigned bit = 15; bit >= 8; --bit)
    if (product >> bit & 1) product ^= 0x11du << (bit - 8);
  return static_cast<std::uint8_t>(product);
}

TEST(Field, EveryProductAndQuotientIsThatOfThePolynomial) {
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      const std::uint8_t product = slow_multiply(a, b);
      ASSERT_EQ(multiply(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b)), product);
      if (b) {
        ASSERT_EQ(divide(product, static_cast<std::uint8_t>(b)), a);
      }
    }
  }
}

TEST(Field, EveryBitMatrixMultipliesByItsFactor) {
  for (unsigned factor = 0; factor < 256; ++factor) {
    const std::uint64_t matrix = affine_matrix(static_cast<std::uint8_t>(factor));
    for (unsigned x = 0; x < 256; ++x) {
      unsigned result = 0;  // as GF2P8AFFINEQB is specified
      for (unsigned i = 0; i < 8; ++i)
        result |= (std::popcount((matrix >> ((7 - i) * 8) & 0xff) & x) & 1u) << i;
      ASSERT_EQ(result, slow_multiply(factor, x)) << factor << " * " << x;
    }
  }
}

}  // namespace
}  // namespace spatter::code
