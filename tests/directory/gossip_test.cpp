// Several servers' members lists over pipes inside the process: joining, spreading, comparing.
#include "directory/gossip.h"

#include "../net/fixture.h"
#include "../net/pipe_transport.h"
#include "directory/join.h"
#include "net/methods.h"
#include "people.h"

namespace spatter {
namespace {

RpcOptions quick_rpc() {
  RpcOptions options;
  options.backoff_min = 10ms;
  options.backoff_max = 100ms;
  return options;
}

GossipOptions quick_gossip() {
  GossipOptions options;
  options.sync_every = 100ms;
  options.publish_every_min = 50ms;
  options.call_timeout = 2s;
  return options;
}

class GossipTest : public NetTest {
 public:
  using NetTest::runtime_;
  using NetTest::until;

  /// One server of the invented network, with a store of its own.
  struct Node {
    Node(GossipTest& test, Identity identity)
        : test(test), identity(std::move(identity)), transport(test.pipes, this->identity.server) {
      static int number = 0;
      path = fmt::format("spatter-gossip-{}-{}.db", ::getpid(), number++);
    }
    ~Node() {
      for (const auto* suffix : {"", "-wal", "-shm"})
        std::filesystem::remove(std::filesystem::temp_directory_path() / (path + suffix));
    }

    Task<void> found() {
      store = (co_await MemberStore::open(*test.runtime_, path)).value();
      (co_await store->replace({test.people.genesis, {}, {test.people.record(identity, 1, {})}}))
          .value();
    }
    Task<Result<void>> join(std::string link) {
      CO_TRY(auto invite, parse_link(link));
      Rpc joining(*test.runtime_, transport, NetworkId{}, quick_rpc());
      auto joined = co_await join_network(*test.runtime_, joining, invite, identity, 1000);
      co_await joining.stop();
      if (!joined) co_return fail(joined.error());
      CO_TRY(store, co_await MemberStore::open(*test.runtime_, path));
      co_return co_await store->replace(joined->contents);
    }
    Task<void> start() {
      if (!store) store = (co_await MemberStore::open(*test.runtime_, path)).value();
      rpc = std::make_unique<Rpc>(*test.runtime_, transport, identity.network, quick_rpc());
      auto options = quick_gossip();
      options.view_max = test.view_max;
      members = (co_await GossipMembers::open(*test.runtime_, *rpc, identity, *store, options)).value();
      address = rpc->listen({"pipe", address.port}).value();
      members->start();
      members->publish_own({address}, 1000, 1000);
    }
    Task<void> stop() {
      if (members) co_await members->stop();
      if (rpc) co_await rpc->stop();
      co_await transport.stop();
      members.reset();
      rpc.reset();
      if (store) co_await store->close();
      store.reset();
    }
    std::size_t up() const {
      const auto others = members->others();
      return static_cast<std::size_t>(std::ranges::count_if(others, &Member::up));
    }

    GossipTest& test;
    Identity identity;
    PipeTransport transport;
    std::string path;
    Address address{"pipe", 0};
    std::unique_ptr<MemberStore> store;
    std::unique_ptr<Rpc> rpc;
    std::unique_ptr<GossipMembers> members;
  };

  Node& node(const SigningKey& person) {
    nodes.push_back(std::make_unique<Node>(*this, people.server_of(person)));
    return *nodes.back();
  }
  Node& newcomer() { return node(people.person()); }

  /// The founder's server and `count` others, joined through it one after the other, all running.
  Task<void> network(std::size_t count) {
    auto& first = node(*people.founder);
    co_await first.found();
    co_await first.start();
    for (std::size_t i = 0; i < count; ++i) {
      const auto link = (co_await invite(first)).value();
      auto& next = newcomer();
      (co_await next.join(link)).value();
      co_await next.start();
    }
    co_await until([&] { return all_up(); });
  }
  Task<Result<std::string>> invite(Node& from) {
    co_await until([&] { return !from.members->roster().find(from.identity.server)
                                     ->member.addresses.empty(); });
    co_return co_await from.members->invite(1h);
  }
  bool all_up() const {
    return std::ranges::all_of(nodes, [&](const auto& node) {
      return !node->members || node->up() + 1 == nodes.size();
    });
  }
  Task<void> stop_all() {
    for (auto& node : nodes) co_await node->stop();
  }

