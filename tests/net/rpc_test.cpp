// The Rpc over pipes inside the process: what callers and handlers may rely on whatever happens to
// connections and peers.
#include "net/rpc.h"

#include "background.h"
#include "fixture.h"
#include "net/methods.h"
#include "pipe_transport.h"
#include "rpc_frame.h"

namespace spatter {
namespace {

constexpr std::uint16_t echo = 900;
constexpr std::uint16_t hang = 901;
constexpr std::uint16_t broken = 902;

class RpcTest : public NetTest {
 protected:
  /// One server: its transport, its Rpc, and what the handlers have seen.
  struct Node {
    Node(RpcTest& test, PipeNetwork& pipes, ServerId id, NetworkId network, RpcOptions options)
        : id(id),
          runtime(*test.runtime_),
          transport(pipes, id),
          rpc(runtime, transport, network, options),
          hung(runtime.executor()),
          unhung(runtime.executor()),
          reachability(runtime.executor()) {
      rpc.serve(echo, [](Caller, RpcRequest request) -> Task<Result<RpcReply>> {
        co_return RpcReply{request.body, request.payload};
      });
      rpc.serve(method::join, [](Caller, RpcRequest request) -> Task<Result<RpcReply>> {
        co_return RpcReply{"welcome " + request.body, {}};
      });
      rpc.serve(hang, [this](Caller, RpcRequest) { return hang_here(*this); });
      rpc.serve(broken, [](Caller, RpcRequest request) -> Task<Result<RpcReply>> {
        if (request.body == "throw") throw std::runtime_error("our mistake");
        co_return fail(Errc::no_space, "the drive is full");
      });
      rpc.on_reachability = [this](ServerId peer, bool up) {
        changes.emplace_back(peer, up);
        reachability.wake_all();
      };
      address = *rpc.listen({"pipe", 0});
    }

    static Task<Result<RpcReply>> hang_here(Node& node) {
      struct Leave {
        Node& node;
        ~Leave() {
          --node.hanging;
          node.unhung.set();
        }
      };
      ++node.hanging;
      Leave leave{node};
      node.hung.set();
      Event never(node.runtime.executor());
      co_await never.wait();
      co_return RpcReply{};
    }

    Task<void> until(ServerId peer, bool up) {
      while (changes.empty() || changes.back() != std::pair(peer, up)) co_await reachability.wait();
    }
    PipeConnection& last_connection() { return *transport.made.back().lock(); }

    ServerId id;
    Runtime& runtime;
    PipeTransport transport;
    Rpc rpc;
    Address address;
    int hanging = 0;
    Event hung, unhung;
    std::vector<std::pair<ServerId, bool>> changes;
    WaitQueue reachability;
  };

  Node& node(NetworkId network, RpcOptions options = {}) {
    nodes_.push_back(std::make_unique<Node>(*this, pipes_, runtime_->entropy().id<ServerId>(),
                                            network, options));
    return *nodes_.back();
  }
  Node& node() { return node(network_); }

  void run(Task<void> task) {
    NetTest::run(std::move(task));
    for (auto& node : nodes_) {
      NetTest::run(node->rpc.stop());
      NetTest::run(node->transport.stop());
    }
  }

  static RpcRequest request(std::uint16_t method, std::string body = {}, Buffer payload = {}) {
    return {method, std::move(body), std::move(payload)};
  }

