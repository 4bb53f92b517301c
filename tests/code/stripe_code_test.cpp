// The stripe code: the matrix against known answers, then every way of losing columns for small k,
// many for large, each rebuilt and compared with what was lost.
#include "code/stripe_code.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <numeric>

#include "columns.h"

namespace spatter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<unsigned> row(const StripeCode& code, unsigned index) {
  std::vector<unsigned> result;
  for (unsigned j = 0; j < code.k(); ++j) result.push_back(code.coefficient(index, j));
  return result;
}

/// All n columns of a stripe of pseudo-random data.
Columns make_stripe(const StripeCode& code, std::size_t bytes, std::uint64_t seed) {
  Columns columns(code.n(), bytes, 7);
  columns.fill(seed);
  code.encode(columns.in(0, code.k()), columns.out(code.k()), bytes);
  EXPECT_TRUE(columns.guards_intact());
  return columns;
}

/// Rebuilds every column that is not in `have` and says whether all are right.
bool rebuilds_all(const StripeCode& code, const Columns& stripe,
                  const std::vector<unsigned>& have) {
  std::vector<unsigned> want;
  for (unsigned c = 0; c < code.n(); ++c)
    if (std::ranges::find(have, c) == have.end()) want.push_back(c);
  auto rebuild = code.rebuild(have, want);
  if (!rebuild) return false;
  Columns out(want.size(), stripe.view(0).size(), 3);
  rebuild->run(stripe.at(have), out.out(), stripe.view(0).size());
  for (std::size_t i = 0; i < want.size(); ++i)
    if (!out.equal(i, stripe.view(want[i]))) return false;
  return out.guards_intact();
}

/// The next k-subset of 0..n-1 in lexical order; false after the last.
bool next_subset(std::vector<unsigned>& subset, unsigned n) {
  const std::size_t k = subset.size();
  for (std::size_t i = k; i-- > 0;) {
    if (subset[i] + (k - i) < n) {
      ++subset[i];
      std::iota(subset.begin() + static_cast<std::ptrdiff_t>(i) + 1, subset.end(), subset[i] + 1);
      return true;
    }
  }
  return false;
}

TEST(StripeCode, MatrixHasTheDocumentedCoefficients) {
  const auto two = StripeCode::make(2, 6).value();
  EXPECT_THAT(row(two, 0), ElementsAre(1, 0));
  EXPECT_THAT(row(two, 1), ElementsAre(0, 1));
  EXPECT_THAT(row(two, 2), ElementsAre(3, 2));
  EXPECT_THAT(row(two, 3), ElementsAre(2, 3));
  EXPECT_THAT(row(two, 4), ElementsAre(5, 4));
  EXPECT_THAT(row(two, 5), ElementsAre(4, 5));
  const auto three = StripeCode::make(3, 9).value();
  EXPECT_THAT(row(three, 3), ElementsAre(1, 1, 1));
  EXPECT_THAT(row(three, 8), ElementsAre(0x2d, 0x30, 0x1c));
  const auto four = StripeCode::make(4, 12).value();
  EXPECT_THAT(row(four, 4), ElementsAre(0x1b, 0x1c, 0x12, 0x14));
  EXPECT_THAT(row(four, 11), ElementsAre(0xd8, 0xc4, 0xe8, 0xf5));
  const auto sixteen = StripeCode::make(16, 48).value();
  EXPECT_THAT(row(sixteen, 16), ElementsAre(0x21, 0xb5, 0xf6, 0x85, 0xdf, 0x02, 0xb7, 0x87, 0x3e,
                                            0xdd, 0x4a, 0xa4, 0x8d, 0xda, 0x61, 0x30));
  EXPECT_THAT(row(sixteen, 47), ElementsAre(0xbc, 0x74, 0xec, 0x72, 0xdb, 0x47, 0x1b, 0x7f, 0x68,
                                            0x33, 0x0d, 0xd7, 0xb6, 0x35, 0x04, 0xa9));
  const auto widest = StripeCode::make(85, 255).value();
  EXPECT_EQ(widest.coefficient(85, 0), 0xcd);
  EXPECT_EQ(widest.coefficient(85, 7), 0x76);
  EXPECT_EQ(widest.coefficient(254, 7), 0xa6);
}