  /// The founder's server and `count` others, of which each keeps `view_max` at most.
  Task<void> large_network(std::size_t count, std::size_t view_max_wanted) {
    view_max = view_max_wanted;
    auto& first = node(*people.founder);
    co_await first.found();
    co_await first.start();
    for (std::size_t i = 0; i < count; ++i) {
      auto& next = newcomer();
      (co_await next.join((co_await invite(first)).value())).value();
      co_await next.start();
    }
    for (auto& one : nodes) one->members->watch({});
    co_await until([&] { return std::ranges::all_of(nodes, [&](const auto& node) { return all_welcome(*node); }); });
  }
  /// Its view is full, all in it are up, and each of those knows it.
  bool all_welcome(const Node& at) const {
    const auto others = at.members->others();
    return others.size() + 1 == view_max && std::ranges::all_of(others, [&](const Member& member) {
      return member.up && node_of(member.id).members->person_of(at.identity.server) == at.identity.person;
    });
  }
  Node& node_of(const ServerId& id) const {
    return **std::ranges::find_if(nodes, [&](const auto& node) { return node->identity.server == id; });
  }

  std::size_t view_max = Roster::view_max;
  People people;
  PipeNetwork pipes{*runtime_};
  std::vector<std::unique_ptr<Node>> nodes;
};

TEST_F(GossipTest, ANewcomerIsKnownAndReachableEverywhere) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(3);
    for (const auto& node : test.nodes) {
      EXPECT_EQ(node->members->all().size(), 4u);
      for (const auto& other : test.nodes) {
        EXPECT_EQ(node->members->person_of(other->identity.server), other->identity.person);
        EXPECT_TRUE(node->members->is_up(other->identity.server));
      }
    }
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AChangeReachesEverybody) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(3);
    auto& changed = *test.nodes[2];
    int told = 0;
    test.nodes[0]->members->subscribe([&] { ++told; });
    changed.members->publish_own({changed.address}, 1000, 10);
    co_await test.until([&] {
      return std::ranges::all_of(test.nodes, [&](const auto& node) {
        return node->members->find(changed.identity.server)->free_bytes == 10;
      });
    });
    EXPECT_GT(told, 0);
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AServerThatStopsIsDownAndUpAgainAfterItsRestart) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(2);
    auto& first = *test.nodes[0];
    auto& restarted = *test.nodes[1];
    co_await restarted.stop();
    co_await test.until([&] { return !first.members->is_up(restarted.identity.server); });
    EXPECT_TRUE(first.members->find(restarted.identity.server));
    co_await restarted.start();
    co_await test.until([&] { return test.all_up(); });
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AllFindOneAnotherAgainAfterEverybodyWasStopped) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(2);
    for (auto& node : test.nodes) co_await node->stop();
    for (auto& node : test.nodes) co_await node->start();
    co_await test.until([&] { return test.all_up(); });
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AServerThatMovedIsFoundByItself) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(2);
    auto& moved = *test.nodes[1];
    co_await moved.stop();
    moved.address.port = 0;  // it gets another one
    co_await moved.start();
    co_await test.until([&] {
      const auto there = test.nodes[2]->members->find(moved.identity.server);
      return there->up && there->addresses == std::vector{moved.address};
    });
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AnInviteWorksForOneServerOnly) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(0);
    const auto link = (co_await test.invite(*test.nodes[0])).value();
    auto& first = test.newcomer();
    EXPECT_TRUE(co_await first.join(link));
    auto& second = test.newcomer();
    const auto reused = co_await second.join(link);
    EXPECT_EQ(reused.error().code, Errc::denied);
    EXPECT_TRUE(reused.error().message.contains("used already")) << reused.error().message;
    if (first.store) co_await first.store->close();
    first.store.reset();
    EXPECT_TRUE(co_await first.join(link)) << "its first answer may have been lost";
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, WrongInvitesAreRefusedWithTheirReason) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(0);
    auto& first = *test.nodes[0];
    auto invite = parse_link((co_await test.invite(first)).value()).value();
    auto& guest = test.newcomer();
    auto altered = invite;
    altered.secret[0] ^= 1;
    EXPECT_TRUE((co_await guest.join(to_link(altered))).error().message.contains("does not know"));
    altered = invite;
    altered.inviter = test.people.random.id<ServerId>();
    EXPECT_FALSE(co_await guest.join(to_link(altered)));
    altered = invite;
    altered.addresses = {{"pipe", 999}};
    EXPECT_EQ((co_await guest.join(to_link(altered))).error().code, Errc::unavailable);

    const auto expired = (co_await first.members->invite(-1s)).value();
    EXPECT_TRUE((co_await guest.join(expired)).error().message.contains("expired"));
    EXPECT_EQ(first.members->all().size(), 1u);
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AnotherServerOfAMemberJoinsWithoutANewAdmission) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(1);
    const auto link = (co_await test.invite(*test.nodes[1])).value();
    auto& second = test.node(*test.people.founder);
    EXPECT_TRUE(co_await second.join(link));
    co_await second.start();
    co_await test.until([&] { return test.all_up(); });
    EXPECT_EQ(test.nodes[1]->members->roster().admissions().size(), 1u);
    EXPECT_EQ(second.members->person_of(test.nodes[0]->identity.server),
              second.identity.person);
    co_await test.stop_all();
  }(*this));
}