  NetworkId network_ = runtime_->entropy().id<NetworkId>();
  PipeNetwork pipes_{*runtime_};
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST_F(RpcTest, PayloadsOfEverySizeComeBackUnchanged) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    for (std::size_t size : {0ul, 1ul, rpc_inline_bytes_max, rpc_inline_bytes_max + 1, 261120ul,
                             261121ul, 4ul << 20, rpc_payload_bytes_max}) {
      for (auto priority : {Priority::control, Priority::bulk}) {
        for (std::size_t expected : {std::size_t{0}, size}) {
          const Buffer payload = random_bytes(size);
          auto reply = co_await a.rpc.call(b.id, request(echo, "hello", payload),
                                           {10s, priority, expected});
          EXPECT_TRUE(reply) << reply.error().message;
          if (!reply) co_return;
          EXPECT_EQ(reply->body, "hello");
          EXPECT_TRUE(std::ranges::equal(reply->payload.flat().view(), payload.view())) << size;
        }
      }
    }
  };
  run(test());
  EXPECT_EQ(pipes_.dials, 1u);
}

TEST_F(RpcTest, AnInboundConnectionServesCallsTheOtherWay) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
    EXPECT_TRUE(co_await b.rpc.call(a.id, request(echo)));
  };
  run(test());
  EXPECT_EQ(pipes_.dials, 1u);
}

TEST_F(RpcTest, TwoThatDialEachOtherAtOnceSettleOnOneConnection) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  b.rpc.set_addresses(a.id, {a.address});
  auto test = [&]() -> Task<void> {
    auto ab = in_background(*runtime_, a.rpc.call(b.id, request(echo)));
    auto ba = in_background(*runtime_, b.rpc.call(a.id, request(echo)));
    co_await ab->done.wait();
    co_await ba->done.wait();
    EXPECT_TRUE(*ab->value);
    EXPECT_TRUE(*ba->value);
    // The one phased out closes; the other stays and serves both.
    auto open = [&] {
      return std::ranges::count_if(a.transport.made, [](auto& weak) {
        auto connection = weak.lock();
        return connection && !connection->in->closed;
      });
    };
    while (open() > 1) {
      EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
      EXPECT_TRUE(co_await b.rpc.call(a.id, request(echo)));
    }
    EXPECT_EQ(open(), 1);
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
    EXPECT_TRUE(co_await b.rpc.call(a.id, request(echo)));
  };
  run(test());
  EXPECT_EQ(a.changes, (std::vector{std::pair(b.id, true), std::pair(b.id, false)}));
}

TEST_F(RpcTest, ErrorsOfHandlersArriveWithTheirCode) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    auto full = co_await a.rpc.call(b.id, request(broken));
    EXPECT_EQ(full.error().code, Errc::no_space);
    EXPECT_NE(full.error().message.find("the drive is full"), std::string::npos);
    EXPECT_EQ((co_await a.rpc.call(b.id, request(broken, "throw"))).error().code, Errc::io);
    EXPECT_EQ((co_await a.rpc.call(b.id, request(999))).error().code, Errc::not_found);
    auto large = request(echo, {}, Buffer::allocate(rpc_payload_bytes_max + 1));
    EXPECT_EQ((co_await a.rpc.call(b.id, std::move(large))).error().code, Errc::invalid);
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
  };
  run(test());
}

TEST_F(RpcTest, AServerWithoutAddressOrWithoutListenerIsUnavailableAtOnce) {
  Node& a = node();
  const ServerId nobody = runtime_->entropy().id<ServerId>();
  auto test = [&]() -> Task<void> {
    EXPECT_EQ((co_await a.rpc.call(nobody, request(echo))).error().code, Errc::unavailable);
    a.rpc.set_addresses(nobody, {{"pipe", 999}});
    for (int i = 0; i < 5; ++i) {
      auto result = co_await a.rpc.call(nobody, request(echo));
      EXPECT_EQ(result.error().code, Errc::unavailable);
      EXPECT_NE(result.error().message.find("refused"), std::string::npos);
    }
  };
  run(test());
  EXPECT_LE(pipes_.dials, 5u);
}

TEST_F(RpcTest, APeerOfAnotherNetworkIsRefusedAndBothSidesSayWhy) {
  Node& a = node();
  Node& b = node(runtime_->entropy().id<NetworkId>());
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    auto result = co_await a.rpc.call(b.id, request(echo));
    EXPECT_EQ(result.error().code, Errc::unavailable);
    EXPECT_NE(result.error().message.find(b.rpc.network().brief()), std::string::npos);
  };
  run(test());
  EXPECT_TRUE(logged("belongs to network"));
  EXPECT_TRUE(a.changes.empty());
}

