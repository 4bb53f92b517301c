// Aim: what was gathered comes back as the owner signed it or not at all, survives restarts, and never takes
// more room than it may.
// Method: the cache alone on a simulated machine's disk, with a shard store beside it; files are spoiled by hand.
#include <gtest/gtest.h>

#include "cluster.h"
#include "crypto/merkle.h"
#include "gathered.h"

namespace spatter {
namespace {

constexpr std::size_t shard_bytes = 40'000;            // of no whole number of leaves
constexpr std::uint64_t on_disk = 40'960;
constexpr std::uint64_t budget = 64ull << 20;

struct Bed : Cluster {
  Bed() : server(add({}, budget)), gathered(make()) { wait(gathered->scan()); }

  std::unique_ptr<Gathered> make() {
    return std::make_unique<Gathered>(server.runtime(), *server.store, options);
  }
  void restart() {
    gathered = make();
    wait(gathered->scan());
  }
  /// A stripe of four shards of random bytes.
  Descriptor stripe() {
    Descriptor descriptor;
    descriptor.stripe = random.id<StripeId>();
    descriptor.k = 2;
    descriptor.n = 4;
    descriptor.shard_size = shard_bytes;
    for (unsigned i = 0; i < 4; ++i) {
      Bytes bytes(shard_bytes);
      random.fill(bytes);
      contents[descriptor.stripe].push_back(Buffer::take(std::move(bytes)));
      descriptor.shard_roots.push_back(merkle_root(leaf_hashes(contents[descriptor.stripe].back())));
    }
    return descriptor;
  }
  Result<void> keep(const Descriptor& stripe, unsigned index) {
    return wait(gathered->keep(stripe, index, contents[stripe.stripe][index]));
  }
  bool reads_back(const Descriptor& stripe, unsigned index) {
    const auto shard = wait(gathered->read(stripe, index));
    return shard && std::ranges::equal(shard->view(), contents[stripe.stripe][index].view());
  }
  std::vector<std::string> files() {
    std::vector<std::string> result;
    if (const auto found = server.runtime().disk().list(options.folder))
      for (const auto& entry : *found) result.push_back(options.folder + "/" + entry.name);
    return result;
  }

