// Three servers over real TLS on loopback, two of which cannot be dialled: what goes through the
// third, what it refuses, and that a direct way is taken as soon as there is one.
#include "net/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"
#include "net/methods.h"
#include "net/tls_transport.h"
#include "relay_link.h"
#include "wire/proto/relay.pb.h"

namespace spatter {
namespace {

constexpr std::uint16_t echo = 900;

RpcOptions quick_rpc() {
  RpcOptions options;
  options.backoff_min = 20ms;
  options.backoff_max = 100ms;
  options.next_address_after = 50ms;
  options.detour_after = 50ms;
  options.upgrade_min = 50ms;
  options.ping_after = 200ms;
  options.connect_timeout = 3s;
  return options;
}

class RelayTest : public NetTest {
 protected:
  struct Node {
    Node(RelayTest& test, RelayOptions options)
        : key(test.new_key()),
          id(server_id(key.public_key())),
          transport(make_tls_transport(*test.runtime_, key)),
          rpc(*test.runtime_, *transport, test.network_, quick_rpc()),
          relay(*test.runtime_, *transport, rpc,
                [&test](const ServerId& who) -> std::optional<RelayService::Known> {
                  const auto found = test.members_.find(who);
                  if (found == test.members_.end()) return std::nullopt;
                  return RelayService::Known{found->second, !test.guests_.contains(who)};
                },
                options) {
      rpc.serve(echo, [this](Caller caller, RpcRequest request) -> Task<Result<RpcReply>> {
        relayed_calls += caller.relayed ? 1 : 0;
        last_caller = caller.server;
        co_return RpcReply{std::move(request.body), std::move(request.payload)};
      });
      relay.start();
    }
    void listen() { address = *rpc.listen({"127.0.0.1", 0}); }
    SigningKey key;
    ServerId id;
    std::unique_ptr<Transport> transport;
    Rpc rpc;
    RelayService relay;
    Address address;
    std::size_t relayed_calls = 0;
    ServerId last_caller;
  };

  RelayTest() { network_.bytes.fill(7); }

  Node& node(RelayOptions options = {}, bool member = true) {
    nodes_.push_back(std::make_unique<Node>(*this, options));
    Node& made = *nodes_.back();
    PersonId person;
    person.bytes.fill(static_cast<std::uint8_t>(nodes_.size()));
    if (member) members_[made.id] = person;
    return made;
  }

  void run(Task<void> task) {
    NetTest::run(std::move(task));
    auto stop = [](RelayTest& test) -> Task<void> {
      for (auto& node : test.nodes_) {
        co_await node->relay.stop();
        co_await node->rpc.stop();
        co_await node->transport->stop();
      }
    };
    NetTest::run(stop(*this));
  }

  Task<void> until(std::function<bool()> done) {
    while (!done()) co_await runtime_->sleep(5ms);
  }
  Task<void> join(Node& relay, std::vector<Node*> others) {
    for (Node* other : others) other->rpc.set_addresses(relay.id, {relay.address});
    for (Node* other : others)
      co_await until([&relay, other] {
        return relay.rpc.measure(other->id).up && other->rpc.measure(relay.id).up;
      });
  }
  Task<Result<RpcReply>> call(Node& from, const Node& to, std::size_t payload = 10) {
    return from.rpc.call(to.id, {echo, "hello", random_bytes(payload)}, {.timeout = 5s});
  }
  Task<Result<RpcReply>> open(Node& from, const Node& relay, const ServerId& target) {
    wire::RelayOpenRequest request;
    request.set_target(target.raw());
    return from.rpc.call(relay.id, {method::relay_open, request.SerializeAsString(), {}});
  }