TEST_F(RpcTest, APeerThatIsBarredLosesItsConnectionsAndIsToldWhy) {
  Node& a = node();
  Node& b = node();
  std::string proof;
  ServerId barred_by;
  Event told(runtime_->executor());
  b.rpc.on_barred = [&](ServerId peer, std::string bytes) {
    barred_by = peer;
    proof = std::move(bytes);
    told.set();
  };
  b.rpc.set_addresses(a.id, {a.address});
  auto test = [&]() -> Task<void> {
    EXPECT_TRUE((co_await b.rpc.call(a.id, request(echo))).has_value());
    auto hanging = a.rpc.call(b.id, request(hang));
    a.rpc.bar(b.id, "it was stolen", "the proof");
    const auto refused = co_await std::move(hanging);
    EXPECT_EQ(refused.error().code, Errc::denied);
    co_await a.until(b.id, false);
    // It dials again by itself, and hears why not.
    co_await told.wait();
    EXPECT_EQ(barred_by, a.id);
    EXPECT_EQ(proof, "the proof");
    const auto call = co_await b.rpc.call(a.id, request(echo));
    EXPECT_FALSE(call.has_value());
    EXPECT_FALSE(std::ranges::any_of(a.rpc.connected(), [&](const auto& id) { return id == b.id; }));
    // Nor does the other side dial it, wherever it may be.
    const auto dialled = co_await a.rpc.call_address(b.address, b.id, request(echo));
    EXPECT_EQ(dialled.error().code, Errc::denied);
  };
  run(test());
  EXPECT_TRUE(logged("it was stolen"));
}

TEST_F(RpcTest, AServerWithoutANetworkMayJoinAndNothingElse) {
  Node& newcomer = node(NetworkId{});
  Node& member = node();
  auto test = [&]() -> Task<void> {
    auto joined = co_await newcomer.rpc.call_address(member.address, {}, request(method::join, "me"));
    EXPECT_TRUE(joined) << joined.error().message;
    if (!joined) co_return;
    EXPECT_EQ(joined->first, member.id);
    EXPECT_EQ(joined->second.body, "welcome me");
    EXPECT_FALSE(co_await newcomer.rpc.call_address(member.address, {}, request(echo)));
    EXPECT_EQ((co_await newcomer.rpc.call(member.id, request(echo))).error().code, Errc::denied);
    EXPECT_EQ((co_await member.rpc.call(newcomer.id, request(echo))).error().code, Errc::unavailable);
    EXPECT_TRUE(newcomer.changes.empty());
    newcomer.rpc.set_network(network_);
    newcomer.rpc.set_addresses(member.id, {member.address});
    EXPECT_TRUE(co_await newcomer.rpc.call(member.id, request(echo)));
    EXPECT_TRUE(co_await member.rpc.call(newcomer.id, request(echo)));
  };
  run(test());
}

TEST_F(RpcTest, ACallThatTakesTooLongTimesOutAndItsHandlerIsCancelled) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    auto result = co_await a.rpc.call(b.id, request(hang), {50ms});
    EXPECT_EQ(result.error().code, Errc::timeout);
    co_await b.unhung.wait();
    EXPECT_EQ(b.hanging, 0);
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
  };
  run(test());
}

TEST_F(RpcTest, ACallerThatGoesAwayCancelsTheHandler) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    auto call = in_background(*runtime_, a.rpc.call(b.id, request(hang), {1h}));
    co_await b.hung.wait();
    call->cancel.emit(asio::cancellation_type::terminal);
    co_await call->done.wait();
    EXPECT_TRUE(is_cancellation(call->thrown));
    co_await b.unhung.wait();
    EXPECT_EQ(b.hanging, 0);
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
  };
  run(test());
}

