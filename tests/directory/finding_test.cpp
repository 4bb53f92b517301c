// Members that know no good address of each other: what is said on a local network and what lies in a
// public DHT brings them together, and nothing that strangers add to either does any harm.
#include <gtest/gtest.h>

#include "../net/fixture.h"
#include "../net/pipe_transport.h"
#include "directory/lan_finder.h"
#include "directory/rendezvous.h"
#include "people.h"

namespace spatter {
namespace {

/// Everybody hears everybody.
class Ether {
 public:
  class End final : public Datagrams {
   public:
    End(Ether& ether, asio::any_io_executor executor) : ether_(ether), changed_(executor) {}
    void send(Bytes bytes) override { ether_.say(std::move(bytes)); }
    Task<Result<Datagram>> receive() override {
      while (queue_.empty()) {
        if (stopped_) co_return fail(Errc::cancelled, "stopped");
        changed_.reset();
        co_await changed_.wait();
      }
      auto first = std::move(queue_.front());
      queue_.pop_front();
      co_return first;
    }
    void stop() override {
      stopped_ = true;
      changed_.set();
    }

   private:
    friend class Ether;
    Ether& ether_;
    std::deque<Datagram> queue_;
    Event changed_;
    bool stopped_ = false;
  };
  std::shared_ptr<End> end(asio::any_io_executor executor) {
    ends_.push_back(std::make_shared<End>(*this, std::move(executor)));
    return ends_.back();
  }
  void say(Bytes bytes) {
    said.push_back(bytes);
    for (auto& end : ends_) {
      end->queue_.push_back({Buffer::copy_of(bytes), "pipe"});
      end->changed_.set();
    }
  }
  std::vector<Bytes> said;

 private:
  std::vector<std::shared_ptr<End>> ends_;
};

/// A DHT in memory; anybody may put anything anywhere.
class MemoryDht final : public PublicDht {
 public:
  explicit MemoryDht(std::map<Place, std::vector<Bytes>>& places) : places_(places) {}
  Task<Result<void>> put(Place place, Bytes value) override {
    places_[place].push_back(std::move(value));
    co_return Result<void>{};
  }
  Task<Result<std::vector<Bytes>>> get(Place place) override { co_return places_[place]; }
  Task<void> stop() override { co_return; }

 private:
  std::map<Place, std::vector<Bytes>>& places_;
};

class FixedMembers final : public Members {
 public:
  FixedMembers(Rpc& rpc, Member own, std::vector<Member> others)
      : rpc_(rpc), own_(std::move(own)), others_(std::move(others)) {}
  Member own() const override { return own_; }
  std::vector<Member> others() const override {
    auto result = others_;
    for (Member& member : result) member.up = rpc_.measure(member.id).up;
    return result;
  }
  std::vector<Member> all() const override { return others(); }
  std::optional<Member> find(const ServerId& id) const override {
    for (const Member& member : others())
      if (member.id == id) return member;
    return std::nullopt;
  }
  std::optional<PersonId> person_of(const ServerId& id) const override {
    const auto member = find(id);
    return member ? std::optional(member->person) : std::nullopt;
  }
  bool is_up(const ServerId& id) const override { return rpc_.measure(id).up; }
  Subscription subscribe(std::function<void()>) override { return 1; }
  void unsubscribe(Subscription) override {}
  void publish_own(std::vector<Address>, std::uint64_t, std::uint64_t) override {}

 private:
  Rpc& rpc_;
  Member own_;
  std::vector<Member> others_;
};

class FindingTest : public NetTest {
 protected:
  struct Node {
    Node(FindingTest& test, const Identity& own, const Identity& other)
        : identity(own),
          transport(test.pipes, own.server),
          rpc(*test.runtime_, transport, own.network, quick()),
          address(*rpc.listen({"pipe", 0})),
          members(rpc, member(own, {address}), {member(other, {})}) {
      rpc.set_addresses(other.server, {{"pipe", 999}});  // where it was once
    }
    static Member member(const Identity& of, std::vector<Address> addresses) {
      Member made;
      made.id = of.server;
      made.person = of.person;
      made.addresses = std::move(addresses);
      return made;
    }
    static RpcOptions quick() {
      RpcOptions options;
      options.backoff_min = options.backoff_max = 50ms;
      return options;
    }
    const Identity& identity;
    PipeTransport transport;
    Rpc rpc;
    Address address;
    FixedMembers members;
  };

