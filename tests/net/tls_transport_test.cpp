// The TLS transport over loopback: who is let in, what garbage does, and that nothing hangs or grows
// when a peer is slow or the connection breaks.
#include "net/tls_transport.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "background.h"
#include "fixture.h"
#include "net/rpc.h"
#include "tls_context.h"

namespace spatter {
namespace {

class TlsTransportTest : public NetTest {
 protected:
  struct Side {
    Side(NetTest&, Runtime& runtime, SigningKey key, TlsOptions options)
        : id(server_id(key.public_key())),
          transport(make_tls_transport(runtime, key, options)),
          arrived(runtime.executor()) {}
    void listen() {
      address = *transport->listen({"127.0.0.1", 0}, [this](std::shared_ptr<Connection> made) {
        accepted.push_back(std::move(made));
        arrived.wake_all();
      });
    }
    Task<std::shared_ptr<Connection>> next() {
      while (accepted.empty()) co_await arrived.wait();
      auto first = accepted.front();
      accepted.pop_front();
      co_return first;
    }
    ServerId id;
    std::unique_ptr<Transport> transport;
    Address address;
    std::deque<std::shared_ptr<Connection>> accepted;
    WaitQueue arrived;
  };

  Side& side(TlsOptions options = {}) {
    sides_.push_back(std::make_unique<Side>(*this, *runtime_, new_key(), options));
    return *sides_.back();
  }
  void run(Task<void> task) {
    NetTest::run(std::move(task));
    for (auto& side : sides_) {
      side->accepted.clear();
      NetTest::run(side->transport->stop());
    }
  }
  TimePoint soon() { return runtime_->now() + 5s; }

  std::vector<std::unique_ptr<Side>> sides_;
};

std::vector<std::vector<Buffer>> one_frame(Buffer bytes) {
  std::vector<std::vector<Buffer>> frames(1);
  frames[0].push_back(std::move(bytes));
  return frames;
}

/// A plain blocking socket to a server, for peers that misbehave. Used off the executor.
class RawSocket {
 public:
  explicit RawSocket(const Address& to) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    inet_pton(AF_INET, to.host.c_str(), &address.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  RawSocket(const RawSocket&) = delete;
  ~RawSocket() { ::close(fd_); }
  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void write(std::string_view text) { (void)!::write(fd_, text.data(), text.size()); }
  /// Reads until the other side closes; false if it doesn't within some seconds.
  bool closed_by_peer() const {
    char bytes[4096];
    for (;;) {
      pollfd poll{fd_, POLLIN, 0};
      if (::poll(&poll, 1, 5000) <= 0) return false;
      if (::read(fd_, bytes, sizeof bytes) <= 0) return true;
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

/// A TLS client that writes what it likes. Used off the executor.
class RawTls {
 public:
  RawTls(const Address& to, SSL_CTX* context) : socket_(to), ssl_(SSL_new(context)) {
    SSL_set_fd(ssl_.get(), socket_.fd());
    SSL_set_app_data(ssl_.get(), &proof_);
  }
  bool handshake() { return SSL_connect(ssl_.get()) == 1; }
  void write(ByteView bytes) { SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())); }
  /// In TLS 1.3 a client may learn only now that it was refused.
  bool closed_by_peer() {
    char bytes[4096];
    while (SSL_read(ssl_.get(), bytes, sizeof bytes) > 0) {
    }
    ERR_clear_error();
    return socket_.closed_by_peer();
  }

 private:
  PeerProof proof_;
  RawSocket socket_;
  SslPointer ssl_;
};

TEST_F(TlsTransportTest, FramesOfEverySizeArriveInOrder) {
  Side& server = side();
  Side& client = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    auto dialled = co_await client.transport->connect(server.address, server.id, soon());
    EXPECT_TRUE(dialled) << dialled.error().message;
    if (!dialled) co_return;
    auto there = co_await server.next();
    EXPECT_EQ((*dialled)->peer(), server.id);
    EXPECT_EQ(there->peer(), client.id);
    EXPECT_EQ(server_id(there->peer_key()), client.id);
    for (std::size_t size :
         {1ul, 4ul, 16379ul, 16380ul, 16381ul, 16384ul, 65536ul, 100000ul, frame_bytes_max}) {
      const Buffer bytes = random_bytes(size);
      std::vector<std::vector<Buffer>> frames;
      frames.push_back({bytes.slice(0, size / 2), bytes.slice(size / 2, size - size / 2)});
      frames.push_back({bytes});
      EXPECT_TRUE(co_await (*dialled)->send(std::move(frames)));
      std::vector<Buffer> got;
      while (got.size() < 2) {
        auto more = co_await there->receive();
        EXPECT_TRUE(more);
        if (!more) co_return;
        got.insert(got.end(), more->begin(), more->end());
      }
      EXPECT_EQ(got.size(), 2u);
      for (const Buffer& frame : got)
        EXPECT_TRUE(std::ranges::equal(frame.view(), bytes.view())) << size;
    }
  };
  run(test());
}

TEST_F(TlsTransportTest, ANameIsResolvedAndAnUnknownOneIsAnError) {
  Side& server = side();
  Side& client = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    const Address named{"localhost", server.address.port};
    EXPECT_TRUE(co_await client.transport->connect(named, server.id, soon()));
    auto unknown = co_await client.transport->connect({"no.such.name.invalid", 1}, {}, soon());
    EXPECT_FALSE(unknown);
    auto nobody = co_await client.transport->connect({"127.0.0.1", 1}, {}, soon());
    EXPECT_EQ(nobody.error().code, Errc::unavailable);
    EXPECT_NE(nobody.error().message.find("127.0.0.1:1"), std::string::npos);
  };
  run(test());
}

TEST_F(TlsTransportTest, AnotherServerThanExpectedIsRefusedByName) {
  Side& server = side();
  Side& client = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    auto refused = co_await client.transport->connect(server.address, client.id, soon());
    EXPECT_FALSE(refused);
    if (refused) co_return;
    EXPECT_EQ(refused.error().code, Errc::denied);
    EXPECT_NE(refused.error().message.find(server.id.brief()), std::string::npos);
    EXPECT_TRUE(co_await client.transport->connect(server.address, {}, soon()));
  };
  run(test());
}

TEST_F(TlsTransportTest, PlaintextGarbageIsRefusedAndTheNextIsServed) {
  Side& server = side();
  Side& client = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    const bool closed = co_await runtime_->blocking([&] {
      RawSocket socket(server.address);
      socket.write("GET / HTTP/1.1\r\nHost: here\r\n\r\n");
      return socket.closed_by_peer();
    });
    EXPECT_TRUE(closed);
    EXPECT_TRUE(logged("refused a connection"));
    EXPECT_TRUE(co_await client.transport->connect(server.address, server.id, soon()));
  };
  run(test());
}