TEST_F(RpcTest, AConnectionCutUnderwayFailsItsCallsAndIsMadeAnew) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    auto hanging = in_background(*runtime_, a.rpc.call(b.id, request(hang), {1h}));
    co_await b.hung.wait();
    a.last_connection().close();
    co_await hanging->done.wait();
    EXPECT_EQ(hanging->value->error().code, Errc::unavailable);
    co_await b.unhung.wait();
    co_await a.until(b.id, false);
    co_await a.until(b.id, true);  // by itself
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
  };
  run(test());
  EXPECT_EQ(pipes_.dials, 2u);
}

TEST_F(RpcTest, APeerThatFallsSilentIsNoticedByPings) {
  RpcOptions quick;
  quick.ping_after = 40ms;
  quick.dead_after = 150ms;
  Node& a = node(network_, quick);
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
    co_await a.until(b.id, true);
    while (!a.rpc.measure(b.id).round_trip) co_await runtime_->sleep(1ms);
    a.last_connection().in->silent = true;
    co_await a.until(b.id, false);
  };
  run(test());
}

TEST_F(RpcTest, APeerThatOnlyStallsKeepsItsConnectionAndOtherCallsGoOn) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    EXPECT_EQ((co_await a.rpc.call(b.id, request(hang), {30ms})).error().code, Errc::timeout);
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
  };
  run(test());
  EXPECT_EQ(pipes_.dials, 1u);
}

Task<Result<RpcReply>> then_note(Task<Result<RpcReply>> call, std::shared_ptr<std::vector<int>> order,
                                 int name) {
  auto result = co_await std::move(call);
  order->push_back(name);
  co_return result;
}

TEST_F(RpcTest, SmallCallsAreNotStuckBehindBulk) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
    auto order = std::make_shared<std::vector<int>>();
    std::vector<std::shared_ptr<Background<Result<RpcReply>>>> calls;
    const Buffer bulk = random_bytes(8 << 20);
    for (int i = 0; i < 8; ++i)
      calls.push_back(in_background(
          *runtime_, then_note(a.rpc.call(b.id, request(echo, "", bulk), {10s, Priority::bulk}), order, i)));
    calls.push_back(in_background(*runtime_, then_note(a.rpc.call(b.id, request(echo)), order, 100)));
    for (auto& call : calls) {
      co_await call->done.wait();
      EXPECT_TRUE(*call->value);
    }
    EXPECT_EQ(order->front(), 100);
  };
  run(test());
}

TEST_F(RpcTest, ManyLargePayloadsFitThroughASmallBudgetBothWays) {
  RpcOptions tight;
  tight.request_bytes = tight.request_bytes_per_peer = 8 << 20;
  tight.reply_bytes = tight.reply_bytes_per_peer = 8 << 20;
  Node& a = node(network_, tight);
  Node& b = node(network_, tight);
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    EXPECT_TRUE(co_await a.rpc.call(b.id, request(echo)));
    std::vector<std::shared_ptr<Background<Result<RpcReply>>>> calls;
    const Buffer bulk = random_bytes(4 << 20);
    for (int i = 0; i < 20; ++i)
      for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)})
        calls.push_back(in_background(
            *runtime_, from->rpc.call(to->id, request(echo, "", bulk), {15s, Priority::bulk, i % 2 * bulk.size()})));
    for (auto& call : calls) {
      co_await call->done.wait();
      EXPECT_TRUE(*call->value) << call->value->error().message;
      if (*call->value) EXPECT_EQ((*call->value)->payload.size(), bulk.size());
    }
  };
  run(test());
}

TEST_F(RpcTest, MoreCallsThanThePeerTakesAtOnceWaitTheirTurn) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    std::vector<std::shared_ptr<Background<Result<RpcReply>>>> calls;
    for (int i = 0; i < 2000; ++i)
      calls.push_back(in_background(*runtime_, a.rpc.call(b.id, request(echo, std::to_string(i)))));
    for (int i = 0; i < 2000; ++i) {
      co_await calls[i]->done.wait();
      EXPECT_TRUE(*calls[i]->value);
      if (*calls[i]->value) EXPECT_EQ((*calls[i]->value)->body, std::to_string(i));
    }
  };
  run(test());
}