  NetworkId network_;
  std::map<ServerId, PersonId> members_;
  std::set<ServerId> guests_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST_F(RelayTest, TwoServersThatCannotBeDialledTalkThroughAThird) {
  Node& relay = node();
  Node& a = node();
  Node& b = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b});
    a.rpc.set_addresses(b.id, {{"127.0.0.1", 1}}, {relay.id});
    auto reply = co_await call(a, b, 5 << 20);
    EXPECT_TRUE(reply) << reply.error().message;
    if (!reply) co_return;
    EXPECT_TRUE(std::ranges::equal(reply->payload.flat().view(), random_bytes(5 << 20).view()));
    EXPECT_EQ(b.last_caller, a.id);
    EXPECT_EQ(b.relayed_calls, 1u);
    EXPECT_TRUE(a.rpc.measure(b.id).relayed);
    EXPECT_TRUE(b.rpc.measure(a.id).relayed);
    EXPECT_EQ(relay.relay.usage().links, 1u);
    // And back, over the same link.
    EXPECT_TRUE(co_await call(b, a));
    EXPECT_EQ(relay.relay.usage().links, 1u);
  };
  run(test());
}

TEST_F(RelayTest, ADirectWayTakesOverFromTheRelay) {
  Node& relay = node();
  Node& a = node();
  Node& b = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b});
    a.rpc.set_addresses(b.id, {{"127.0.0.1", 1}}, {relay.id});
    EXPECT_TRUE(co_await call(a, b));
    EXPECT_TRUE(a.rpc.measure(b.id).relayed);
    b.listen();
    a.rpc.add_hint(b.id, b.address);
    // One side may hear that the relayed connection is over before its own greeting on the new one is.
    const auto direct = [](const PeerMeasure& measure) { return measure.up && !measure.relayed; };
    co_await until([&] { return direct(a.rpc.measure(b.id)) && direct(b.rpc.measure(a.id)); });
    EXPECT_TRUE(co_await call(a, b));
    EXPECT_EQ(b.relayed_calls, 1u);
    // The relay is free of them once both have hung up.
    co_await until([&] { return relay.relay.usage().links == 0; });
    EXPECT_GT(relay.relay.usage().bytes_carried, 0u);
  };
  run(test());
}

TEST_F(RelayTest, ADirectWayIsPreferredFromTheBeginning) {
  Node& relay = node();
  Node& a = node();
  Node& b = node();
  relay.listen();
  b.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b});
    a.rpc.set_addresses(b.id, {{"127.0.0.1", 1}, b.address}, {relay.id});
    EXPECT_TRUE(co_await call(a, b));
    EXPECT_FALSE(a.rpc.measure(b.id).relayed);
    EXPECT_EQ(b.relayed_calls, 0u);
  };
  run(test());
}

TEST_F(RelayTest, WhenARelayDiesTheNextOneTakesTheLink) {
  Node& first = node();
  Node& second = node();
  Node& a = node();
  Node& b = node();
  first.listen();
  second.listen();
  auto test = [&]() -> Task<void> {
    co_await join(first, {&a, &b});
    a.rpc.set_addresses(b.id, {}, {first.id, second.id});
    EXPECT_TRUE(co_await call(a, b));
    EXPECT_EQ(first.relay.usage().links, 1u);
    co_await join(second, {&a, &b});
    co_await first.relay.stop();
    co_await first.rpc.stop();
    co_await first.transport->stop();
    co_await until([&] { return second.relay.usage().links == 1; });
    EXPECT_TRUE(co_await call(a, b));
    EXPECT_EQ(b.relayed_calls, 2u);
  };
  run(test());
}

TEST_F(RelayTest, StrangersAreNotRelayedNorRelayedTo) {
  Node& relay = node();
  Node& a = node();
  Node& stranger = node({}, false);
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &stranger});
    auto by_stranger = co_await open(stranger, relay, a.id);
    EXPECT_FALSE(by_stranger);
    EXPECT_EQ(by_stranger.error().code, Errc::denied);
    auto to_stranger = co_await open(a, relay, stranger.id);
    EXPECT_FALSE(to_stranger);
    EXPECT_EQ(to_stranger.error().code, Errc::denied);
    auto to_oneself = co_await open(a, relay, a.id);
    EXPECT_EQ(to_oneself.error().code, Errc::invalid);
    ServerId nobody;
    nobody.bytes.fill(99);
    members_[nobody] = members_[a.id];
    auto to_absent = co_await open(a, relay, nobody);
    EXPECT_EQ(to_absent.error().code, Errc::unavailable);
    EXPECT_EQ(relay.relay.usage().links, 0u);
  };
  run(test());
}

