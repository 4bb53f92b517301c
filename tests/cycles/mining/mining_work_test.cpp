// From a pool's parts to headers: the genesis block put together again, and the order in which units are
// dealt.
#include "cycles/mining_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace spatter::mining {
namespace {

constexpr std::string_view genesis_coinbase =
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d"
    "0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66"
    "207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe55"
    "48271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba"
    "0b8d578a4c702b6bf11d5fac00000000";

/// The genesis block as a pool would have handed it out: "Chan" and "cell" are the extra nonces.
MiningWork genesis_work() {
  const Bytes coinbase = from_hex(genesis_coinbase).value();
  const auto at = static_cast<std::size_t>(
      std::string_view(as_text(coinbase)).find("Chancellor"));
  MiningWork work;
  work.job.coinbase1 = {coinbase.begin(), coinbase.begin() + static_cast<std::ptrdiff_t>(at)};
  work.extranonce = {to_bytes(as_bytes("Chan")), 4};
  work.job.coinbase2 = {coinbase.begin() + static_cast<std::ptrdiff_t>(at) + 8, coinbase.end()};
  work.job.version = 1;
  work.job.bits = 0x1d00ffff;
  work.job.time = 1231006505;
  return work;
}

TEST(MiningWork, PutsTheGenesisBlockTogether) {
  const BlockHeader header =
      header_of(genesis_work(), as_bytes("cell"), 1231006505, 2083236893, 1);
  EXPECT_EQ(number_of(double_sha256(header)).hex(),
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
}

// Block 100000: four transactions; the root is known, and so are the hashes of all four.
TEST(MiningWork, BranchesLeadToTheRoot) {
  auto id = [](std::string_view hex) {
    Bytes bytes = from_hex(hex).value();
    Digest digest;
    std::reverse_copy(bytes.begin(), bytes.end(), digest.bytes.begin());
    return digest;
  };
  const Digest coinbase = id("8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87");
  const Digest second = id("fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4");
  const Digest third = id("6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4");
  const Digest fourth = id("e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d");
  auto joined = [](const Digest& a, const Digest& b) {
    Bytes both = to_bytes(a.bytes);
    both.insert(both.end(), b.bytes.begin(), b.bytes.end());
    return both;
  };
  // The coinbase's bytes are not at hand: the two upper levels are checked, from the pair that holds it.
  const Digest upper[] = {double_sha256(joined(third, fourth))};
  EXPECT_EQ(number_of(merkle_root(joined(coinbase, second), upper)).hex(),
            "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766");
}

TEST(MiningWork, UnitsCountVersionsThenExtranonce2ThenTime) {
  MiningWork work = genesis_work();
  work.version_mask = 0x00007000;  // eight versions: two units
  work.job.version = 0x20007001;
  work.extranonce.extranonce2_bytes = 1;
  work.extranonce2_first = 0x1fe;
  using testing::ElementsAre;
  auto unit = [&](std::uint64_t index) { return unit_of(work, index, 0).value(); };
  EXPECT_THAT(unit(0).versions, ElementsAre(0x20000001U, 0x20001001U, 0x20002001U, 0x20003001U));
  EXPECT_THAT(unit(1).versions, ElementsAre(0x20004001U, 0x20005001U, 0x20006001U, 0x20007001U));
  EXPECT_THAT(unit(1).extranonce2, ElementsAre(0xfe));
  EXPECT_THAT(unit(2).extranonce2, ElementsAre(0xff));
  EXPECT_THAT(unit(4).extranonce2, ElementsAre(0x00));
  EXPECT_EQ(unit(511).time, work.job.time);
  EXPECT_EQ(unit(512).time, work.job.time + 1);
  EXPECT_THAT(unit(512).extranonce2, ElementsAre(0xfe));

  std::set<Bytes> headers;
  for (std::uint64_t i = 0; i < 2000; ++i)
    for (const std::uint32_t version : unit(i).versions)
      headers.insert(to_bytes(with_version(unit(i).header, version)));
  EXPECT_EQ(headers.size(), 8000U);  // no two alike
}

TEST(MiningWork, TimeRunsAheadByWhatHasPassedAndTwoMinutesOnly) {
  MiningWork work = genesis_work();
  work.extranonce.extranonce2_bytes = 0;
  EXPECT_EQ(unit_of(work, 0, 0)->versions, std::vector<std::uint32_t>{1});
  EXPECT_TRUE(unit_of(work, 120, 0));
  EXPECT_FALSE(unit_of(work, 121, 0));
  EXPECT_EQ(unit_of(work, 130, 10)->time, work.job.time + 130);
  EXPECT_TRUE(unit_of(work, time_ahead_s_max, 1'000'000));
  EXPECT_FALSE(unit_of(work, time_ahead_s_max + 1, 1'000'000));
  EXPECT_FALSE(unit_of(work, UINT64_MAX, UINT64_MAX - 200));
}

TEST(MiningWork, LongExtranoncesAreCountedAtTheirEnd) {
  MiningWork work = genesis_work();
  work.extranonce.extranonce2_bytes = 16;
  work.extranonce2_first = UINT64_MAX;
  const auto unit = unit_of(work, 2, 0).value();
  EXPECT_EQ(to_hex(unit.extranonce2), "00000000000000000000000000000001");
}

}  // namespace
}  // namespace spatter::mining