TEST(StripeCode, KnownStripesComeOutByteForByte) {
  for (Kernel kernel : supported_kernels()) {
    SCOPED_TRACE(to_string(kernel));
    const auto stripe = [&](unsigned k) {
      const auto code = StripeCode::make(k, 3 * k, kernel).value();
      Columns columns(code.n(), 4);
      for (unsigned j = 0; j < k; ++j)
        for (unsigned b = 0; b < 4; ++b)
          columns[j][b] = static_cast<std::uint8_t>(17 * j + 5 * b + 1);
      code.encode(columns.in(0, k), columns.out(k), 4);
      return columns;
    };
    const Columns three = stripe(3);
    EXPECT_THAT(three.view(3), ElementsAre(0x30, 0x39, 0x3a, 0x03));
    EXPECT_THAT(three.view(4), ElementsAre(0x55, 0x6a, 0x67, 0x49));
    EXPECT_THAT(three.view(8), ElementsAre(0xe9, 0x1e, 0x53, 0xd6));
    const Columns sixteen = stripe(16);
    EXPECT_THAT(sixteen.view(16), ElementsAre(0x23, 0x93, 0xae, 0x56));
    EXPECT_THAT(sixteen.view(47), ElementsAre(0xbe, 0xbb, 0xd2, 0x17));
  }
}

TEST(StripeCode, WithOnePlainColumnAllShardsAreIdentical) {
  for (Kernel kernel : supported_kernels()) {
    for (unsigned n : {2u, 3u, 255u}) {
      const auto code = StripeCode::make(1, n, kernel).value();
      const Columns stripe = make_stripe(code, 1000, n);
      for (unsigned c = 1; c < n; ++c) ASSERT_TRUE(stripe.equal(c, stripe.view(0))) << c;
    }
  }
}

TEST(StripeCode, EverySubsetOfKColumnsRebuildsAllOthersForSmallK) {
  for (auto [k, n] : {std::pair{1u, 3u},
                      {2u, 6u},
                      {3u, 9u},
                      {4u, 12u},
                      {1u, 12u},
                      {2u, 12u},
                      {3u, 12u},
                      {5u, 11u},
                      {4u, 5u}}) {
    const auto code = StripeCode::make(k, n).value();
    const Columns stripe = make_stripe(code, 131, k);
    std::vector<unsigned> have(k);
    std::iota(have.begin(), have.end(), 0);
    unsigned subsets = 0;
    do {
      ASSERT_TRUE(rebuilds_all(code, stripe, have))
          << "k " << k << ", n " << n << ", have " << testing::PrintToString(have);
      ++subsets;
    } while (next_subset(have, n));
    EXPECT_GE(subsets, n);
  }
}

TEST(StripeCode, RandomSubsetsRebuildAllOthersForLargeK) {
  std::mt19937_64 random(20240611);
  for (auto [k, n] : {std::pair{6u, 18u},
                      {7u, 21u},
                      {8u, 24u},
                      {12u, 36u},
                      {16u, 48u},
                      {16u, 20u},
                      {16u, 255u},
                      {17u, 51u},
                      {32u, 96u},
                      {85u, 255u},
                      {254u, 255u}}) {
    const auto code = StripeCode::make(k, n).value();
    const Columns stripe = make_stripe(code, 77, k);
    std::vector<unsigned> all(n);
    std::iota(all.begin(), all.end(), 0);
    for (int round = 0; round < 25; ++round) {
      std::shuffle(all.begin(), all.end(), random);
      const std::vector<unsigned> have(all.begin(), all.begin() + k);
      ASSERT_TRUE(rebuilds_all(code, stripe, have))
          << "k " << k << ", n " << n << ", have " << testing::PrintToString(have);
    }
  }
}

