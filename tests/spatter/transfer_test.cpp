// Aim: what was written is read back bit for bit, whatever holders die, rot, lie or lag, and the
// errors beyond that are prompt and clear. Method: writer and reader over simulated servers.
#include <gtest/gtest.h>

#include "cluster.h"
#include "net/methods.h"

namespace spatter {
namespace {

class Bytes1 final : public PackBytes {
 public:
  explicit Bytes1(PackStore& packs) : packs_(packs) {}
  Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) override {
    return packs_.read(pack, offset, length, ReadFrom::anywhere);
  }

 private:
  PackStore& packs_;
};

/// An owner (server 0) with a bare writer and `width` others.
struct Transfer : Cluster {
  explicit Transfer(unsigned width, std::uint64_t seed = 1) : Cluster(seed) {
    for (unsigned i = 0; i <= width; ++i) add();
    owner = std::make_unique<Owner>(*this, *servers[0]);
    source = std::make_unique<Bytes1>(owner->packs);
    writer = std::make_unique<StripeWriter>(servers[0]->context(), owner->owned(), *source);
  }
  ~Transfer() {
    wait(writer->stop());
    writer.reset();
    owner.reset();
  }
  StripePtr write(std::uint64_t bytes) {
    const auto position = owner->packs.add_sealed(bytes);
    pack = position.pack;
    StripeLabel label{.pack = pack, .offset = 0, .length = bytes, .pack_sequence = position.sequence};
    auto written = wait(writer->write(label, shape_for(static_cast<unsigned>(writer->candidates().size())), [this] { ++safe_calls; }));
    EXPECT_TRUE(written.has_value()) << written.error().message;
    if (!written) return nullptr;
    last = *written;
    return servers[0]->table->find(written->stripe);
  }
  Cluster::Server& holder(const ServerId& id) {
    for (auto& server : servers)
      if (server->id() == id) return *server;
    throw std::runtime_error("no such server");
  }
  void expect_ranges(unsigned count) {
    const auto& expected = owner->packs.bytes(pack);
    SeededRandom random(3);
    for (unsigned i = 0; i < count; ++i) {
      const auto offset = random.below(expected.size());
      const auto length = 1 + random.below(std::min<std::uint64_t>(expected.size() - offset, 300000));
      auto bytes = wait(owner->reader.read(pack, offset, length));
      ASSERT_TRUE(bytes.has_value()) << bytes.error().message;
      ASSERT_EQ(bytes->size(), length);
      ASSERT_EQ(std::memcmp(bytes->data(), expected.data() + offset, length), 0) << offset;
    }
  }

