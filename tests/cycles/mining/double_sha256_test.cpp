// The kernels against known blocks, against OpenSSL and against one another.
#include "cycles/double_sha256.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <algorithm>

#include "base/random.h"

namespace spatter::mining {
namespace {

BlockHeader header_of(std::string_view hex) {
  const Bytes bytes = from_hex(hex).value();
  BlockHeader header;
  SPATTER_ASSERT(bytes.size() == header.size());
  std::ranges::copy(bytes, header.begin());
  return header;
}

std::string block_hash(const Digest& hash) { return number_of(hash).hex(); }

struct KnownBlock {
  const char* name;
  const char* header;
  std::uint32_t nonce;
  std::uint32_t bits;
  const char* hash;
};
constexpr KnownBlock known_blocks[] = {
    {"genesis",
     "01000000"
     "0000000000000000000000000000000000000000000000000000000000000000"
     "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
     "29ab5f49ffff001d1dac2b7c",
     2083236893, 0x1d00ffff, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"},
    {"block 1",
     "01000000"
     "6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000"
     "982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e"
     "61bc6649ffff001d01e36299",
     2573394689, 0x1d00ffff, "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"},
    {"block 125552",
     "01000000"
     "81cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000"
     "e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122b"
     "c7f5d74df2b9441a42a14695",
     2504433986, 0x1a44b9f2, "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"},
};

class EachKernel : public testing::TestWithParam<ScanKernel> {};
INSTANTIATE_TEST_SUITE_P(Available, EachKernel, testing::ValuesIn(scan_kernels_available()),
                         [](const auto& param) {
                           std::string name(to_string(param.param));
                           std::erase_if(name, [](char c) { return !std::isalnum(c); });
                           return name;
                         });

TEST_P(EachKernel, FindsTheNoncesOfKnownBlocks) {
  for (const KnownBlock& block : known_blocks) {
    SCOPED_TRACE(block.name);
    const BlockHeader header = header_of(block.header);
    const Uint256 target = target_of_bits(block.bits).value();
    // Some nonces before and after, so that the right one is in any lane.
    for (std::uint32_t before : {0U, 1U, 7U, 15U, 16U, 31U, 1000U}) {
      const auto hits = scan(header, block.nonce - before, before + 20, target, GetParam());
      ASSERT_EQ(hits.size(), 1U);
      EXPECT_EQ(hits[0].nonce, block.nonce);
      EXPECT_EQ(hits[0].version, 1U);
      EXPECT_EQ(block_hash(hits[0].hash), block.hash);
    }
    EXPECT_THAT(scan(header, block.nonce + 1, 5000, target, GetParam()), testing::IsEmpty());
    EXPECT_THAT(scan(header, block.nonce - 5000, 5000, target, GetParam()), testing::IsEmpty());
  }
}

/// OpenSSL's ordinary functions, twice.
Digest openssl_twice(const BlockHeader& header) {
  std::uint8_t once[32];
  Digest twice;
  SHA256(header.data(), header.size(), once);
  SHA256(once, sizeof once, twice.bytes.data());
  return twice;
}

BlockHeader random_header(Random& random) {
  BlockHeader header;
  random.fill(header);
  return header;
}

TEST_P(EachKernel, FindsExactlyWhatOpensslFindsAtAnyCountAndTarget) {
  SeededRandom random(8);
  for (int round = 0; round < 400; ++round) {
    const BlockHeader header = random_header(random);
    std::vector<std::uint32_t> versions(1 + random.below(HeaderScan::versions_max));
    for (auto& version : versions) version = static_cast<std::uint32_t>(random.next_u64());
    const std::uint64_t count = random.below(100);
    std::uint32_t first = static_cast<std::uint32_t>(random.next_u64());
    if (round % 4 == 0) first = static_cast<std::uint32_t>(0x100000000 - count);  // to the last nonce
    first = static_cast<std::uint32_t>(std::min<std::uint64_t>(first, 0x100000000 - count));
    // From every hash a hit to none, and equal to one of the hashes, which is a hit too.
    Uint256 target = Uint256::max();
    if (round % 5 == 1) target.words[3] >>= random.below(8);
    if (round % 5 == 2) target = {};
    if (round % 5 >= 3 && count > 0)
      target = number_of(openssl_twice(with_nonce(
          with_version(header, versions[0]), first + static_cast<std::uint32_t>(random.below(count)))));
    if (round % 5 == 4 && target.words[0] > 0) --target.words[0];  // ... and just not

    std::vector<Hit> expected;
    for (std::uint64_t i = 0; i < count; ++i)
      for (std::uint32_t version : versions) {
        const auto nonce = static_cast<std::uint32_t>(first + i);
        const Digest hash = openssl_twice(with_nonce(with_version(header, version), nonce));
        if (number_of(hash) <= target) expected.push_back({nonce, version, hash});
      }
    std::vector<Hit> hits;
    HeaderScan(header, versions, target, GetParam()).scan(first, count, hits);
    ASSERT_EQ(hits.size(), expected.size()) << "round " << round;
    ASSERT_TRUE(hits == expected) << "round " << round;
  }
}

TEST_P(EachKernel, FindsTheSameAsTheScalarOneAmongManyNonces) {
  SeededRandom random(9);
  const std::uint32_t versions[] = {0x20000000, 0x20002000, 0x20004000, 0x20006000};
  for (std::size_t count : {1U, 3U, 4U}) {
    const BlockHeader header = random_header(random);
    const Uint256 target = target_of_difficulty(1e-6);  // one hash in 4295
    std::vector<Hit> hits, expected;
    HeaderScan(header, {versions, count}, target, GetParam()).scan(12345, 100003, hits);
    HeaderScan(header, {versions, count}, target, ScanKernel::scalar).scan(12345, 100003, expected);
    EXPECT_GT(hits.size(), 5U);
    EXPECT_TRUE(hits == expected);
  }
}

TEST(ScanKernels, TheChosenOneIsAvailable) {
  EXPECT_THAT(scan_kernels_available(), testing::Contains(scan_kernel_chosen()));
  EXPECT_THAT(scan_kernels_available(), testing::Contains(ScanKernel::scalar));
}

TEST(DoubleSha256, IsOpensslsTwice) {
  SeededRandom random(1);
  const BlockHeader header = random_header(random);
  EXPECT_EQ(double_sha256(header), openssl_twice(header));
}

}  // namespace
}  // namespace spatter::mining
