// Aim: a stripe of which k holders are never on at the same time is mended all the same, and its new list signed by
// holders that never meet; whoever coordinates may be started anew or die.
// Method: of twelve holders (k = 12, three shards each) seven die; of the rest some are always on and the others in
// turns, cut off in between, in virtual time.
#include <gtest/gtest.h>

#include "mended.h"

namespace spatter {
namespace {

using Group = std::vector<unsigned>;

MendOptions patient() {
  MendOptions options;
  options.grace = 2h;
  options.absent_after = 4h;
  options.claim = 2min;
  options.trial = 12h;
  return options;
}

struct InTurns : Mended {
  InTurns(std::vector<Group> groups, const Group& dead, MendOptions options = patient())
      : Mended(12, options), groups(std::move(groups)) {
    owner->packs.add_sealed(3 << 20);
    settle_written();
    id = only_stripe();
    shard_size = servers[0]->table->find(id)->shard_size;
    version = list_at(1).version;
    kill_owner();
    for (const unsigned one : dead) kill_one(*servers[one]);
    for (std::size_t i = 1; i < this->groups.size(); ++i) off(this->groups[i]);
  }
  void off(const Group& group) {
    for (const unsigned one : group)
      if (servers[one]->running) cut_off(*servers[one]);
  }
  /// The next group comes when the one before it has gone.
  void turn(Duration length = 25min) {
    off(groups[now]);
    now = (now + 1) % groups.size();
    for (const unsigned one : groups[now])
      if (servers[one]->running) bring_back(*servers[one]);
    for (std::size_t i = 0; i < groups.size(); ++i)  // bringing one back mends its links to those that are off
      if (i != now) off(groups[i]);
    world.run_for(length);
  }
  bool turns_until(const std::function<bool()>& done, unsigned turns) {
    for (; !done(); turn())
      if (turns-- == 0) return false;
    return true;
  }
  bool mended() { return sum(&MendReport::rebuilt_stripes) > 0; }
  MendReport at(unsigned server) { return menders.at(servers[server].get())->report(); }
  HolderList list_at(unsigned server) {
    wire::HolderChain chain;
    const auto kept = wait(servers[server]->store->kept_stripe(id)).value();
    EXPECT_TRUE(chain.ParseFromArray(kept->holders.data(), static_cast<int>(kept->holders.size())));
    signatures = static_cast<unsigned>(chain.lists(chain.lists_size() - 1).signatures_size());
    return read_holder_list(chain.lists(chain.lists_size() - 1).body()).value();
  }
  std::optional<unsigned> who(const std::function<bool(const MendReport&)>& is) {
    for (unsigned i = 1; i <= 12; ++i)
      if (servers[i]->running && is(at(i))) return i;
    return std::nullopt;
  }

  std::vector<Group> groups;
  std::size_t now = 0;
  StripeId id;
  std::uint64_t shard_size = 0, version = 0;
  unsigned signatures = 0;
};

TEST(Gather, HoldersThatAreNeverOnTogetherAreEnough) {
  InTurns m({{1, 2}, {3, 4}}, {6, 7, 8, 9, 10, 11, 12});
  ASSERT_TRUE(m.turns_until([&] { return m.mended(); }, 60));
  const auto coordinator = *m.who([](const MendReport& report) { return report.rebuilt_stripes > 0; });
  // Both halves have signed one list, the first that followed: with three of them there were nine shards.
  EXPECT_EQ(m.list_at(coordinator).version, m.version + 1);
  EXPECT_GE(m.signatures, 4u);
  EXPECT_FALSE(m.list_at(coordinator).absent.empty());
  // Nothing was fetched or sent twice.
  const auto report = m.at(coordinator);
  EXPECT_LE(report.moved_bytes, (12 + report.rebuilt_shards) * m.shard_size);
  EXPECT_GE(m.standing(m.id).size(), 25u);
  EXPECT_EQ(report.gathered_bytes, 0u);
  EXPECT_EQ(report.gathered_stripes, 0u);
  // Who was off then is told when he comes, and keeps what he has got past its trial.
  ASSERT_TRUE(m.turns_until([&] { return m.list_at(1).version > m.version && m.list_at(3).version > m.version; }, 6));
  m.world.run_for(14h);
  EXPECT_GE(m.standing(m.id).size(), 25u);
}

TEST(Gather, ACoordinatorGoesOnAfterARestartAlsoWhenAFileHasRotted) {
  InTurns m({{1, 2}, {3, 4}}, {6, 7, 8, 9, 10, 11, 12});
  ASSERT_TRUE(m.turns_until([&] { return m.at(5).gathered_bytes > 0 || m.mended(); }, 60));
  ASSERT_FALSE(m.mended());
  auto& server = *m.servers[5];
  const auto gathered = m.at(5).gathered_bytes;
  m.wait(m.menders.at(&server)->stop());
  auto& disk = server.runtime().disk();
  const auto files = disk.list("server/gathered").value();
  ASSERT_FALSE(files.empty());
  {
    auto file = disk.open("server/gathered/" + files.front().name, OpenMode::read_write).value();
    std::uint8_t byte = 0;
    ASSERT_TRUE(file->read_at(1000, MutableBytes(&byte, 1)));
    byte ^= 4;
    ASSERT_TRUE(file->write_at(1000, ByteView(&byte, 1)));
  }
  m.start_mender(server);
  EXPECT_EQ(m.at(5).gathered_bytes, gathered);
  EXPECT_EQ(m.at(5).gathered_stripes, 1u);
  ASSERT_TRUE(m.turns_until([&] { return m.mended(); }, 60));
  EXPECT_FALSE(disk.stat("server/gathered/" + files.front().name));
  EXPECT_GE(m.standing(m.id).size(), 25u);
}

TEST(Gather, TheNextGathersWhenACoordinatorDies) {
  InTurns m({{1}, {2}, {3}}, {7, 8, 9, 10, 11, 12, 4});
  const auto steady = [&](unsigned i) { return m.servers[i]->running && m.at(i).gathered_bytes > 0; };
  ASSERT_TRUE(m.turns_until([&] { return steady(5) || steady(6) || m.mended(); }, 60));
  ASSERT_FALSE(m.mended());
  m.kill_one(*m.servers[steady(5) ? 5 : 6]);  // 1, 2, 3 and the other have just twelve
  ASSERT_TRUE(m.turns_until([&] { return m.mended(); }, 100));
  EXPECT_GE(m.standing(m.id).size(), 25u);
}

TEST(Gather, WithoutRoomForItNothingIsFetchedAgainAndAgain) {
  auto options = patient();
  options.gathered_bytes_max = 1;
  InTurns m({{1, 2}, {3, 4}}, {6, 7, 8, 9, 10, 11, 12}, options);
  ASSERT_TRUE(m.turns_until([&] { return m.at(5).urgent == 1; }, 20));
  for (int i = 0; i < 6; ++i) m.turn();
  EXPECT_EQ(m.sum(&MendReport::moved_bytes), 0u);
  EXPECT_EQ(m.sum(&MendReport::gathered_bytes), 0u);
  EXPECT_NE(m.at(5).trouble.find("no room"), std::string::npos) << m.at(5).trouble;
  EXPECT_FALSE(m.mended());
}

}  // namespace
}  // namespace spatter