TEST_F(TlsTransportTest, APeerWithoutCertificateOrWithAnotherProtocolIsRefused) {
  Side& server = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    SslContextPointer bare(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_verify(bare.get(), SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_alpn_protos(bare.get(), reinterpret_cast<const unsigned char*>("\x09spatter/1"), 10);
    auto foreign = *make_tls_context(new_key());
    SSL_CTX_set_alpn_protos(foreign.get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3);
    auto old = *make_tls_context(new_key());
    SSL_CTX_set_min_proto_version(old.get(), TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION);
    for (SSL_CTX* context : {bare.get(), foreign.get(), old.get()}) {
      const bool closed = co_await runtime_->blocking([&] {
        RawTls peer(server.address, context);
        peer.handshake();
        return peer.closed_by_peer();
      });
      EXPECT_TRUE(closed);
    }
    EXPECT_TRUE(server.accepted.empty());
  };
  run(test());
}

TEST_F(TlsTransportTest, AnOversizedFrameClosesTheConnectionAndNamesPeerAndSize) {
  Side& server = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    const SigningKey key = new_key();
    auto context = *make_tls_context(key);
    const bool closed = co_await runtime_->blocking([&] {
      RawTls peer(server.address, context.get());
      if (!peer.handshake()) return false;
      peer.write(Bytes{0x10, 0, 0, 0, 1, 2, 3});
      return peer.closed_by_peer();
    });
    EXPECT_TRUE(closed);
    auto there = co_await server.next();
    EXPECT_FALSE(co_await there->receive());
    EXPECT_TRUE(logged("268435456"));
    EXPECT_TRUE(logged(server_id(key.public_key()).brief()));
  };
  run(test());
}

TEST_F(TlsTransportTest, APeerThatNeverFinishesItsHandshakeIsClosed) {
  TlsOptions options;
  options.handshake_timeout = 50ms;
  Side& server = side(options);
  server.listen();
  auto test = [&]() -> Task<void> {
    EXPECT_TRUE(co_await runtime_->blocking([&] { return RawSocket(server.address).closed_by_peer(); }));
    EXPECT_TRUE(logged("no TLS handshake in time"));
  };
  run(test());
}