TEST(StripeCode, AllPlainColumnsComeBackFromAnyCodedOnes) {
  std::mt19937_64 random(7);
  for (Kernel kernel : supported_kernels()) {
    for (unsigned k : {2u, 3u, 4u, 8u, 15u, 16u, 32u}) {
      const auto code = StripeCode::make(k, 3 * k, kernel).value();
      const std::size_t bytes = 1 + random() % 3000;
      const Columns stripe = make_stripe(code, bytes, k);
      std::vector<unsigned> want(k);
      std::iota(want.begin(), want.end(), 0);
      std::vector<unsigned> coded(2 * k);
      std::iota(coded.begin(), coded.end(), k);
      for (int round = 0; round < 6; ++round) {
        // First the two whole thirds, then mixtures, in any order and of any wanted ones.
        const auto first = coded.begin() + (round == 1 ? k : 0);
        const std::vector<unsigned> have(first, first + k);
        auto rebuild = code.rebuild(have, want);
        ASSERT_TRUE(rebuild);
        Columns out(want.size(), bytes, 5);
        rebuild->run(stripe.at(have), out.out(), bytes);
        for (unsigned i = 0; i < want.size(); ++i)
          ASSERT_TRUE(out.equal(i, stripe.view(want[i])))
              << to_string(kernel) << ", k " << k << ", column " << want[i] << ", have "
              << testing::PrintToString(have);
        ASSERT_TRUE(out.guards_intact());
        if (round > 0) {
          std::shuffle(coded.begin(), coded.end(), random);
          std::shuffle(want.begin(), want.end(), random);
          if (round == 4) want.resize(1 + random() % want.size());
        }
      }
    }
  }
}

TEST(StripeCode, LosingAnyTwoThirdsAtRandomLosesNothing) {
  EXPECT_TRUE(rc::check("encode, erase 2k at random, rebuild, equal", [] {
    const auto k = *rc::gen::inRange(1u, 25u);
    const auto bytes = *rc::gen::inRange<std::size_t>(1, 700);
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const auto code = StripeCode::make(k, 3 * k).value();
    const Columns stripe = make_stripe(code, bytes, seed);
    std::vector<unsigned> have(3 * k);
    std::iota(have.begin(), have.end(), 0);
    std::mt19937_64 random(seed);
    std::shuffle(have.begin(), have.end(), random);
    have.resize(k);
    RC_ASSERT(rebuilds_all(code, stripe, have));
  }));
}

TEST(StripeCode, WantedColumnsThatAreAtHandAreCopied) {
  const auto code = StripeCode::make(4, 12).value();
  const Columns stripe = make_stripe(code, 500, 1);
  const std::vector<unsigned> have{2, 11, 5, 0};
  const std::vector<unsigned> want{11, 0, 3};
  Columns out(3, 500);
  code.rebuild(have, want)->run(stripe.at(have), out.out(), 500);
  for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(out.equal(i, stripe.view(want[i])));
}

TEST(StripeCode, NoBytesAreNoWork) {
  const auto code = StripeCode::make(2, 6).value();
  const std::vector<const std::uint8_t*> in(2, nullptr);
  const std::vector<std::uint8_t*> out(4, nullptr);
  code.encode(in, out, 0);
}

TEST(StripeCode, ImpossibleShapesAreRefused) {
  for (auto [k, n] : {std::pair{0u, 3u}, {3u, 3u}, {4u, 3u}, {86u, 258u}, {1u, 256u}, {0u, 0u}}) {
    const auto code = StripeCode::make(k, n);
    ASSERT_FALSE(code) << k << " of " << n;
    EXPECT_EQ(code.error().code, Errc::invalid);
  }
}

TEST(StripeCode, ImpossibleRebuildsAreRefusedByName) {
  const auto code = StripeCode::make(3, 9).value();
  const auto refusal = [&](std::vector<unsigned> have, std::vector<unsigned> want) {
    const auto rebuild = code.rebuild(have, want);
    if (rebuild) return std::string("accepted");
    EXPECT_EQ(rebuild.error().code, Errc::invalid);
    return rebuild.error().message;
  };
  EXPECT_THAT(refusal({0, 1}, {2}), HasSubstr("takes 3 columns, not 2"));
  EXPECT_THAT(refusal({0, 1, 2, 3}, {4}), HasSubstr("takes 3 columns, not 4"));
  EXPECT_THAT(refusal({}, {4}), HasSubstr("takes 3 columns, not 0"));
  EXPECT_THAT(refusal({0, 5, 5}, {1}), HasSubstr("column 5"));
  EXPECT_THAT(refusal({0, 5, 9}, {1}), HasSubstr("column 9"));
  EXPECT_THAT(refusal({0, 5, 4294967295u}, {1}), HasSubstr("column 4294967295"));
  EXPECT_THAT(refusal({0, 5, 6}, {1, 9}), HasSubstr("column 9"));
  EXPECT_THAT(refusal({0, 5, 6}, {1, 2, 1}), HasSubstr("column 1"));
  EXPECT_THAT(refusal({0, 5, 6}, {}), HasSubstr("no column"));
}

}  // namespace
}  // namespace spatter