  Task<void> until(std::function<bool()> done) {
    while (!done()) co_await runtime_->sleep(5ms);
  }
  Task<void> stop(Node& node) {
    co_await node.rpc.stop();
    co_await node.transport.stop();
  }
  Presence presence(const Identity& of, std::uint64_t version) {
    return {of.server, version, 4840, {{"192.0.2.1", 4840}, {"2001:db8::1", 1}}};
  }
  std::uint64_t now() { return static_cast<std::uint64_t>(runtime_->wall_ms()); }

  People people;
  Identity one = people.server_of(*people.founder);
  Identity two = people.server_of(people.person());
  PipeNetwork pipes{*runtime_};
};

TEST_F(FindingTest, APresenceSaysWhatWasSealedAndOnlyToWhoHasTheKey) {
  const Key key = lan_key(people.facts.network);
  const Bytes sealed = seal_presence(one, presence(one, 77), key, people.random);
  EXPECT_LE(sealed.size(), presence_bytes_max);
  const auto opened = open_presence(sealed, key, people.facts.network);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->server, one.server);
  EXPECT_EQ(opened->version, 77u);
  EXPECT_EQ(opened->addresses, presence(one, 1).addresses);
  // Equal ones look different, and all as long as one another.
  const Bytes again = seal_presence(one, presence(one, 77), key, people.random);
  EXPECT_NE(sealed, again);
  Presence none = presence(one, 77);
  none.addresses.clear();
  EXPECT_EQ(seal_presence(one, none, key, people.random).size(), sealed.size());

