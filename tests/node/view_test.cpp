// Networks of more servers than a view holds, in the simulated world: files are written and read, holders
// that moved are found, full views have nothing to tell one another, and only the directory knows some.
#include "servers.h"

namespace spatter {
namespace {

class ViewTest : public ServerTest {
 public:
  static ServerId id(SimServer& node) { return node.server->identity().server; }
  static const GossipMembers& members(SimServer& node) {
    return static_cast<const GossipMembers&>(node.server->members());
  }
  static DirectoryDesk& desk(SimServer& node) { return node.server->directory(); }

  Task<Result<void>> wait_for(std::string what, std::function<bool()> reached, int seconds = 1200) {
    for (int i = 0; i < 2 * seconds; ++i) {
      if (reached()) co_return Result<void>{};
      co_await world.sleep(500ms);
    }
    co_return fail(Errc::timeout, "it never came about that {}", what);
  }
  /// `count` servers, of as many persons unless fewer are wanted, up and in the directory. (A place in it is
  /// drawn by persons whom chance names: views must hold most persons, as those of 4,096 servers do.)
  Task<Result<void>> make_large(std::size_t count, ServerOptions options, std::size_t persons = 1000) {
    for (std::size_t i = 0; i < count; ++i) {
      auto& next = node();
      next.options = options;
      if (i == 0) {
        CO_TRY_VOID(co_await next.init());
      } else {
        CO_TRY(auto link, co_await invite(*nodes[0]));
        std::optional<PersonSecret> secret;
        if (i >= persons) secret = nodes[i % persons]->words;
        CO_TRY_VOID(co_await next.join(link, std::move(secret)));
      }
      CO_TRY_VOID(co_await next.up());
    }
    CO_TRY_VOID(co_await wait_for("all views are full of servers that are up", [&] {
      return std::ranges::all_of(nodes, [&](const auto& node) { return has_good_view(*node); });
    }));
    CO_TRY_VOID(co_await wait_for("all are in the directory", [&] {
      return std::ranges::all_of(nodes, [&](const auto& node) { return desk(*node).directory() != nullptr; });
    }));
    for (auto& node : nodes) co_await desk(*node).publish_now();
    co_return Result<void>{};
  }
  static bool has_good_view(SimServer& node) {
    const auto all = node.server->members().all();
    return all.size() == node.options.gossip.view_max && std::ranges::all_of(all, &Member::up);
  }
  /// Holders of a server's stripes, those of the most shards first.
  static std::vector<ServerId> holders_of(SimServer& owner) {
    std::map<ServerId, std::size_t> counts;
    for (const auto& stripe : owner.server->stripes().all())
      for (const auto& shard : stripe->shards)
        if (!shard.lost && shard.holder != id(owner)) ++counts[shard.holder];
    std::vector<ServerId> result;
    for (const auto& [holder, count] : counts) result.push_back(holder);
    std::ranges::sort(result, std::ranges::greater(), [&](const ServerId& one) { return counts[one]; });
    return result;
  }
  SimServer& server_of(const ServerId& wanted) {
    return **std::ranges::find_if(nodes, [&](const auto& node) { return node->server && id(*node) == wanted; });
  }
  GossipMembers::Counts counts() const {
    GossipMembers::Counts sum;
    for (const auto& node : nodes) {
      if (!node->server) continue;
      const auto& one = members(*node).counts();
      sum.comparisons += one.comparisons;
      sum.lists += one.lists;
      sum.records += one.records;
    }
    return sum;
  }
};

ServerOptions small_view(std::size_t view_max) {
  ServerOptions options;
  options.gossip.view_max = view_max;
  return options;
}

TEST_F(ViewTest, InANetworkLargerThanAnyViewAllStoreAndReadAndTheViewsComeToRest) {
  run([](ViewTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_large(24, small_view(10), 8));
    std::set<ServerId> known;
    for (auto& node : test.nodes) {
      const auto all = node->server->members().all();
      EXPECT_EQ(all.size(), 10u);
      EXPECT_FALSE(node->server->members().is_complete());
      for (const Member& member : node->server->members().others()) known.insert(member.id);
      CO_TRY(const auto status, co_await node->server->status());
      EXPECT_EQ(status.servers_total, 10u);
      EXPECT_FALSE(status.view_complete);
      EXPECT_EQ(members(*node).roster().persons().size(), 8u) << "persons are known to all";
    }
    EXPECT_EQ(known.size(), 24u) << "nobody is left out of all views";

    for (std::size_t i = 0; i < test.nodes.size(); ++i)
      CO_TRY_VOID(co_await test.put(*test.nodes[i], "a", bytes_of(i, 300'000), Level::full));
    for (std::size_t i = 0; i < test.nodes.size(); ++i) {
      auto& owner = *test.nodes[i];
      co_await owner.server->keeper().wait_idle();
      for (const ServerId& holder : holders_of(owner)) {
        EXPECT_TRUE(owner.server->members().is_up(holder));
        // Also a holder outside whose view the owner is knows who he is.
        EXPECT_EQ(test.server_of(holder).server->members().person_of(id(owner)), owner.server->identity().person);
      }
      CO_TRY_VOID(co_await test.expect(owner, "a", bytes_of(i, 300'000), ReadFrom::network));
    }

    // Those who meet through the directory may still take places from others, until each view has whom
    // its lots prefer. Then nothing is sent any more. Lists are not even sent before.
    co_await test.world.sleep(15min);
    bool at_rest = false;
    for (int hour = 0; hour < 12 && !at_rest; ++hour) {
      const auto before = test.counts();
      co_await test.world.sleep(1h);
      const auto after = test.counts();
      EXPECT_GT(after.comparisons, before.comparisons) << "they do compare";
      EXPECT_EQ(after.lists, before.lists);
      at_rest = after.records == before.records;
    }
    EXPECT_TRUE(at_rest);
    for (std::size_t i = 0; i < test.nodes.size(); ++i)
      CO_TRY_VOID(co_await test.expect(*test.nodes[i], "a", bytes_of(i, 300'000), ReadFrom::network));
    co_return Result<void>{};
  }(*this), 24h);
}

TEST_F(ViewTest, AHolderThatMovedAndIsNotInTheViewIsFoundAgain) {
  run([](ViewTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_large(16, small_view(12)));
    auto& owner = *test.nodes[5];
    const auto file = bytes_of(5, 3 << 20);
    CO_TRY_VOID(co_await test.put(owner, "a", file, Level::full));
    co_await owner.server->keeper().wait_idle();
    const auto holders = holders_of(owner);
    EXPECT_GE(holders.size(), 9u);
    co_await owner.down();
    std::vector<SimServer*> moved;
    for (const ServerId& holder : holders) {
      auto& node = test.server_of(holder);
      moved.push_back(&node);
      co_await node.down();
      CO_TRY_VOID(co_await node.up(4999));
    }
    CO_TRY_VOID(co_await test.wait_for("those that moved are in the directory again", [&] {
      return std::ranges::all_of(moved, [&](auto* node) { return desk(*node).directory() != nullptr; });
    }));
    for (auto* node : moved) co_await desk(*node).publish_now();
    // Its view has room for a part of the holders only, and it knows them where they were.
    owner.options.gossip.view_max = 8;
    CO_TRY_VOID(co_await owner.up());
    EXPECT_LE(owner.server->members().all().size(), 8u);
    CO_TRY_VOID(co_await test.wait_for("it is connected with those that it watches", [&] {
      const auto& watched = members(owner).watched();
      return !watched.empty() && std::ranges::all_of(watched, [&](const ServerId& one) {
        return members(owner).roster().holds(one) && members(owner).is_up(one);
      });
    }));
    CO_TRY_VOID(co_await test.expect(owner, "a", file, ReadFrom::network));
    // And it can find anybody else.
    for (auto& node : test.nodes) {
      if (node.get() == &owner) continue;
      CO_TRY(auto member, co_await owner.server->members().look_up(id(*node)));
      // One that has a place in the view and is not watched is looked for now and then.
      for (int i = 0; i < 60 && !member.up && members(owner).roster().holds(id(*node)); ++i) {
        co_await test.world.sleep(1min);
        CO_TRY(member, co_await owner.server->members().look_up(id(*node)));
      }
      EXPECT_EQ(member.id, id(*node));
      EXPECT_EQ(member.addresses, (std::vector<Address>{node->server->listening()}));
    }
    EXPECT_EQ(owner.server->members().all().size(), 8u) << "looking somebody up does not widen the view";
    EXPECT_FALSE(co_await owner.server->members().look_up({}));
    co_return Result<void>{};
  }(*this), 6h);
}

/// A server (`away`) is off while another of its view (`moved`) gets a new address, and comes up again where
/// the two cannot reach each other. Gives the address under which `away` has `moved` after `time`, which
/// it can have from the directory only: full views tell each other of no servers, and the table's contacts
/// are not offered to the view.
Task<Result<std::vector<Address>>> address_after_move(ViewTest& test, std::size_t members_at_once, Duration time) {
  ServerOptions options = small_view(7);
  options.directory.contacts_at_once = 0;
  options.directory.members_at_once = members_at_once;
  // Without the desk's help a view fills from those that have none full yet, in order of joining.
  CO_TRY_VOID(co_await test.make_large(12, options));
  auto& away = *test.nodes[8];
  const auto others = away.server->members().others();
  SimServer* moved = nullptr;
  for (const Member& member : others)
    if (&test.server_of(member.id) != test.nodes[0].get()) moved = &test.server_of(member.id);
  if (!moved) co_return fail(Errc::not_found, "nobody to move");
  co_await away.down();
  co_await moved->down();
  const auto here = away.machine.id(), there = moved->machine.id();
  test.network.cut_link(here, there);
  test.network.cut_link(there, here);
  CO_TRY_VOID(co_await moved->up(4999));
  CO_TRY_VOID(co_await test.wait_for("it is in the directory again", [&] {
    return ViewTest::desk(*moved).directory() != nullptr;
  }));
  co_await ViewTest::desk(*moved).publish_now();
  CO_TRY_VOID(co_await away.up());
  co_await test.world.sleep(time);
  const auto known = away.server->members().find(ViewTest::id(*moved));
  if (!known) co_return fail(Errc::not_found, "it has left the view");
  EXPECT_FALSE(known->up);
  co_return known->addresses;
}

TEST_F(ViewTest, WhereAMemberHasMovedIsFoundInTheDirectoryThoughNobodyElseTells) {
  run([](ViewTest& test) -> Task<Result<void>> {
    CO_TRY(const auto addresses, co_await address_after_move(test, 4, 30min));
    EXPECT_EQ(addresses.size(), 1u);
    if (!addresses.empty()) EXPECT_EQ(addresses[0].port, 4999);
    co_return Result<void>{};
  }(*this), 6h);
}

TEST_F(ViewTest, ASmallNetworkIsKnownWhole) {
  run([](ViewTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(5));
    for (auto& node : test.nodes) {
      EXPECT_TRUE(node->server->members().is_complete());
      CO_TRY(const auto status, co_await node->server->status());
      EXPECT_EQ(status.servers_total, 5u);
      EXPECT_TRUE(status.view_complete);
    }
    co_return Result<void>{};
  }(*this));
}

}  // namespace
}  // namespace spatter