  std::unique_ptr<Owner> owner;
  std::unique_ptr<Bytes1> source;
  std::unique_ptr<StripeWriter> writer;
  PackId pack;
  Written last;
  unsigned safe_calls = 0;
};

TEST(Transfer, EveryWidthAndSizeReadsBackWholeAndInRanges) {
  for (const unsigned width : {0u, 1u, 2u, 3u, 4u, 5u, 7u, 17u}) {
    Transfer t(width);
    const auto shape = shape_for(width);
    for (const std::uint64_t size :
         {std::uint64_t{1}, std::uint64_t{20000}, std::uint64_t{1000000},
          std::uint64_t{shape.k} * (width > 8 ? 1300001 : 3300001)}) {
      const auto stripe = t.write(size);
      ASSERT_TRUE(stripe) << width << " " << size;
      EXPECT_EQ(stripe->shards.size(), shape.full_at());
      EXPECT_TRUE(t.last.full);
      EXPECT_EQ(stripe->k, shape.k);
      t.owner->expect_reads_back(t.pack);
      t.expect_ranges(5);
    }
    EXPECT_EQ(t.safe_calls, 4u);
  }
}

TEST(Transfer, AnyTwoThirdsMayDie) {
  for (const unsigned width : {1u, 2u, 3u, 4u, 5u, 7u}) {
    for (std::uint64_t round = 0; round < 3; ++round) {
      Transfer t(width, round + 1);
      ASSERT_TRUE(t.write(shape_for(width).k * 700001));
      std::vector<unsigned> order;
      for (unsigned i = 1; i <= width; ++i) order.push_back(i);
      for (unsigned i = 0; i < 2 * width / 3; ++i) {
        const auto pick = i + t.world.random().below(order.size() - i);
        std::swap(order[i], order[pick]);
        t.kill(*t.servers[order[i]]);
      }
      t.owner->expect_reads_back(t.pack);
      t.expect_ranges(5);
    }
  }
}

TEST(Transfer, TooFewIsSaidPromptlyWithNames) {
  Transfer t(7);
  const auto stripe = t.write(3000000);
  for (unsigned i = 1; i <= 5; ++i) t.kill(*t.servers[i]);
  const auto before = t.world.now();
  const auto bytes = t.wait(t.owner->reader.read(t.pack, 0, 3000000));
  ASSERT_FALSE(bytes.has_value());
  EXPECT_EQ(bytes.error().code, Errc::unavailable);
  EXPECT_LT(t.world.now() - before, 1s);
  EXPECT_NE(bytes.error().message.find("6 of the 7"), std::string::npos) << bytes.error().message;
  for (unsigned i = 1; i <= 5; ++i)
    EXPECT_NE(bytes.error().message.find(t.servers[i]->id().brief()), std::string::npos);
}

TEST(Transfer, FlippedBytesAreFoundNamedAndReadFromElsewhere) {
  Transfer t(5);
  const auto stripe = t.write(5 * 1000000);
  std::set<std::pair<std::uint16_t, ServerId>> bad;
  t.owner->reader.on_bad_shard([&](StripeId id, std::uint16_t index, ServerId server) {
    EXPECT_EQ(id, stripe->id);
    bad.emplace(index, server);
  });
  // Every file of two of the five: all their shards are rotten.
  std::set<ServerId> rotten;
  for (const unsigned i : {2u, 4u}) {
    auto& disk = t.servers[i]->machine.disk();
    for (const auto& file : disk.files())
      if (file.find("shards/") != std::string::npos)
        for (int bit = 0; bit < 200; ++bit) ASSERT_TRUE(disk.flip_bit(file, t.world.random()));
    rotten.insert(t.servers[i]->id());
  }
  t.owner->expect_reads_back(t.pack);
  EXPECT_FALSE(bad.empty());
  for (const auto& [index, server] : bad) EXPECT_TRUE(rotten.contains(server));
}

TEST(Transfer, ASilentHolderIsOvertakenByOtherColumns) {
  Transfer t(7);
  ASSERT_TRUE(t.write(7 * 500000));
  t.owner->expect_reads_back(t.pack);  // so that it is known how long reads take
  // Nothing comes from it any more, and nobody knows yet.
  t.network.cut_link(1, 0);
  const auto before = t.world.now();
  t.owner->expect_reads_back(t.pack);
  EXPECT_LT(t.world.now() - before, 1s);
  t.network.mend_link(1, 0);
}

TEST(Transfer, AHolderThatLagsIsPassedOverForTheNext) {
  Transfer t(7);
  t.network.set_uplink(3, 2000);  // its acknowledgements crawl
  const auto before = t.world.now();
  const auto stripe = t.write(7 * 3000000);
  ASSERT_TRUE(stripe);
  EXPECT_TRUE(t.last.full);
  EXPECT_LT(t.world.now() - before, 60s);
  std::map<ServerId, unsigned> load;
  for (const auto& shard : stripe->shards) ++load[shard.holder];
  for (const auto& [server, count] : load) EXPECT_LE(count, 4u);
  t.owner->expect_reads_back(t.pack);
}

TEST(Transfer, AFullHolderIsPassedOver) {
  Cluster cluster;
  cluster.add();
  for (unsigned i = 1; i <= 5; ++i) cluster.add({}, i == 2 ? 300000 : 64ull << 30);
  Owner owner(cluster, *cluster.servers[0]);
  Bytes1 source(owner.packs);
  StripeWriter writer(cluster.servers[0]->context(), owner.owned(), source);
  const auto position = owner.packs.add_sealed(10000000);
  StripeLabel label{.pack = position.pack, .offset = 0, .length = 10000000, .pack_sequence = 1};
  const auto written = cluster.wait(writer.write(label, shape_for(5), {}));
  ASSERT_TRUE(written.has_value()) << written.error().message;
  EXPECT_TRUE(written->full);
  for (const auto& shard : cluster.servers[0]->table->find(written->stripe)->shards)
    EXPECT_NE(shard.holder, cluster.servers[2]->id());
  owner.expect_reads_back(position.pack);
  cluster.wait(writer.stop());
}

TEST(Transfer, AHolderThatDiesWhileWritingIsReplaced) {
  Transfer t(5);
  auto& victim = *t.servers[3];
  t.world.after(30ms, [&] { victim.machine.crash(true); });
  const auto stripe = t.write(5 * 3500000);
  ASSERT_TRUE(stripe);
  EXPECT_TRUE(t.last.full);
  for (const auto& shard : stripe->shards) EXPECT_NE(shard.holder, victim.id());
  t.owner->expect_reads_back(t.pack);
}

TEST(Transfer, WithNobodyLeftTheWriteFailsAndLeavesNothing) {
  Transfer t(3);
  t.write(1000);
  for (unsigned i = 1; i <= 3; ++i) t.kill(*t.servers[i]);
  const auto position = t.owner->packs.add_sealed(50000);
  StripeLabel label{.pack = position.pack, .offset = 0, .length = 50000, .pack_sequence = 2};
  const auto written = t.wait(t.writer->write(label, shape_for(3), {}));
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(t.servers[0]->table->size(), 1u);
}

TEST(Transfer, ExtendSendsTheSameShardsToOthers) {
  for (const std::uint64_t size : {std::uint64_t{100000}, std::uint64_t{4 * 3000000}}) {
    Transfer t(4);
    const auto stripe = t.write(size);
    ASSERT_TRUE(stripe);
    auto& fresh = t.add();
    const auto placed = t.wait(t.writer->extend(stripe, {{0, fresh.id()}, {7, fresh.id()}}));
    ASSERT_TRUE(placed.has_value()) << placed.error().message;
    EXPECT_EQ(placed->size(), 2u);
    EXPECT_EQ(t.servers[0]->table->find(stripe->id)->shards.size(), 14u);
    EXPECT_EQ(fresh.store->usage().shards, 2u);
    // Bytes that are no longer what was signed are never sent.
    const_cast<Bytes&>(t.owner->packs.bytes(t.pack))[5] ^= 1;
    const auto refused = t.wait(t.writer->extend(stripe, {{8, fresh.id()}}));  // it comes of all plain ones
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::corrupt);
    EXPECT_EQ(fresh.store->usage().shards, 2u);
    const_cast<Bytes&>(t.owner->packs.bytes(t.pack))[5] ^= 1;
  }
}

TEST(Transfer, ReceiptsAreKept) {
  Transfer t(4);
  const auto stripe = t.write(100000);
  const auto contracts = t.wait(t.servers[0]->table->contracts(1000)).value();
  EXPECT_EQ(contracts.size(), 12u);
  for (const auto& entry : contracts) {
    wire::Contract contract;
    ASSERT_TRUE(contract.ParseFromArray(entry.contract.data(), static_cast<int>(entry.contract.size())));
    const auto terms = check_contract(contract);
    ASSERT_TRUE(terms.has_value());
    EXPECT_EQ(terms->holder, entry.holder);
    EXPECT_EQ(terms->index, entry.index);
  }
}

}  // namespace
}  // namespace spatter