/// The founder's two servers (0 and the last) and two of others.
Task<void> network_with_two_of_the_founder(GossipTest& test) {
  co_await test.network(2);
  const auto link = (co_await test.invite(*test.nodes[1])).value();
  auto& second = test.node(*test.people.founder);
  (co_await second.join(link)).value();
  co_await second.start();
  co_await test.until([&] { return test.all_up(); });
}

TEST_F(GossipTest, ARetiredServerIsForgottenByAllAndLearnsOfIt) {
  run([](GossipTest& test) -> Task<void> {
    co_await network_with_two_of_the_founder(test);
    auto& lost = *test.nodes[3];
    const auto id = lost.identity.server;
    EXPECT_EQ((co_await test.nodes[1]->members->retire(id)).error().code, Errc::denied);
    EXPECT_EQ((co_await lost.members->retire(id)).error().code, Errc::invalid);
    EXPECT_EQ((co_await lost.members->retire(ServerId{})).error().code, Errc::not_found);
    (co_await test.nodes[0]->members->retire(id)).value();
    co_await test.until([&] {
      return std::ranges::all_of(test.nodes, [&](const auto& node) {
        return node->members->retired_by(id) == lost.identity.person &&
               (node.get() == &lost || (node->members->others().size() == 2 &&
                                        !node->members->is_up(id) && !node->members->person_of(id)));
      });
    });
    // Nobody keeps a connection with it.
    co_await test.until([&] { return lost.rpc->connected().empty(); });
    // All of them remember.
    for (auto& node : test.nodes) co_await node->stop();
    for (auto& node : test.nodes) co_await node->start();
    co_await test.until([&] {
      return test.nodes[0]->up() == 2 && test.nodes[1]->up() == 2 && test.nodes[2]->up() == 2;
    });
    for (auto& node : test.nodes) EXPECT_TRUE(node->members->retired_by(id));
    EXPECT_EQ(lost.up(), 0u);
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AServerRetiredWhileItWasOffIsRefusedWithTheProof) {
  run([](GossipTest& test) -> Task<void> {
    co_await network_with_two_of_the_founder(test);
    auto& lost = *test.nodes[3];
    const auto id = lost.identity.server;
    co_await lost.stop();
    // One of the others is off, too, and hears of it when it compares.
    co_await test.nodes[2]->stop();
    (co_await test.nodes[0]->members->retire(id)).value();
    co_await test.until([&] { return test.nodes[1]->members->retired_by(id).has_value(); });
    co_await lost.start();
    co_await test.until([&] { return lost.members->retired_by(id).has_value(); });
    co_await test.nodes[2]->start();
    co_await test.until([&] { return test.nodes[2]->members->retired_by(id).has_value(); });
    EXPECT_EQ(test.nodes[0]->members->all().size(), 3u);
    // An invite does not bring it back.
    const auto link = (co_await test.invite(*test.nodes[1])).value();
    co_await lost.stop();
    EXPECT_FALSE((co_await lost.join(link)).has_value());
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AServerWithACertificateByAnOlderKeyCanBeRetired) {
  run([](GossipTest& test) -> Task<void> {
    co_await network_with_two_of_the_founder(test);
    auto& first = *test.nodes[0];
    const auto id = test.nodes[3]->identity.server;
    const auto new_key = test.people.person();
    const auto history = changed(*test.people.founder, new_key);
    for (std::size_t i = 0; i < 3; ++i) test.nodes[i]->members->set_keys({history, {}, {}});
    first.identity = make_identity(test.people.facts.network, new_key, first.identity.server_key, 1000,
                                   first.identity.person);
    for (std::size_t i = 0; i < 3; ++i) test.nodes[i]->members->keys_changed();
    (co_await first.members->own_key_changed()).value();
    EXPECT_FALSE(first.members->find(id));
    EXPECT_TRUE(first.members->roster().outdated().contains(id));
    EXPECT_EQ((co_await test.nodes[1]->members->retire(id)).error().code, Errc::denied);
    (co_await first.members->retire(id)).value();
    EXPECT_FALSE(first.members->roster().outdated().contains(id));
    co_await test.until([&] {
      return test.nodes[1]->members->retired_by(id) && test.nodes[2]->members->retired_by(id);
    });
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AGuestMayInviteAGuest) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(1);
    const auto link = (co_await test.invite(*test.nodes[1])).value();
    auto& second = test.newcomer();
    EXPECT_TRUE(co_await second.join(link));
    co_await second.start();
    co_await test.until([&] { return test.all_up(); });
    EXPECT_TRUE(test.nodes[0]->members->roster().is_admitted(second.identity.person));
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, AStrangerOfTheSameNetworkIsToldNothing) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(1);
    const auto stranger = test.people.server_of(test.people.person());
    PipeTransport transport(test.pipes, stranger.server);
    Rpc rpc(*test.runtime_, transport, stranger.network, quick_rpc());
    const auto& first = *test.nodes[0];
    const auto ask = [&](std::uint16_t method, std::string body) {
      return rpc.call_address(first.address, first.identity.server, {method, std::move(body), {}},
                              {});
    };
    EXPECT_EQ((co_await ask(method::members_sync, "")).error().code, Errc::denied);
    wire::PushRequest push;
    *push.add_records() = test.people.record(stranger, 1);
    EXPECT_EQ((co_await ask(method::members_push, push.SerializeAsString())).error().code,
              Errc::denied);
    EXPECT_FALSE(first.members->find(stranger.server));
    EXPECT_EQ((co_await ask(method::members_push, "\xff\xff")).error().code, Errc::invalid);
    co_await rpc.stop();
    co_await transport.stop();
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, WhereViewsAreFullEachIsKnownToThoseWhomItKnows) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.large_network(8, 4);
    for (const auto& node : test.nodes) {
      EXPECT_EQ(node->members->all().size(), 4u);
      EXPECT_FALSE(node->members->is_complete());
      EXPECT_EQ(node->members->roster().persons().size(), 9u) << "persons are known to all";
      EXPECT_LE(node->members->roster().visitors().size(), 8u);
      for (const Member& member : node->members->connected()) EXPECT_TRUE(member.up);
    }
    // Restarted, a server has its view again; visitors come by themselves.
    auto& restarted = *test.nodes[3];
    co_await restarted.stop();
    co_await restarted.start();
    EXPECT_EQ(restarted.members->all().size(), 4u);
    co_await test.until([&] { return test.all_welcome(restarted); });
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, WhereViewsAreFullAChangeReachesAllWhoKnowTheServer) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.large_network(8, 4);
    auto& changed = *test.nodes[5];
    changed.members->publish_own({changed.address}, 1000, 10);
    co_await test.until([&] {
      return std::ranges::all_of(test.nodes, [&](const auto& node) {
        const auto there = node->members->find(changed.identity.server);
        return !there || there->free_bytes == 10;
      });
    });
    // One that was off hears of it from the server itself, unless its small view has no place for it any more.
    auto& away = test.node_of(changed.members->others().front().id);
    co_await away.stop();
    changed.members->publish_own({changed.address}, 1000, 900);
    co_await away.start();
    co_await test.until([&] {
      const auto there = away.members->find(changed.identity.server);
      return !there || there->free_bytes == 900;
    });
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, CallersWithoutAPlaceInTheViewPushOutNobodyWhoIsWatched) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.large_network(4, 4);
    auto& first = *test.nodes[0];
    const auto watched = first.members->others().front().id;
    first.members->watch({watched});
    // Twenty servers of a person who is in the network call, one after the other, and stay.
    const auto link = (co_await test.invite(first)).value();
    auto& mole = test.newcomer();
    (co_await mole.join(link)).value();
    co_await mole.start();
    const auto chain = mole.members->roster().chain_of(mole.identity.person);
    struct Caller {
      Caller(GossipTest& test, Identity own)
          : identity(std::move(own)), transport(test.pipes, identity.server),
            rpc(*test.runtime_, transport, identity.network, quick_rpc()) {}
      Identity identity;
      PipeTransport transport;
      Rpc rpc;
    };
    std::vector<std::unique_ptr<Caller>> callers;
    const auto person = SigningKey::from_seed(mole.identity.person_key.seed());
    std::vector<ServerId> guests;
    for (const auto& [id, entry] : first.members->roster().visitors())
      if (entry.member.person != mole.identity.person) guests.push_back(id);
    int welcome = 0;
    for (int i = 0; i < 20; ++i) {
      auto& caller = *callers.emplace_back(std::make_unique<Caller>(test, test.people.server_of(person)));
      const auto ask = [&](std::uint16_t method, const auto& message) {
        return caller.rpc.call_address(first.address, first.identity.server,
                                       {method, message.SerializeAsString(), {}}, {});
      };
      EXPECT_EQ((co_await ask(method::members_sync, wire::SyncRequest())).error().code, Errc::denied);
      wire::PushRequest push;
      for (const auto& admission : chain) *push.add_admissions() = admission;
      *push.add_records() = test.people.record(caller.identity, 1);
      const auto taken = co_await ask(method::members_push, push);
      welcome += taken.has_value();
      EXPECT_EQ(taken.has_value(), first.members->person_of(caller.identity.server).has_value());
      if (taken) {
        EXPECT_EQ(first.members->person_of(caller.identity.server), caller.identity.person);
        EXPECT_TRUE(first.members->is_up(caller.identity.server));
        EXPECT_TRUE(co_await ask(method::members_sync, wire::SyncRequest()));
      } else {
        EXPECT_EQ(taken.error().code, Errc::denied);
        EXPECT_EQ(first.members->roster().visitors().size(), 8u) << "there is room for it";
      }
      EXPECT_TRUE(first.members->roster().holds(watched));
      EXPECT_EQ(first.members->all().size(), 4u);
      EXPECT_LE(first.members->roster().visitors().size(), 8u);
      for (const auto& id : guests) EXPECT_TRUE(first.members->person_of(id));
    }
    EXPECT_GE(welcome, 4);
    EXPECT_LT(welcome, 20) << "the bound was met";
    for (auto& caller : callers) {
      co_await caller->rpc.stop();
      co_await caller->transport.stop();
    }
    // Those who have gone are nobody's visitors any more.
    co_await test.until([&] {
      return std::ranges::none_of(callers, [&](const auto& caller) {
        return first.members->roster().visitors().contains(caller->identity.server);
      });
    });
    co_await test.stop_all();
  }(*this));
}

TEST_F(GossipTest, APeerThatFloodsIsSlowedDown) {
  run([](GossipTest& test) -> Task<void> {
    co_await test.network(1);
    auto& sender = *test.nodes[1];
    wire::PushRequest push;
    for (int i = 0; i < 500; ++i) *push.add_records() = wire::Signed();
    bool busy = false;
    for (int i = 0; i < 40 && !busy; ++i) {
      auto reply = co_await sender.rpc->call(test.nodes[0]->identity.server,
                                             {method::members_push, push.SerializeAsString(), {}});
      busy = !reply && reply.error().code == Errc::busy;
    }
    EXPECT_TRUE(busy);
    co_await test.stop_all();
  }(*this));
}

}  // namespace
}  // namespace spatter
