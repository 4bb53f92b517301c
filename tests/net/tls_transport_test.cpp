#include "net/tls_transport.h"

#include "fixture.h"

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
    for (std::size_t size : {1ul, 4ul, 16379ul, 16380ul, 16381ul, 16384ul, 65536ul, 100000ul, frame_bytes_max}) {
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

}  // namespace
}  // namespace spatter
