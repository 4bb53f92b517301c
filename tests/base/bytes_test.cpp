#include "base/bytes.h"
#include "base/rope.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace spatter {
namespace {

RC_GTEST_PROP(Hex, ComesBackAsItWas, (Bytes bytes)) {
  const std::string text = to_hex(bytes);
  RC_ASSERT(text.size() == bytes.size() * 2);
  RC_ASSERT(from_hex(text).value() == bytes);
}

TEST(Hex, RefusesOddLengthsAndForeignCharacters) {
  EXPECT_EQ(from_hex("abc").error().code, Errc::invalid);
  EXPECT_EQ(from_hex("0g").error().code, Errc::invalid);
  EXPECT_EQ(from_hex("0 ").error().code, Errc::invalid);
  EXPECT_EQ(from_hex("0A").value(), Bytes{10});
}

TEST(BufferPool, EverySizeHoldsWhatIsWrittenToIt) {
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{32767}, std::size_t{32768},
                           std::size_t{32769}, std::size_t{40960}, std::size_t{40961},
                           std::size_t{65535}, std::size_t{65536}, std::size_t{1} << 20,
                           (std::size_t{4} << 20) + 1, std::size_t{16} << 20,
                           (std::size_t{16} << 20) + 1}) {
    Buffer buffer = Buffer::allocate(size);
    ASSERT_EQ(buffer.size(), size);
    if (size > 0) std::memset(buffer.mutable_data(), 0x5a, size);  // ASan sees a block too small
    Buffer again = Buffer::allocate(size);
    if (size > 0) EXPECT_NE(again.data(), buffer.data());
  }
}

TEST(BufferPool, AFreedBlockServesTheNextOfItsSize) {
  const std::uint8_t* first = Buffer::allocate(1 << 20).data();
  EXPECT_EQ(Buffer::allocate(1 << 20).data(), first);
}

TEST(BufferPool, ASliceKeepsTheMemoryAlive) {
  Buffer whole = Buffer::copy_of(as_bytes("spattered"));
  Buffer part = whole.slice(2, 3);
  whole = {};
  EXPECT_EQ(as_text(part), "att");
  EXPECT_TRUE(part.slice(3, 0).empty());
}

TEST(RopeReader, GoesThroughThePiecesAsTheyLie) {
  Rope rope;
  for (const auto* text : {"spat", "te", "red"}) rope.append(Buffer::copy_of(as_bytes(text)));
  RopeReader reader(rope);
  EXPECT_EQ(as_text(reader.piece()), "spat");
  reader.skip(3);
  EXPECT_EQ(as_text(reader.piece()), "t");
  reader.skip(1);
  EXPECT_EQ(as_text(reader.piece()), "te");
  reader.skip(0);
  reader.skip(2);
  EXPECT_EQ(as_text(reader.piece()), "red");
  reader.skip(3);
  EXPECT_TRUE(reader.piece().empty());
  EXPECT_TRUE(RopeReader(Rope()).piece().empty());
}

TEST(BufferPool, TrimmingLeavesBuffersInUseAlone) {
  Buffer held = Buffer::allocate(100'000);
  std::memset(held.mutable_data(), 7, held.size());
  { Buffer freed = Buffer::allocate(100'000); }
  Buffer::trim_pool();
  Buffer::trim_pool();
  EXPECT_EQ(held.view()[99'999], 7);
  EXPECT_EQ(Buffer::allocate(100'000).size(), 100'000u);
}

}  // namespace
}  // namespace spatter