TEST_F(TlsTransportTest, HalfOpenHandshakesAndConnectionsPerAddressAreLimited) {
  TlsOptions options;
  options.half_open_max = 2;
  options.per_address_max = 3;
  Side& server = side(options);
  Side& client = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    auto full = co_await client.transport->connect(server.address, server.id, soon());
    EXPECT_TRUE(full);
    const auto first_there = co_await server.next();
    const bool third_closed = co_await runtime_->blocking([&] {
      RawSocket first(server.address), second(server.address);
      RawSocket third(server.address);
      return third.closed_by_peer();
    });
    EXPECT_TRUE(third_closed);
    // Those two are gone now, so there is room again.
    std::vector<std::shared_ptr<Connection>> more, kept;
    while (more.size() < 2) {
      auto next = co_await client.transport->connect(server.address, server.id, soon());
      if (next) {
        auto there = co_await server.next();
        EXPECT_TRUE(co_await there->send(one_frame(random_bytes(5))));
        if (co_await (*next)->receive()) more.push_back(*next);
        kept.push_back(there);
      }
    }
    auto fourth = co_await client.transport->connect(server.address, server.id, soon());
    EXPECT_TRUE(!fourth || !co_await (*fourth)->receive());
  };
  run(test());
  EXPECT_TRUE(logged("too many"));
}

TEST_F(TlsTransportTest, APeerThatAnswersNothingTimesTheDialOut) {
  Side& client = side();
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 5), 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  auto test = [&]() -> Task<void> {
    auto result = co_await client.transport->connect({"127.0.0.1", ntohs(address.sin_port)}, {},
                                                     runtime_->now() + 50ms);
    EXPECT_EQ(result.error().code, Errc::timeout);
    // Stopping must not wait for a dial either.
    auto dial = in_background(*runtime_, client.transport->connect(
                                             {"127.0.0.1", ntohs(address.sin_port)}, {},
                                             runtime_->now() + 1h));
    co_await client.transport->stop();
    co_await dial->done.wait();
    EXPECT_FALSE(*dial->value);
  };
  run(test());
  ::close(listener);
}

TEST_F(TlsTransportTest, ASlowReaderHoldsTheSenderBackAndLosesNothing) {
  TlsOptions options;
  options.queue_bytes_max = 64 << 10;
  Side& server = side(options);
  Side& client = side(options);
  server.listen();
  auto test = [&]() -> Task<void> {
    auto dialled = *co_await client.transport->connect(server.address, server.id, soon());
    auto there = co_await server.next();
    const Buffer block = random_bytes(256 << 10);
    auto sent = std::make_shared<std::size_t>(0);
    constexpr std::size_t count = 256;  // 64 MiB: more than all buffers on the way together
    auto sender = in_background(*runtime_, [](auto from, Buffer block, auto sent) -> Task<Result<int>> {
      for (std::size_t i = 0; i < count; ++i) {
        CO_TRY_VOID(co_await from->send(one_frame(block)));
        ++*sent;
      }
      co_return 0;
    }(dialled, block, sent));
    // Nobody receives: once the same number was sent twice in a row, a while apart, it is held back.
    for (std::size_t before = 1; *sent != before || before == 0;) {
      before = *sent;
      co_await runtime_->sleep(20ms);
    }
    EXPECT_LT(*sent, count);
    std::size_t got = 0;
    while (got < count) {
      auto frames = co_await there->receive();
      EXPECT_TRUE(frames);
      if (!frames) co_return;
      for (const Buffer& frame : *frames) {
        EXPECT_TRUE(std::ranges::equal(frame.view(), block.view()));
        ++got;
      }
    }
    co_await sender->done.wait();
    EXPECT_TRUE(*sender->value);
  };
  run(test());
}

TEST_F(TlsTransportTest, ClosingEndsWhoWaitsOnBothSides) {
  Side& server = side();
  Side& client = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    auto dialled = *co_await client.transport->connect(server.address, server.id, soon());
    auto there = co_await server.next();
    auto waiting = in_background(*runtime_, dialled->receive());
    dialled->close();
    co_await waiting->done.wait();
    EXPECT_FALSE(*waiting->value);
    EXPECT_FALSE(co_await there->receive());
    EXPECT_FALSE(co_await dialled->send(one_frame(random_bytes(9))));
  };
  run(test());
}

TEST_F(TlsTransportTest, ADroppedConnectionIsClosed) {
  Side& server = side();
  Side& client = side();
  server.listen();
  auto test = [&]() -> Task<void> {
    auto dialled = *co_await client.transport->connect(server.address, server.id, soon());
    auto there = co_await server.next();
    dialled.reset();
    EXPECT_FALSE(co_await there->receive());
  };
  run(test());
}

