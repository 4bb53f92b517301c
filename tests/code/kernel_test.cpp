// Every kernel against the plain table one: all shapes that take another way through them, odd
// lengths, unaligned columns.
#include "code/kernel.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <numeric>

#include "code/stripe_code.h"
#include "columns.h"
#include "field.h"
#include "product.h"
#include "transform.h"

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
    for (std::size_t bytes :
         {1023, 1024, 1025, 2048 + 64, 4095, 4096, 4097, 8192 + 63, 16384 + 1, 65536, 65536 + 129})
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

TEST(Kernel, AnyKnownAndWantedPointsMatchTheTable) {
  // Drawn so that whole cosets, parts of several, and one that is wanted all occur.
  EXPECT_TRUE(rc::check("interpolation gives the table's bytes", [] {
    const auto kernel = *rc::gen::elementOf(supported_kernels());
    const auto k = *rc::gen::element(3u, 8u, 16u, 16u);
    const auto cosets = *rc::gen::element(1u, 2u, 3u);
    const auto first = *rc::gen::inRange(0u, 256 / k - cosets + 1);
    const auto target = *rc::gen::inRange(0u, 256 / k);
    const auto whole_target = *rc::gen::arbitrary<bool>();
    std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
    std::vector<unsigned> have(cosets * k);
    std::iota(have.begin(), have.end(), first * k);
    std::shuffle(have.begin(), have.end(), random);
    have.resize(k);
    std::vector<unsigned> want(whole_target ? k : 256);
    std::iota(want.begin(), want.end(), whole_target ? target * k : 0);
    std::shuffle(want.begin(), want.end(), random);
    if (random() % 4 == 0) want.resize(1 + random() % want.size());
    const std::size_t bytes = 1 + random() % 1200;
    Columns in(k, bytes, 5);
    in.fill(random());
    Columns expected(want.size(), bytes);
    Columns got(want.size(), bytes, 3);
    const auto inputs = in.in(0, k);
    code::Product::interpolation(Kernel::table, have, want).run(inputs, expected.out(), bytes);
    code::Product::interpolation(kernel, have, want).run(inputs, got.out(), bytes);
    for (std::size_t r = 0; r < want.size(); ++r) RC_ASSERT(got.equal(r, expected.view(r)));
    RC_ASSERT(got.guards_intact());
    RC_CLASSIFY(code::plan_transform(have, want).has_value(), "by transforms");
  }));
}

TEST(Kernel, TransformsTakeOverWhereTheyShould) {
  const auto points = [](unsigned first, unsigned count, unsigned step = 1) {
    std::vector<unsigned> result(count);
    for (unsigned i = 0; i < count; ++i) result[i] = first + i * step;
    return result;
  };
  EXPECT_TRUE(code::plan_transform(points(0, 16), points(16, 32)));     // encode
  EXPECT_TRUE(code::plan_transform(points(16, 16), points(0, 16)));     // a third to another
  EXPECT_TRUE(code::plan_transform(points(16, 16, 2), points(0, 16)));  // both coded thirds
  EXPECT_FALSE(code::plan_transform(points(16, 16), points(0, 2)));     // little is wanted
  EXPECT_FALSE(code::plan_transform(points(10, 16), points(0, 10)));    // plain ones at hand
  EXPECT_FALSE(code::plan_transform(points(0, 7), points(7, 14)));      // not a power of two
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
