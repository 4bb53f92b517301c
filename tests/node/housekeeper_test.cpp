#include "housekeeper.h"

#include <gtest/gtest.h>

namespace spatter {
namespace {

PackInfo pack(std::uint64_t number, std::int64_t last_used_ms) {
  PackInfo info;
  info.id.bytes[0] = static_cast<std::uint8_t>(number);
  info.sequence = number;
  info.length = 100;
  info.sealed = true;
  info.last_used_ms = last_used_ms;
  return info;
}
const auto all_full = [](const PackId&) { return true; };

TEST(Eviction, TheColdestGoFirstAndNoMoreThanNeeded) {
  const std::vector<PackInfo> packs{pack(1, 30), pack(2, 10), pack(3, 20)};
  EXPECT_EQ(packs_to_evict(packs, 300, 300, all_full).size(), 0u);
  EXPECT_EQ(packs_to_evict(packs, 300, 250, all_full), std::vector{packs[1].id});
  EXPECT_EQ(packs_to_evict(packs, 300, 100, all_full), (std::vector{packs[1].id, packs[2].id}));
  EXPECT_EQ(packs_to_evict(packs, 300, 0, all_full).size(), 3u);
}

TEST(Eviction, OnlySealedLocalPacksThatAreFullGo) {
  std::vector<PackInfo> packs{pack(1, 1), pack(2, 2), pack(3, 3)};
  packs[0].sealed = false;
  packs[1].local = false;
  EXPECT_EQ(packs_to_evict(packs, 300, 0, all_full), std::vector{packs[2].id});
  EXPECT_TRUE(packs_to_evict(packs, 300, 0, [](const PackId&) { return false; }).empty());
}

}  // namespace
}  // namespace spatter