TEST_F(TlsTransportTest, AnAddressInUseIsRefused) {
  Side& one = side();
  Side& two = side();
  one.listen();
  auto result = two.transport->listen(one.address, [](auto) {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::busy);
  run([]() -> Task<void> { co_return; }());
}

/// Calls over TLS.
class TlsRpcTest : public TlsTransportTest {
 protected:
  struct Node {
    Node(Side& side, Runtime& runtime, NetworkId network)
        : side(side), rpc(runtime, *side.transport, network) {
      rpc.serve(900, [](Caller, RpcRequest request) -> Task<Result<RpcReply>> {
        co_return RpcReply{request.body, request.payload};
      });
      address = *rpc.listen({"127.0.0.1", 0});
    }
    Side& side;
    Rpc rpc;
    Address address;
  };
  Node& node(NetworkId network) {
    nodes_.push_back(std::make_unique<Node>(side(), *runtime_, network));
    return *nodes_.back();
  }
  void run(Task<void> task) {
    NetTest::run(std::move(task));
    for (auto& node : nodes_) NetTest::run(node->rpc.stop());
    TlsTransportTest::run([]() -> Task<void> { co_return; }());
  }
  NetworkId network_ = runtime_->entropy().id<NetworkId>();
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST_F(TlsRpcTest, ManyLargeCallsBothWaysWithSmallOnesAhead) {
  Node& a = node(network_);
  Node& b = node(network_);
  a.rpc.set_addresses(b.side.id, {b.address});
  auto test = [&]() -> Task<void> {
    EXPECT_TRUE(co_await a.rpc.call(b.side.id, {900, "first", {}}));
    const Buffer bulk = random_bytes(4 << 20);
    std::vector<std::shared_ptr<Background<Result<RpcReply>>>> calls;
    for (int i = 0; i < 16; ++i)
      for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)})
        calls.push_back(in_background(
            *runtime_, from->rpc.call(to->side.id, {900, "", bulk}, {15s, Priority::bulk})));
    int small = 0;
    while (std::ranges::any_of(calls, [](auto& call) { return !call->done.is_set(); })) {
      auto reply = co_await a.rpc.call(b.side.id, {900, "small", {}});
      EXPECT_TRUE(reply) << reply.error().message;
      ++small;
    }
    for (auto& call : calls) {
      EXPECT_TRUE(*call->value) << call->value->error().message;
      if (*call->value)
        EXPECT_TRUE(std::ranges::equal((*call->value)->payload.flat().view(), bulk.view()));
    }
    EXPECT_GT(small, 10);
    EXPECT_TRUE(a.rpc.measure(b.side.id).send_bytes_per_s);
    EXPECT_TRUE(a.rpc.measure(b.side.id).receive_bytes_per_s);
  };
  run(test());
}

TEST_F(TlsRpcTest, APeerOfAnotherNetworkIsRefusedWithTheReason) {
  Node& a = node(network_);
  Node& b = node(runtime_->entropy().id<NetworkId>());
  auto test = [&]() -> Task<void> {
    auto refused = co_await a.rpc.call_address(b.address, b.side.id, {900, "", {}});
    EXPECT_FALSE(refused);
    if (refused) co_return;
    EXPECT_EQ(refused.error().code, Errc::denied);
    EXPECT_NE(refused.error().message.find(b.rpc.network().brief()), std::string::npos);
  };
  run(test());
}

TEST_F(TlsRpcTest, AServerThatGoesAwayMidTransferFailsTheCallAndComesBack) {
  Node& a = node(network_);
  auto test = [&]() -> Task<void> {
    const SigningKey key = new_key();
    const ServerId id = server_id(key.public_key());
    Address address{"127.0.0.1", 0};
    for (int life = 0; life < 2; ++life) {
      auto transport = make_tls_transport(*runtime_, key);
      Rpc rpc(*runtime_, *transport, network_);
      Event begun(runtime_->executor());
      rpc.serve(900, [](Caller, RpcRequest request) -> Task<Result<RpcReply>> {
        co_return RpcReply{request.body, {}};
      });
      rpc.serve(901, [&begun](Caller, RpcRequest) -> Task<Result<RpcReply>> {
        begun.set();
        co_return RpcReply{};
      });
      address = *rpc.listen(address);
      a.rpc.set_addresses(id, {address});
      // Retried: after the first life the caller may still be resting between two dials.
      while (!co_await a.rpc.call(id, {900, "hello", {}})) co_await runtime_->sleep(10ms);
      std::vector<std::shared_ptr<Background<Result<RpcReply>>>> calls;
      for (int i = 0; i < 8; ++i)
        calls.push_back(in_background(
            *runtime_, a.rpc.call(id, {901, "", random_bytes(8 << 20)}, {10s, Priority::bulk})));
      co_await begun.wait();
      co_await rpc.stop();
      co_await transport->stop();
      int failed = 0;
      for (auto& call : calls) {
        co_await call->done.wait();
        if (!*call->value) ++failed;
      }
      EXPECT_GT(failed, 0);
    }
  };
  run(test());
}

}  // namespace
}  // namespace spatter