TEST_F(RelayTest, AServerThatDoesNotWantToCarryDoesNot) {
  Node& relay = node({.carry = false});
  Node& a = node();
  Node& b = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b});
    auto reply = co_await open(a, relay, b.id);
    EXPECT_FALSE(reply);
    EXPECT_EQ(reply.error().code, Errc::denied);
  };
  run(test());
}

TEST_F(RelayTest, RelayingThroughARelayIsRefused) {
  Node& relay = node();
  Node& middle = node();
  Node& a = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &middle});
    a.rpc.set_addresses(middle.id, {}, {relay.id});
    EXPECT_TRUE(co_await call(a, middle));
    // Asked over a relayed connection, and asked for a server it has only a relayed connection to.
    auto reply = co_await open(a, middle, relay.id);
    EXPECT_FALSE(reply);
    EXPECT_EQ(reply.error().code, Errc::denied);
    auto other = co_await open(relay, middle, a.id);
    EXPECT_FALSE(other);
    EXPECT_EQ(other.error().code, Errc::unavailable);
  };
  run(test());
}

TEST_F(RelayTest, LinksAreLimitedPerPerson) {
  Node& relay = node({.links_per_person_max = 1, .meet_timeout = 10s});
  Node& a = node();
  Node& b = node();
  Node& c = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b, &c});
    EXPECT_TRUE(co_await open(a, relay, b.id));  // never taken up
    auto second = co_await open(a, relay, c.id);
    EXPECT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::busy);
    EXPECT_TRUE(co_await open(b, relay, c.id));  // another person's
    EXPECT_EQ(relay.relay.usage().links, 2u);
  };
  run(test());
}

TEST_F(RelayTest, AllGuestsTogetherHaveTheRoomOfOnePerson) {
  Node& relay = node({.links_per_person_max = 1, .meet_timeout = 10s});
  Node& a = node();
  Node& b = node();
  Node& c = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b, &c});
    guests_ = {a.id, b.id};
    EXPECT_TRUE(co_await open(a, relay, c.id));  // never taken up
    auto second = co_await open(b, relay, c.id);
    EXPECT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::busy);
    EXPECT_TRUE(co_await open(c, relay, a.id));
  };
  run(test());
}

TEST_F(RelayTest, NobodyIsReachedThroughAGuestsServer) {
  Node& relay = node();
  Node& a = node();
  Node& b = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b});
    guests_ = {relay.id};
    // Neither does the dialler go that way,
    a.rpc.set_addresses(b.id, {}, {relay.id});
    auto reply = co_await call(a, b);
    EXPECT_FALSE(reply);
    EXPECT_EQ(relay.relay.usage().links, 0u);
    // nor does the target come, when it is asked to.
    auto opened = co_await open(a, relay, b.id);
    EXPECT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::denied);
    guests_.clear();
    co_await until([&] { return a.rpc.measure(b.id).up; });
  };
  run(test());
}

TEST_F(RelayTest, ALinkThatNobodyComesToIsForgotten) {
  Node& relay = node({.meet_timeout = 50ms});
  Node& a = node();
  Node& b = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b});
    EXPECT_TRUE(co_await open(a, relay, b.id));
    co_await until([&] { return relay.relay.usage().links == 0; });
    // And the next one works as if nothing had been.
    a.rpc.set_addresses(b.id, {}, {relay.id});
    co_await until([&] { return a.rpc.measure(b.id).up; });
  };
  run(test());
}

TEST_F(RelayTest, RelayedBytesKeepToTheirRate) {
  Node& relay = node({.bytes_per_s = 100 << 20, .bytes_per_s_per_person = 2 << 20});
  Node& a = node();
  Node& b = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    co_await join(relay, {&a, &b});
    a.rpc.set_addresses(b.id, {}, {relay.id});
    EXPECT_TRUE(co_await call(a, b));
    const TimePoint begun = runtime_->now();
    EXPECT_TRUE(co_await call(a, b, 2 << 20));  // there and back: 4 MiB
    EXPECT_GT(runtime_->now() - begun, 1500ms);
  };
  run(test());
}

// ---- what may come to a listener