  SeededRandom random{3};
  Gathered::Options options{.bytes_max = 4 * on_disk, .stay = 1h, .age_max = 14 * 24h};
  Server& server;
  std::unique_ptr<Gathered> gathered;
  std::map<StripeId, std::vector<Buffer>> contents;
};

TEST(Gathered, ComesBackAlsoAfterARestart) {
  Bed bed;
  const auto stripe = bed.stripe();
  ASSERT_TRUE(bed.keep(stripe, 0));
  ASSERT_TRUE(bed.keep(stripe, 3));
  ASSERT_TRUE(bed.keep(stripe, 3));  // again: nothing
  bed.restart();
  EXPECT_EQ(bed.gathered->indices(stripe.stripe).to_ullong(), 0b1001u);
  EXPECT_EQ(bed.gathered->bytes(), 2 * on_disk);
  EXPECT_TRUE(bed.reads_back(stripe, 0));
  EXPECT_TRUE(bed.reads_back(stripe, 3));
  EXPECT_FALSE(bed.reads_back(stripe, 1));
  bed.wait(bed.gathered->drop(stripe.stripe));
  EXPECT_EQ(bed.gathered->bytes(), 0u);
  EXPECT_TRUE(bed.files().empty());
}

TEST(Gathered, WhatHasNotItsRootIsGoneAndNeverReturned) {
  Bed bed;
  const auto stripe = bed.stripe();
  for (const std::uint64_t place : {0u, 16'383u, 16'384u, 39'999u, 40'000u}) {
    ASSERT_TRUE(bed.keep(stripe, 1));
    ASSERT_EQ(bed.files().size(), 1u);
    {
      auto file = bed.server.runtime().disk().open(bed.files().front(), OpenMode::read_write).value();
      std::uint8_t byte = 0;
      if (place < shard_bytes) {
        ASSERT_TRUE(file->read_at(place, MutableBytes(&byte, 1)));
      }
      byte ^= 1;  // the last one makes it a byte longer
      ASSERT_TRUE(file->write_at(place, ByteView(&byte, 1)));
    }
    EXPECT_FALSE(bed.wait(bed.gathered->read(stripe, 1)));
    EXPECT_TRUE(bed.gathered->indices(stripe.stripe).none());
    EXPECT_EQ(bed.gathered->bytes(), 0u);
    EXPECT_TRUE(bed.files().empty());
  }
  // Cut short, and another stripe's under its name.
  ASSERT_TRUE(bed.keep(stripe, 1));
  ASSERT_TRUE(bed.server.runtime().disk().open(bed.files().front(), OpenMode::read_write).value()->truncate(100));
  EXPECT_FALSE(bed.wait(bed.gathered->read(stripe, 1)));
  const auto other = bed.stripe();
  ASSERT_TRUE(bed.keep(stripe, 1));
  const auto name = bed.files().front();
  ASSERT_TRUE(bed.keep(other, 1));
  for (const auto& file : bed.files())
    if (file != name) {
      ASSERT_TRUE(bed.server.runtime().disk().rename(file, name));
    }
  EXPECT_FALSE(bed.wait(bed.gathered->read(stripe, 1)));
  EXPECT_FALSE(bed.wait(bed.gathered->read(other, 1)));
  EXPECT_EQ(bed.gathered->bytes(), 0u);
}

TEST(Gathered, TheStripeThatHasWaitedLongestMakesWayButNotAtOnce) {
  Bed bed;
  const auto first = bed.stripe(), second = bed.stripe(), third = bed.stripe();
  ASSERT_TRUE(bed.keep(first, 0));
  ASSERT_TRUE(bed.keep(first, 1));
  bed.world.run_for(10min);
  ASSERT_TRUE(bed.keep(second, 0));
  ASSERT_TRUE(bed.keep(second, 1));
  const auto refused = bed.keep(third, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::no_space);
  bed.world.run_for(55min);  // the first has had nothing for longer than it may stay
  ASSERT_TRUE(bed.keep(third, 0));
  EXPECT_TRUE(bed.gathered->indices(first.stripe).none());
  EXPECT_EQ(bed.gathered->indices(second.stripe).count(), 2u);
  EXPECT_LE(bed.gathered->bytes(), 4 * on_disk);
  EXPECT_EQ(bed.files().size(), 3u);
}

TEST(Gathered, TwoWeeksAreEnough) {
  Bed bed;
  const auto stripe = bed.stripe();
  ASSERT_TRUE(bed.keep(stripe, 0));
  bed.world.run_for(13 * 24h);
  bed.restart();
  EXPECT_EQ(bed.gathered->indices(stripe.stripe).count(), 1u);
  bed.world.run_for(25h);
  bed.wait(bed.gathered->tidy());
  EXPECT_TRUE(bed.gathered->stripes().empty());
  EXPECT_TRUE(bed.files().empty());
}

TEST(Gathered, CountsIntoTheServerHalfAndGivesWayToIt) {
  Bed bed;
  const auto free = bed.server.store->usage().free;
  const auto stripe = bed.stripe();
  ASSERT_TRUE(bed.keep(stripe, 0));
  EXPECT_EQ(bed.server.store->usage().free, free - on_disk);
  bed.restart();
  EXPECT_EQ(bed.server.store->usage().free, free - on_disk);
  // The half has become so small that what is left is for shards.
  bed.server.store->set_budget(256 << 10);
  EXPECT_EQ(bed.keep(stripe, 1).error().code, Errc::no_space);
  bed.wait(bed.gathered->tidy());
  EXPECT_TRUE(bed.files().empty());
}

TEST(Gathered, WhatCannotBeUnderstoodIsRemoved) {
  Bed bed;
  const auto stripe = bed.stripe();
  ASSERT_TRUE(bed.keep(stripe, 0));
  auto& disk = bed.server.runtime().disk();
  for (const auto& name : {std::string("x"), std::string("12.3.4"), stripe.stripe.hex() + ".1.7.part", stripe.stripe.hex() + ".300.7",
                                 stripe.stripe.hex() + ".01.7"})
    ASSERT_TRUE(disk.open(bed.options.folder + "/" + name, OpenMode::create));
  bed.restart();
  EXPECT_EQ(bed.files().size(), 1u);
  EXPECT_TRUE(bed.reads_back(stripe, 0));
  // A file where the folder should be.
  bed.wait(bed.gathered->drop(stripe.stripe));
  ASSERT_TRUE(disk.remove(bed.options.folder));
  ASSERT_TRUE(disk.open(bed.options.folder, OpenMode::create));
  bed.restart();
  ASSERT_TRUE(bed.keep(stripe, 2));
  EXPECT_TRUE(bed.reads_back(stripe, 2));
}

}  // namespace
}  // namespace spatter
