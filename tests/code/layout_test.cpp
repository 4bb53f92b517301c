// The layout: sizes at the edges, every map against a byte-by-byte model, ranges rebuilt from rows.
#include "code/layout.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <numeric>
#include <random>

#include "columns.h"

namespace spatter {
namespace {

using Range = Layout::Range;
constexpr std::uint64_t unit = Layout::unit_bytes;

Bytes random_pack(std::uint64_t length, std::uint64_t seed) {
  Bytes pack(length);
  std::mt19937_64 random(seed);
  for (std::uint8_t& byte : pack) byte = static_cast<std::uint8_t>(random() >> 40);
  return pack;
}

TEST(Layout, SizesFollowTheRows) {
  EXPECT_EQ(Layout(4, 0).shard_size(), 0);
  EXPECT_EQ(Layout(4, 0).rows(), 0);
  EXPECT_EQ(Layout(1, 1).shard_size(), 64);
  EXPECT_EQ(Layout(1, 64).shard_size(), 64);
  EXPECT_EQ(Layout(1, 65).shard_size(), 128);
  EXPECT_EQ(Layout(4, 1).shard_size(), 64);
  EXPECT_EQ(Layout(4, 257).shard_size(), 128);
  EXPECT_EQ(Layout(4, 4 * unit).shard_size(), unit);
  EXPECT_EQ(Layout(4, 4 * unit).rows(), 1);
  EXPECT_EQ(Layout(4, 4 * unit - 1).shard_size(), unit);
  EXPECT_EQ(Layout(4, 4 * unit + 1).shard_size(), unit + 64);
  EXPECT_EQ(Layout(4, 4 * unit + 1).rows(), 2);
  EXPECT_EQ(Layout(4, 4 * unit + 1).unit_size(0), unit);
  EXPECT_EQ(Layout(4, 4 * unit + 1).unit_size(1), 64);
  EXPECT_EQ(Layout(16, 16 * (4u << 20)).shard_size(), 4u << 20);
}

TEST(Layout, PiecesAreDealtRowByRow) {
  const Layout layout(3, 3 * unit + 1000);  // the last row: 334 each, rounded up to 384
  const auto pieces = layout.pieces(unit - 10, 2 * unit + 10 + 1000);
  EXPECT_THAT(pieces, testing::ElementsAre(Layout::Piece{0, unit - 10, unit - 10, 10},
                                           Layout::Piece{1, 0, unit, unit},
                                           Layout::Piece{2, 0, 2 * unit, unit},
                                           Layout::Piece{0, unit, 3 * unit, 384},
                                           Layout::Piece{1, unit, 3 * unit + 384, 384},
                                           Layout::Piece{2, unit, 3 * unit + 768, 232}));
  EXPECT_THAT(layout.column_ranges(unit - 10, 20),
              testing::ElementsAre(Range{unit - 10, 10}, Range{0, 10}, Range{0, 0}));
  EXPECT_EQ(layout.shard_range(unit - 10, 10), (Range{unit - 10, 10}));
  EXPECT_EQ(layout.shard_range(unit - 10, 20), (Range{0, unit}));
  EXPECT_EQ(layout.shard_range(3 * unit - 10, 20), (Range{unit - 10, 20}));
  EXPECT_EQ(layout.shard_range(17, 0), (Range{0, 0}));
  EXPECT_TRUE(layout.pieces(layout.length(), 0).empty());
}

TEST(Layout, PlainColumnsFillUpWithZerosAndGatherGivesThePackBack) {
  EXPECT_TRUE(rc::check("cut into plain columns, then gather any range", [] {
    const auto k = *rc::gen::inRange(1u, 20u);
    const auto rows = *rc::gen::inRange<std::uint64_t>(0, 3);
    const auto rest = *rc::gen::inRange<std::uint64_t>(0, k * 64 * 1024);
    const std::uint64_t length = rows * k * unit + rest;
    const Layout layout(k, length);
    const Bytes pack = random_pack(length, rest);
    RC_ASSERT(layout.shard_size() % 64 == 0);
    RC_ASSERT(layout.shard_size() * k >= length);
    RC_ASSERT(layout.shard_size() * k < length + 64 * k + k);

    Columns columns(k, layout.shard_size());
    columns.fill(1);
    encode_some({}, layout, pack, columns.out());
    RC_ASSERT(columns.guards_intact());
    std::uint64_t bytes_set = 0;
    std::uint64_t pack_set = 0;
    for (unsigned j = 0; j < k; ++j)
      bytes_set += static_cast<std::uint64_t>(
          std::ranges::count_if(columns.view(j), [](std::uint8_t byte) { return byte != 0; }));
    pack_set = static_cast<std::uint64_t>(
        std::ranges::count_if(pack, [](std::uint8_t byte) { return byte != 0; }));
    RC_ASSERT(bytes_set == pack_set);

    const auto offset = *rc::gen::inRange<std::uint64_t>(0, length + 1);
    const auto size = *rc::gen::inRange<std::uint64_t>(0, length - offset + 1);
    // Hand over no more than the ranges say are needed.
    const auto ranges = layout.column_ranges(offset, size);
    std::vector<Bytes> parts(k);
    std::vector<const std::uint8_t*> pointers(k, nullptr);
    std::vector<std::uint64_t> base(k, 0);
    std::uint64_t total = 0;
    for (unsigned j = 0; j < k; ++j) {
      total += ranges[j].length;
      if (ranges[j].length == 0) continue;
      parts[j] = to_bytes(columns.view(j).subspan(ranges[j].offset, ranges[j].length));
      pointers[j] = parts[j].data();
      base[j] = ranges[j].offset;
    }
    RC_ASSERT(total == size);
    Bytes out(size);
    layout.gather(pointers, base, offset, out);
    RC_ASSERT(std::ranges::equal(out, ByteView(pack).subspan(offset, size)));
  }));
}

TEST(Layout, AnyRangeIsRebuiltFromTheSameRangeOfAnyKColumns) {
  EXPECT_TRUE(rc::check("encode_stripe, read one shard range of any k, rebuild, gather", [] {
    const auto k = *rc::gen::inRange(1u, 9u);
    const auto length = *rc::gen::inRange<std::uint64_t>(1, 2 * k * 64 * 1024 + 5000);
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const Layout layout(k, length);
    const auto stripe_code = StripeCode::make(k, 3 * k).value();
    const Bytes pack = random_pack(length, seed);
    Columns shards(3 * k, layout.shard_size());
    encode_stripe(stripe_code, layout, pack, shards.out());
    RC_ASSERT(shards.guards_intact());

    const auto offset = *rc::gen::inRange<std::uint64_t>(0, length);
    const auto size = *rc::gen::inRange<std::uint64_t>(1, length - offset + 1);
    const Range range = layout.shard_range(offset, size);
    RC_ASSERT(range.end() <= layout.shard_size());
    std::uint64_t start = UINT64_MAX;
    std::uint64_t end = 0;
    for (const Range& part : layout.column_ranges(offset, size)) {
      if (part.length == 0) continue;
      start = std::min(start, part.offset);
      end = std::max(end, part.end());
    }
    RC_ASSERT(range.offset == start && range.end() == end);
    std::vector<unsigned> have(3 * k);
    std::iota(have.begin(), have.end(), 0);
    std::mt19937_64 random(seed);
    std::shuffle(have.begin(), have.end(), random);
    have.resize(k);
    std::vector<const std::uint8_t*> in;
    for (unsigned index : have) in.push_back(shards[index] + range.offset);
    std::vector<unsigned> plain(k);
    std::iota(plain.begin(), plain.end(), 0);
    Columns rebuilt(k, range.length);
    stripe_code.rebuild(have, plain)->run(in, rebuilt.out(), range.length);
    Bytes out(size);
    layout.gather(rebuilt.in(0, k), std::vector<std::uint64_t>(k, range.offset), offset, out);
    RC_ASSERT(std::ranges::equal(out, ByteView(pack).subspan(offset, size)));
  }));
}

TEST(Layout, EncodingByStretchesOfRowsGivesTheSameShards) {
  const unsigned k = 4;
  const Layout layout(k, 3 * k * unit + 12345);
  const auto stripe_code = StripeCode::make(k, 3 * k).value();
  const Bytes pack = random_pack(layout.length(), 3);
  Columns whole(3 * k, layout.shard_size());
  encode_stripe(stripe_code, layout, pack, whole.out());
  Columns plain(k, layout.shard_size());
  encode_some({}, layout, pack, plain.out());
  for (unsigned j = 0; j < k; ++j) EXPECT_TRUE(whole.equal(j, plain.view(j)));

  Columns parts(3 * k, layout.shard_size());
  auto pointers = parts.out();
  pointers[1] = nullptr;  // not wanted
  encode_stripe(stripe_code, layout, pack, pointers, 2, 2);
  encode_stripe(stripe_code, layout, pack, pointers, 0, 2);
  encode_stripe(stripe_code, layout, pack, pointers, 4, 7);
  for (unsigned c = 0; c < 3 * k; ++c)
    if (c != 1) EXPECT_TRUE(parts.equal(c, whole.view(c))) << c;
}

TEST(Layout, SomeShardsAreThoseThatEncodingGives) {
  const unsigned k = 5;
  for (const std::uint64_t length : {std::uint64_t{1}, 2 * k * unit, 2 * k * unit + 77777}) {
    const Layout layout(k, length);
    const auto stripe_code = StripeCode::make(k, 3 * k).value();
    const Bytes pack = random_pack(length, 4);
    Columns whole(3 * k, layout.shard_size());
    encode_stripe(stripe_code, layout, pack, whole.out());

    const std::vector<unsigned> wanted{1, 4, 6, 13};
    const auto rebuild = stripe_code.rebuild(std::vector<unsigned>{0, 1, 2, 3, 4}, std::vector<unsigned>{6, 13});
    ASSERT_TRUE(rebuild);
    Columns some(3 * k, layout.shard_size());
    auto pointers = some.out();
    for (unsigned c = 0; c < 3 * k; ++c)
      if (std::ranges::find(wanted, c) == wanted.end()) pointers[c] = nullptr;
    encode_some(*rebuild, layout, pack, pointers);
    for (const unsigned c : wanted) EXPECT_TRUE(some.equal(c, whole.view(c))) << length << " " << c;
  }
}

}  // namespace
}  // namespace spatter