TEST_F(RpcTest, ARestartedPeerIsRecognisedAndItsOldConnectionDropped) {
  Node& a = node();
  auto test = [&]() -> Task<void> {
    const ServerId id = runtime_->entropy().id<ServerId>();
    Node first(*this, pipes_, id, network_, {});
    Node second(*this, pipes_, id, network_, {});
    EXPECT_TRUE(co_await first.rpc.call_address(a.address, a.id, request(echo)));
    auto old = first.transport.made.back();
    EXPECT_TRUE(co_await second.rpc.call_address(a.address, a.id, request(echo)));
    EXPECT_TRUE(old.expired() || old.lock()->in->closed);
    EXPECT_TRUE(co_await a.rpc.call(id, request(echo)));
    for (Node* node : {&first, &second}) {
      co_await node->rpc.stop();
      co_await node->transport.stop();
    }
  };
  run(test());
}

TEST_F(RpcTest, WhatAPeerSaysOutOfTurnEndsItsConnectionWithALogLine) {
  Node& a = node();
  using Header = wire::RpcHeader;
  auto header = [](Header::Kind kind, std::uint64_t call) {
    Header header;
    header.set_kind(kind);
    header.set_call(call);
    return header;
  };
  auto unasked = header(Header::CREDIT, 1);
  unasked.set_credit(5);
  auto announced = header(Header::REQUEST, 1);
  announced.set_method(hang);
  announced.set_deadline_ms(10000);
  struct Case {
    std::vector<std::pair<Header, std::size_t>> frames;  // and payload bytes
    const char* expected;
  };
  const Case cases[] = {
      {{{header(Header::REQUEST, 2), 0}}, "our call number"},
      {{{header(Header::REQUEST, 0), 0}}, "our call number"},
      {{{header(Header::REPLY, 1), 0}}, "a reply to its own call"},
      {{{header(Header::HELLO, 0), 0}}, "a second greeting"},
      {{{header(Header::CANCEL, 2), 0}}, "a cancellation of our call"},
      {{{announced, 0}, {announced, 0}}, "call number 1 twice"},
      {{{announced, 0}, {header(Header::DATA, 1), 9}}, "data that was not granted"},
      {{{announced, 0}, {unasked, 0}}, "that nobody asked for"},
  };
  auto test = [&]() -> Task<void> {
    for (const Case& c : cases) {
      PipeTransport rogue(pipes_, runtime_->entropy().id<ServerId>());
      auto connection = *co_await rogue.connect(a.address, a.id, runtime_->now() + 1s);
      auto hello = header(Header::HELLO, 0);
      hello.set_protocol(1);
      hello.set_network(network_.raw());
      std::vector<std::vector<Buffer>> frames{encode_frame(hello)};
      EXPECT_TRUE(co_await connection->send(frames));
      EXPECT_TRUE(co_await connection->receive());
      frames.clear();
      for (const auto& [head, bytes] : c.frames)
        frames.push_back(encode_frame(head, bytes ? random_bytes(bytes) : Buffer{}));
      EXPECT_TRUE(co_await connection->send(std::move(frames)));
      while (co_await connection->receive()) {
      }
      EXPECT_TRUE(logged(c.expected)) << c.expected;
    }
  };
  run(test());
}

TEST_F(RpcTest, StoppingEndsCallsAndHandlers) {
  Node& a = node();
  Node& b = node();
  a.rpc.set_addresses(b.id, {b.address});
  auto test = [&]() -> Task<void> {
    auto call = in_background(*runtime_, a.rpc.call(b.id, request(hang), {1h}));
    co_await b.hung.wait();
    co_await b.rpc.stop();
    EXPECT_EQ(b.hanging, 0);
    co_await call->done.wait();
    EXPECT_EQ(call->value->error().code, Errc::unavailable);
  };
  run(test());
}

}  // namespace
}  // namespace spatter