/// A plain socket that says something and waits for the other side to hang up.
bool hung_up_on(const Address& to, ByteView bytes) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(to.port);
  inet_pton(AF_INET, to.host.c_str(), &address.sin_addr);
  bool closed = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0;
  char more;
  pollfd poll{fd, POLLIN, 0};
  closed = closed && ::poll(&poll, 1, 5000) == 1 && ::recv(fd, &more, 1, 0) <= 0;
  ::close(fd);
  return closed;
}

TEST_F(RelayTest, UnknownTicketsAndHalfOnesAreHungUpOn) {
  Node& relay = node();
  Node& other = node();  // for each says one refusal a second
  relay.listen();
  other.listen();
  auto test = [&]() -> Task<void> {
    RelayTicket invented;
    invented.bytes.fill(5);
    const Bytes unknown = relay_opening(invented);
    Bytes odd = unknown;
    odd[3] = 'X';
    EXPECT_TRUE(co_await runtime_->blocking([&] { return hung_up_on(relay.address, unknown); }));
    EXPECT_TRUE(co_await runtime_->blocking([&] { return hung_up_on(other.address, odd); }));
    EXPECT_TRUE(logged("its relay ticket is not known"));
    EXPECT_TRUE(logged("neither TLS nor a relay's ticket"));
  };
  run(test());
}

TEST_F(RelayTest, ATicketIsGoodOnce) {
  Node& relay = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    std::array<RelayTicket, 2> tickets;
    tickets[0].bytes.fill(1);
    tickets[1].bytes.fill(2);
    TaskGroup background(runtime_->executor());
    auto carry = [](Node& relay, std::array<RelayTicket, 2> tickets, TimePoint until) -> Task<void> {
      (void)co_await relay.transport->relay(tickets, {}, until);
    };
    background.spawn(carry(relay, tickets, runtime_->now() + 300ms));
    const Bytes opening = relay_opening(tickets[0]);
    // The first waits for the other end, until the time is up; the second is not known any more.
    EXPECT_TRUE(co_await runtime_->blocking([&] { return hung_up_on(relay.address, opening); }));
    EXPECT_TRUE(co_await runtime_->blocking([&] { return hung_up_on(relay.address, opening); }));
    EXPECT_TRUE(logged("its relay ticket is not known"));
    co_await background.drain();
  };
  run(test());
}

TEST_F(RelayTest, WhoeverIsNotTheOneExpectedIsFoundOutEndToEnd) {
  Node& relay = node();
  Node& a = node();
  Node& b = node();
  Node& impostor = node();
  relay.listen();
  auto test = [&]() -> Task<void> {
    std::array<RelayTicket, 2> tickets;
    tickets[0].bytes.fill(1);
    tickets[1].bytes.fill(2);
    TaskGroup background(runtime_->executor());
    auto carry = [](Node& relay, std::array<RelayTicket, 2> tickets, TimePoint until) -> Task<void> {
      (void)co_await relay.transport->relay(tickets, {}, until);
    };
    background.spawn(carry(relay, tickets, runtime_->now() + 2s));
    auto pretend = [](Node& impostor, Meeting meeting, TimePoint until) -> Task<void> {
      (void)co_await impostor.transport->meet(meeting, until);
    };
    background.spawn(pretend(impostor, {relay.address, tickets[1], a.id, false}, runtime_->now() + 2s));
    auto made = co_await a.transport->meet({relay.address, tickets[0], b.id, true}, runtime_->now() + 2s);
    EXPECT_FALSE(made);
    EXPECT_EQ(made.error().code, Errc::denied) << made.error().message;
    co_await background.drain();
  };
  run(test());
}

TEST_F(RelayTest, OneListenerTakesIPv6AndIPv4) {
  Node& both = node();
  Node& a = node();
  auto test = [&]() -> Task<void> {
    auto bound = both.rpc.listen({"::", 0});
    EXPECT_TRUE(bound) << bound.error().message;
    if (!bound) co_return;
    for (const char* host : {"127.0.0.1", "::1"}) {
      auto reply = co_await a.rpc.call_address({host, bound->port}, both.id, {echo, "x", {}});
      EXPECT_TRUE(reply) << host;
    }
    auto made = co_await a.transport->connect({"127.0.0.1", bound->port}, both.id, runtime_->now() + 2s);
    EXPECT_TRUE(made);
  };
  run(test());
}

}  // namespace
}  // namespace spatter
