// Entries open only where they were sealed, and whatever was done to a pack is noticed.
#include "userhalf/pack_format.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "fixture.h"

namespace spatter {
namespace {

PackId pack_id(std::uint8_t first) {
  PackId id;
  id.bytes[0] = first;
  return id;
}

void append(Bytes& pack, const VolumeKeys& keys, EntryType type, std::uint64_t number,
            std::string_view text) {
  const std::uint64_t at = pack.size();
  Bytes body = seal_entry_body(keys.metadata, pack_id(1), at, as_bytes(text));
  EntryHeader header{.type = type, .count = 1, .number = number};
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  header.plain_bytes = static_cast<std::uint32_t>(text.size());
  pack.resize(at + pack_header_bytes);
  seal_entry_header(keys.metadata, pack_id(1), at, header, MutableBytes(pack).subspan(at));
  pack.insert(pack.end(), body.begin(), body.end());
}

struct Scanned {
  std::vector<std::string> bodies;
  ScanEnd end;
};
Scanned scan(const VolumeKeys& keys, const PackId& pack, ByteView bytes) {
  Scanned scanned;
  scanned.end = scan_pack(keys.metadata, pack, bytes,
                          [&](std::uint64_t at, const EntryHeader& header, ByteView body) -> Result<void> {
                            TRY(Bytes plain, open_entry_body(keys.metadata, pack, at, header, body));
                            scanned.bodies.push_back(to_string(plain));
                            return {};
                          });
  return scanned;
}

TEST(PackFormat, EntriesComeBackInOrder) {
  auto keys = test_keys();
  Bytes pack;
  append(pack, keys, EntryType::log, 1, "first");
  append(pack, keys, EntryType::log, 2, "");
  append(pack, keys, EntryType::snapshot, 3, "third");
  auto scanned = scan(keys, pack_id(1), pack);
  EXPECT_TRUE(scanned.end.why.has_value());
  EXPECT_EQ(scanned.end.offset, pack.size());
  EXPECT_EQ(scanned.bodies, (std::vector<std::string>{"first", "", "third"}));
}

TEST(PackFormat, APackUnderAnotherNameDoesNotOpen) {
  auto keys = test_keys();
  Bytes pack;
  append(pack, keys, EntryType::log, 1, "first");
  auto scanned = scan(keys, pack_id(2), pack);
  EXPECT_EQ(scanned.end.offset, 0u);
  EXPECT_EQ(scanned.end.why.error().code, Errc::corrupt);
}

TEST(PackFormat, AnyFlippedBitEndsTheScanAtItsEntry) {
  auto keys = test_keys();
  Bytes pack;
  std::vector<std::size_t> starts;
  for (int i = 0; i < 5; ++i) {
    starts.push_back(pack.size());
    append(pack, keys, EntryType::log, 1, std::string(static_cast<std::size_t>(i) * 7, 'x'));
  }
  EXPECT_TRUE(rc::check([&] {
    Bytes bad = pack;
    const auto at = *rc::gen::inRange<std::size_t>(0, bad.size());
    bad[at] ^= static_cast<std::uint8_t>(1 << *rc::gen::inRange(0, 8));
    auto scanned = scan(keys, pack_id(1), bad);
    RC_ASSERT(!scanned.end.why.has_value());
    RC_ASSERT(scanned.end.offset == *std::prev(std::ranges::upper_bound(starts, at)));
  }));
}

TEST(PackFormat, ATornTailIsFoundAtEveryLength) {
  auto keys = test_keys();
  Bytes pack;
  append(pack, keys, EntryType::log, 1, "whole");
  const std::size_t whole = pack.size();
  append(pack, keys, EntryType::log, 2, "torn");
  for (std::size_t size = whole + 1; size < pack.size(); ++size) {
    auto scanned = scan(keys, pack_id(1), ByteView(pack).first(size));
    EXPECT_EQ(scanned.end.offset, whole);
    EXPECT_FALSE(scanned.end.why.has_value());
  }
}

TEST(PackFormat, CompressesTextAndLeavesNoise) {
  auto text = text_bytes(300'000, 1);
  auto packed = compress(text, 2);
  ASSERT_TRUE(packed.has_value());
  EXPECT_LT(packed->size(), text.size() / 2);
  Bytes back(text.size());
  ASSERT_TRUE(decompress(*packed, back).has_value());
  EXPECT_EQ(back, to_bytes(text));
  Bytes small(text.size() - 1);
  EXPECT_EQ(decompress(*packed, small).error().code, Errc::corrupt);
  EXPECT_FALSE(compress(random_bytes(300'000, 1), 2).has_value());
}

}  // namespace
}  // namespace spatter