  NetworkId other;
  other.bytes.fill(1);
  EXPECT_EQ(open_presence(sealed, lan_key(other), other).error().code, Errc::corrupt);
  EXPECT_EQ(open_presence(sealed, key, other).error().code, Errc::denied);
  for (std::size_t at = 0; at < sealed.size(); at += 7) {
    Bytes altered = sealed;
    altered[at] ^= 1;
    EXPECT_FALSE(open_presence(altered, key, people.facts.network));
  }
  for (std::size_t size : {0, 1, 24, 41, 42})
    EXPECT_FALSE(open_presence(ByteView(sealed).first(size), key, people.facts.network));
}

TEST_F(FindingTest, ManyLongAddressesAreCutToWhatFits) {
  Presence crowded = presence(one, 5);
  crowded.addresses.assign(8, {std::string(250, 'x'), 4840});
  const Key key = lan_key(people.facts.network);
  const Bytes sealed = seal_presence(one, crowded, key, people.random);
  EXPECT_LE(sealed.size(), presence_bytes_max);
  const auto opened = open_presence(sealed, key, people.facts.network);
  ASSERT_TRUE(opened);
  EXPECT_GE(opened->addresses.size(), 2u);
}

TEST_F(FindingTest, ReplayedOldForeignAndFuturePresencesDoNotCount) {
  PresenceJudge judge(one.server, [&](const ServerId& id) { return id == two.server || id == one.server; });
  const WallMs at = 1'000'000'000;
  const auto version = [&](std::int64_t ms) { return static_cast<std::uint64_t>(at + ms); };
  EXPECT_TRUE(judge.judge(presence(two, version(0)), at, 2min));
  EXPECT_EQ(judge.judge(presence(two, version(0)), at, 2min).error().code, Errc::exists);
  EXPECT_EQ(judge.judge(presence(two, version(-1)), at, 2min).error().code, Errc::exists);
  EXPECT_TRUE(judge.judge(presence(two, version(1)), at, 2min));
  EXPECT_EQ(judge.judge(presence(two, version(11 * 60'000)), at, 2min).error().code, Errc::invalid);
  EXPECT_EQ(judge.judge(presence(two, version(2)), at + 13 * 60'000, 2min).error().code, Errc::invalid);
  EXPECT_EQ(judge.judge(presence(one, version(9)), at, 2min).error().code, Errc::exists);
  const Identity stranger = people.server_of(people.person());
  EXPECT_EQ(judge.judge(presence(stranger, version(9)), at, 2min).error().code, Errc::denied);
}

TEST_F(FindingTest, OnALocalNetworkTwoMembersFindEachOtherAmongNoise) {
  auto test = [&]() -> Task<void> {
    Ether ether;
    Node a(*this, one, two), b(*this, two, one);
    LanOptions options{.announce_interval_min = 20ms};
    LanFinder find_a(*runtime_, a.rpc, a.members, one, ether.end(runtime_->executor()), a.address.port, options);
    LanFinder find_b(*runtime_, b.rpc, b.members, two, ether.end(runtime_->executor()), b.address.port, options);
    // Random bytes, another network's, a stranger's in ours: none of it may disturb.
    for (std::size_t size = 0; size < 40; ++size) ether.say(to_bytes(random_bytes(size * 31).view()));
    People others(9);
    const Identity elsewhere = others.server_of(*others.founder);
    ether.say(seal_presence(elsewhere, presence(elsewhere, now()), lan_key(elsewhere.network), others.random));
    const Identity stranger = people.server_of(people.person());
    ether.say(seal_presence(stranger, presence(stranger, now()), lan_key(people.facts.network), people.random));
    find_a.start();
    find_b.start();
    co_await until([&] { return a.rpc.measure(two.server).up && b.rpc.measure(one.server).up; });
    EXPECT_FALSE(a.rpc.measure(stranger.server).up);
    co_await find_a.stop();
    co_await find_b.stop();
    co_await stop(a);
    co_await stop(b);
  };
  run(test());
}

TEST_F(FindingTest, AFloodOfDatagramsIsDroppedUnread) {
  auto test = [&]() -> Task<void> {
    Ether ether;
    Node a(*this, one, two), b(*this, two, one);
    LanFinder find(*runtime_, a.rpc, a.members, one, ether.end(runtime_->executor()), a.address.port,
                   {.datagrams_per_s = 10});
    Presence where = presence(two, now());
    where.port = b.address.port;
    const Bytes said = seal_presence(two, where, lan_key(people.facts.network), people.random);
    for (int i = 0; i < 50; ++i) ether.say(to_bytes(random_bytes(500).view()));
    // A good one behind too many bad ones of the same second is lost.
    ether.say(said);
    find.start();
    co_await runtime_->sleep(200ms);
    EXPECT_FALSE(a.rpc.measure(two.server).up);
    // Said again in the next, it is heard.
    co_await runtime_->sleep(1s);
    ether.say(said);
    co_await until([&] { return a.rpc.measure(two.server).up; });
    co_await find.stop();
    co_await stop(a);
    co_await stop(b);
  };
  run(test());
}

TEST_F(FindingTest, ThroughADhtTwoMembersThatHaveBothMovedFindEachOther) {
  auto test = [&]() -> Task<void> {
    std::map<PublicDht::Place, std::vector<Bytes>> places;
    Node a(*this, one, two), b(*this, two, one);
    const RendezvousOptions options{.publish_every = 100ms, .look_every = 10ms, .missing_after = 10ms};
    Rendezvous find_a(*runtime_, a.rpc, a.members, one, std::make_shared<MemoryDht>(places), options);
    Rendezvous find_b(*runtime_, b.rpc, b.members, two, std::make_shared<MemoryDht>(places), options);
    const std::int64_t day = runtime_->wall_ms() / (24LL * 3600 * 1000);
    // Others leave things at the same place: noise, a member's presence at another's place, an old one.
    auto& place = places[rendezvous_place(one.network, two.server, day)];
    place.push_back(to_bytes(random_bytes(400).view()));
    const Key key = rendezvous_key(one.network, two.server, day);
    Presence moved = presence(one, now());
    place.push_back(seal_presence(one, moved, key, people.random));
    place.push_back(seal_presence(two, presence(two, 5), key, people.random));
    find_a.start();
    find_b.start();
    co_await until([&] { return a.rpc.measure(two.server).up && b.rpc.measure(one.server).up; });
    co_await find_a.stop();
    co_await find_b.stop();
    co_await stop(a);
    co_await stop(b);
  };
  run(test());
}

TEST_F(FindingTest, PlacesInTheDhtChangeDailyAndDifferForEveryServerAndNetwork) {
  NetworkId other;
  other.bytes.fill(1);
  const auto base = rendezvous_place(one.network, one.server, 100);
  EXPECT_EQ(base, rendezvous_place(one.network, one.server, 100));
  EXPECT_NE(base, rendezvous_place(one.network, one.server, 101));
  EXPECT_NE(base, rendezvous_place(one.network, two.server, 100));
  EXPECT_NE(base, rendezvous_place(other, one.server, 100));
}

}  // namespace
}  // namespace spatter
