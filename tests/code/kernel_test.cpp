// Every kernel against the plain table one: all shapes that take another way through them, odd
// lengths, unaligned columns.
#include "code/kernel.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "code/stripe_code.h"
#include "columns.h"
#include "field.h"
#include "product.h"

namespace spatter {
namespace {

std::vector<std::uint8_t> random_matrix(unsigned rows, unsigned columns, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> matrix(std::size_t{rows} * columns);
  for (std::uint8_t& factor : matrix) {
    factor = static_cast<std::uint8_t>(random() >> 32);
    if (random() % 8 == 0) factor = static_cast<std::uint8_t>(random() % 2);
  }
  return matrix;
}

void expect_like_table(Kernel kernel, unsigned rows, unsigned columns, std::size_t bytes,
                       std::size_t skew) {
  const auto matrix = random_matrix(rows, columns, rows * 1000 + columns);
  Columns in(columns, bytes, skew);
  in.fill(bytes + skew);
  Columns expected(rows, bytes);
  Columns got(rows, bytes, skew * 3);
  const auto inputs = in.in(0, columns);
  code::Product(Kernel::table, rows, columns, matrix).run(inputs, expected.out(), bytes);
  code::Product(kernel, rows, columns, matrix).run(inputs, got.out(), bytes);
  for (unsigned r = 0; r < rows; ++r)
    ASSERT_TRUE(got.equal(r, expected.view(r)))
        << to_string(kernel) << ": row " << r << " of " << rows << " x " << columns << ", " << bytes
        << " bytes, skew " << skew;
  ASSERT_TRUE(got.guards_intact()) << to_string(kernel) << ": " << bytes << " bytes";
}

TEST(Kernel, TheTableKernelIsTheField) {
  const auto matrix = random_matrix(3, 5, 1);
  Columns in(5, 300);
  in.fill(1);
  Columns out(3, 300);
  code::Product(Kernel::table, 3, 5, matrix).run(in.in(0, 5), out.out(), 300);
  for (unsigned r = 0; r < 3; ++r) {
    for (unsigned b = 0; b < 300; ++b) {
      std::uint8_t sum = 0;
      for (unsigned c = 0; c < 5; ++c) sum ^= code::multiply(matrix[r * 5 + c], in[c][b]);
      ASSERT_EQ(out[r][b], sum);
    }
  }
}

TEST(Kernel, EveryLengthUpToSomeVectorsMatchesTheTable) {
  for (Kernel kernel : supported_kernels())
    for (std::size_t bytes = 1; bytes <= 300; ++bytes)
      expect_like_table(kernel, 5, 3, bytes, bytes % 13);
}

TEST(Kernel, EveryShapeMatchesTheTable) {
  for (Kernel kernel : supported_kernels()) {
    for (unsigned rows = 1; rows <= 34; ++rows)
      for (unsigned columns : {1u, 2u, 3u, 4u, 5u, 7u, 8u, 16u, 17u})
        expect_like_table(kernel, rows, columns, 197, rows % 5);
    expect_like_table(kernel, 170, 85, 150, 1);
    expect_like_table(kernel, 1, 254, 150, 1);
  }
}

TEST(Kernel, LengthsAroundTheSegmentsMatchTheTable) {
  for (Kernel kernel : supported_kernels())
    for (std::size_t bytes : {1023, 1024, 1025, 2048 + 64, 4095, 4096, 4097, 8192 + 63, 16384 + 1,
                              65536, 65536 + 129})
      for (std::size_t skew : {0, 1, 31}) expect_like_table(kernel, 4, 3, bytes, skew);
}

TEST(Kernel, ColumnsTooLargeForTheCacheMatchTheTable) {
  // 24 MiB of results: past the size from which they are written past the cache.
  const std::size_t bytes = (std::size_t{12} << 20) + 77;
  for (Kernel kernel : supported_kernels())
    for (std::size_t skew : {0, 9}) expect_like_table(kernel, 2, 1, bytes, skew);
}

TEST(Kernel, EncodingMatchesTheTableInEveryShapeWithItsOwnWay) {
  for (Kernel kernel : supported_kernels()) {
    for (unsigned k : {1u, 2u, 4u, 6u, 7u, 8u, 9u, 15u, 16u, 32u, 64u}) {
      for (unsigned n : {k + 1, 2 * k, 2 * k + 1, 3 * k - 1, 3 * k, 3 * k + 3}) {
        if (n <= k) continue;
        const std::size_t bytes = 64 * (k % 5) + n % 67 + 1;
        Columns expected(n, bytes);
        expected.fill(n);
        Columns got(n, bytes, 11);
        got.fill(n);
        const auto table = StripeCode::make(k, n, Kernel::table).value();
        const auto code = StripeCode::make(k, n, kernel).value();
        table.encode(expected.in(0, k), expected.out(k), bytes);
        code.encode(got.in(0, k), got.out(k), bytes);
        for (unsigned c = 0; c < n; ++c)
          ASSERT_TRUE(got.equal(c, expected.view(c)))
              << to_string(kernel) << ": (" << k << ", " << n << "), column " << c;
        ASSERT_TRUE(got.guards_intact());
      }
    }
  }
}

TEST(Kernel, RandomShapesMatchTheTable) {
  EXPECT_TRUE(rc::check("any kernel, shape, length and alignment gives the table's bytes", [] {
    const auto kernel = *rc::gen::elementOf(supported_kernels());
    const auto rows = *rc::gen::inRange(1u, 40u);
    const auto columns = *rc::gen::inRange(1u, 40u);
    const auto bytes = *rc::gen::inRange<std::size_t>(1, 1500);
    const auto skew = *rc::gen::inRange<std::size_t>(0, 64);
    expect_like_table(kernel, rows, columns, bytes, skew);
    RC_ASSERT(!testing::Test::HasFatalFailure());
  }));
}

}  // namespace
}  // namespace spatter
