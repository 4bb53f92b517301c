// Cuts depend on content and key alone, keep their bounds, and find their way back after an insertion.
#include "userhalf/chunker.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "crypto/hash.h"

namespace spatter {
namespace {

Key key_of(std::uint8_t first) {
  Key key;
  key.bytes[0] = first;
  return key;
}

Bytes noise(std::size_t size, std::uint64_t seed) {
  Bytes bytes(size);
  SeededRandom(seed).fill(bytes);
  return bytes;
}

// Feeds `data` in steps, as a stream would come.
std::vector<std::size_t> cuts_of(const GearTable& gear, ByteView data, std::size_t step) {
  Chunker chunker(gear);
  std::vector<std::size_t> lengths;
  std::size_t start = 0, have = 0;
  while (true) {
    have = std::min(data.size(), have + step);
    const bool last = have == data.size();
    while (std::size_t length = chunker.next(data.subspan(start, have - start), last)) {
      lengths.push_back(length);
      start += length;
    }
    if (last) return lengths;
  }
}

TEST(Chunker, KeepsItsBoundsAndItsAverage) {
  GearTable gear(key_of(1));
  Bytes data = noise(96 << 20, 1);
  auto lengths = cuts_of(gear, data, data.size());
  std::size_t sum = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    sum += lengths[i];
    EXPECT_LE(lengths[i], chunk_bytes_max);
    if (i + 1 < lengths.size()) EXPECT_GE(lengths[i], chunk_bytes_min);
  }
  EXPECT_EQ(sum, data.size());
  const double average = double(sum) / double(lengths.size());
  EXPECT_GT(average, 0.7 * chunk_bytes_average);
  EXPECT_LT(average, 1.5 * chunk_bytes_average);
}

TEST(Chunker, CutsTheSameHoweverTheStreamComes) {
  GearTable gear(key_of(1));
  Bytes data = noise(12 << 20, 2);
  const auto whole = cuts_of(gear, data, data.size());
  for (std::size_t step : {std::size_t{65536}, std::size_t{1000003}, chunk_bytes_min - 1})
    EXPECT_EQ(cuts_of(gear, data, step), whole) << "in steps of " << step;
}

TEST(Chunker, AnInsertionChangesFewChunks) {
  GearTable gear(key_of(1));
  Bytes data = noise(32 << 20, 3);
  Bytes changed = data;
  changed.insert(changed.begin() + (5 << 20), 17, 0xaa);
  auto chunks = [&](const Bytes& bytes) {
    std::set<Digest> ids;
    std::size_t at = 0;
    for (std::size_t length : cuts_of(gear, bytes, bytes.size())) {
      ids.insert(sha256(ByteView(bytes).subspan(at, length)));
      at += length;
    }
    return ids;
  };
  auto before = chunks(data), after = chunks(changed);
  std::size_t common = 0;
  for (const Digest& id : after) common += before.contains(id);
  EXPECT_GE(common + 4, after.size());
}

TEST(Chunker, AnotherKeyCutsElsewhere) {
  Bytes data = noise(16 << 20, 4);
  EXPECT_NE(cuts_of(GearTable(key_of(1)), data, data.size()),
            cuts_of(GearTable(key_of(2)), data, data.size()));
}

TEST(Chunker, ConstantBytesGiveChunksOfOneLength) {
  GearTable gear(key_of(1));
  Bytes zeros(20 << 20);
  auto lengths = cuts_of(gear, zeros, zeros.size());
  ASSERT_GT(lengths.size(), 2u);
  for (std::size_t i = 0; i + 1 < lengths.size(); ++i) EXPECT_EQ(lengths[i], lengths[0]);
}

TEST(Chunker, NothingGivesNoChunk) {
  GearTable gear(key_of(1));
  Chunker chunker(gear);
  EXPECT_EQ(chunker.next({}, true), 0u);
  Bytes one(1);
  EXPECT_EQ(chunker.next(one, false), 0u);
  EXPECT_EQ(chunker.next(one, true), 1u);
}

}  // namespace
}  // namespace spatter
