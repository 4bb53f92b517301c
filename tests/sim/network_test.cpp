// Aim: the simulated wires keep what Transport promises (frames whole, in order, once, or the
// connection is over) whatever fault is on. Method: two or three transports in one world.
#include "sim/network.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/sync.h"
#include "crypto/sign.h"

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;
using ConnectionPtr = std::shared_ptr<Connection>;

Buffer number_frame(std::uint64_t number, std::size_t size = 8) {
  Buffer frame = Buffer::allocate(std::max<std::size_t>(size, 8));
  std::memset(frame.mutable_data(), 0, frame.size());
  std::memcpy(frame.mutable_data(), &number, 8);
  return frame;
}
std::uint64_t number_of(const Buffer& frame) {
  std::uint64_t number = 0;
  std::memcpy(&number, frame.data(), std::min<std::size_t>(8, frame.size()));
  return number;
}

class NetworkTest : public testing::Test {
 protected:
  NetworkTest() {
    auto listening = b.listen({"0.0.0.0", 0}, [this](ConnectionPtr c) { accepted = std::move(c); });
    address = listening.value();
  }
  Result<ConnectionPtr> connect(ServerId expected = {}, Duration patience = 5s) {
    auto result = world.wait_for(a.connect(address, expected, world.now() + patience), 1min);
    EXPECT_TRUE(result.has_value());
    return std::move(*result);
  }
  static Task<void> send_all(ConnectionPtr connection, std::uint64_t count, std::size_t size) {
    for (std::uint64_t i = 0; i < count; ++i) {
      std::vector<std::vector<Buffer>> frames;
      frames.push_back({number_frame(i, size)});
      if (!co_await connection->send(std::move(frames))) co_return;
    }
  }
  static Task<void> receive_all(ConnectionPtr connection, std::vector<std::uint64_t>& got,
                                std::optional<Error>& over) {
    for (;;) {
      auto frames = co_await connection->receive();
      if (!frames) {
        over = frames.error();
        co_return;
      }
      for (const Buffer& frame : *frames) got.push_back(number_of(frame));
    }
  }
  static std::vector<std::uint64_t> numbers(std::uint64_t count) {
    std::vector<std::uint64_t> result;
    for (std::uint64_t i = 0; i < count; ++i) result.push_back(i);
    return result;
  }

  World world{7};
  Network network{world};
  Bytes key_a = Bytes(32, 1), key_b = Bytes(32, 2);
  SimTransport a{world, network, 0, "10.0.0.1", key_a};
  SimTransport b{world, network, 1, "10.0.1.1", key_b};
  Address address;
  ConnectionPtr accepted;
  std::vector<std::uint64_t> got;
  std::optional<Error> over;
  TaskGroup tasks{world.executor()};

  void TearDown() override { EXPECT_TRUE(world.wait_for(tasks.stop(), 1h)); }
};

TEST_F(NetworkTest, BothEndsKnowWhoTheOtherIs) {
  const auto connection = connect(server_id(key_b)).value();
  EXPECT_EQ(connection->peer(), server_id(key_b));
  EXPECT_EQ(connection->peer_key(), key_b);
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->peer(), server_id(key_a));
  EXPECT_EQ(accepted->remote().host, "10.0.0.1");
}

TEST_F(NetworkTest, AnotherServerThanExpectedIsDenied) {
  EXPECT_EQ(connect(server_id(key_a)).error().code, Errc::denied);
}

TEST_F(NetworkTest, NobodyAtTheAddressIsUnavailable) {
  address.port += 1;
  EXPECT_EQ(connect().error().code, Errc::unavailable);
}

TEST_F(NetworkTest, FramesArriveInOrder) {
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  tasks.spawn(send_all(connection, 1000, 100));
  world.run_for(5s);
  EXPECT_EQ(got, numbers(1000));
  connection->close();
  world.run_for(1s);
  EXPECT_EQ(over.value().code, Errc::unavailable);
}

TEST_F(NetworkTest, ASenderWaitsForAReceiverThatDoesNotRead) {
  const auto connection = connect().value();
  tasks.spawn(send_all(connection, 100, 1 << 20));
  world.run_for(10s);
  EXPECT_LT(network.bytes_carried(), 10u << 20);
  tasks.spawn(receive_all(accepted, got, over));
  world.run_for(10s);
  EXPECT_EQ(got, numbers(100));
}

TEST_F(NetworkTest, TheUplinkLimitsTheRate) {
  network.set_uplink(0, 1e6);
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  tasks.spawn(send_all(connection, 100, 100'000));
  world.run_for(5s);
  EXPECT_NEAR(static_cast<double>(got.size()), 50, 2);
}

TEST_F(NetworkTest, AShortPartitionDelaysAndLosesNothing) {
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  network.partition({{0}, {1}});
  tasks.spawn(send_all(connection, 100, 100));
  world.run_for(10s);
  EXPECT_TRUE(got.empty());
  EXPECT_FALSE(over);
  network.mend_all_links();
  world.run_for(1s);
  EXPECT_EQ(got, numbers(100));
}

TEST_F(NetworkTest, ALongPartitionEndsTheConnection) {
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  network.partition({{0}, {1}});
  tasks.spawn(send_all(connection, 1, 100));
  world.run_for(30s);
  EXPECT_EQ(over.value().code, Errc::unavailable);
  EXPECT_EQ(connect().error().code, Errc::unavailable);
  network.mend_all_links();
  EXPECT_TRUE(connect().has_value());
}

TEST_F(NetworkTest, ABrokenConnectionIsOverAtBothEnds) {
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  world.run_for(1s);
  EXPECT_TRUE(network.break_a_connection());
  world.run_for(1s);
  EXPECT_TRUE(over);
  auto sent = world.wait_for(connection->send({{number_frame(1)}}), 1s);
  EXPECT_EQ(sent.value().error().code, Errc::unavailable);
  EXPECT_FALSE(network.break_a_connection());
}

TEST_F(NetworkTest, AnOversizedFrameClosesTheConnection) {
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  tasks.spawn(send_all(connection, 1, frame_bytes_max + 1));
  world.run_for(1s);
  EXPECT_TRUE(got.empty());
  EXPECT_TRUE(over);
}

TEST_F(NetworkTest, ASilentCrashIsNoticedOnlyLater) {
  const auto connection = connect().value();
  tasks.spawn(receive_all(connection, got, over));
  b.vanish(true);
  world.run_for(5s);
  EXPECT_FALSE(over);
  world.run_for(30s);
  EXPECT_TRUE(over);
}

TEST_F(NetworkTest, AKilledProcessIsNoticedAtOnce) {
  const auto connection = connect().value();
  tasks.spawn(receive_all(connection, got, over));
  b.vanish(false);
  world.run_for(1s);
  EXPECT_TRUE(over);
  EXPECT_EQ(connect().error().code, Errc::unavailable);
}

TEST_F(NetworkTest, GarbageArrivesAsOtherBytes) {
  network.set_garbage(0, 1.0);
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  tasks.spawn(send_all(connection, 100, 1000));
  world.run_for(1s);
  EXPECT_EQ(got.size(), 100u);
}

RC_GTEST_FIXTURE_PROP(NetworkTest, WhateverHappensAPrefixArrives, (std::uint64_t seed)) {
  SeededRandom random(seed);
  const auto connection = connect().value();
  tasks.spawn(receive_all(accepted, got, over));
  tasks.spawn(send_all(connection, 200, 50'000));
  for (int i = 0; i < 6; ++i) {
    world.run_for(Duration(random.below(8'000'000'000)));
    switch (random.below(5)) {
      case 0: network.cut_link(0, 1); break;
      case 1: network.cut_link(1, 0); break;
      case 2: network.mend_all_links(); break;
      case 3: if (random.below(4) == 0) network.break_a_connection(); break;
      default: network.set_uplink(0, 1e5 + static_cast<double>(random.below(10'000'000)));
    }
  }
  network.mend_all_links();
  world.run_for(10min);
  RC_ASSERT(got == numbers(got.size()));
  RC_ASSERT(over.has_value() || got.size() == 200u);
}

TEST_F(NetworkTest, NobodyConnectsToAClosedMachineButThroughARelay) {
  network.set_closed(1);
  auto direct = connect();
  ASSERT_FALSE(direct);
  EXPECT_EQ(direct.error().code, Errc::unavailable);

  SimTransport relay{world, network, 3, "10.0.3.1", Bytes(32, 3)};
  const Address there = *relay.listen({"0.0.0.0", 0}, [](ConnectionPtr) {});
  std::array<RelayTicket, 2> tickets;
  tickets[0].bytes.fill(1);
  tickets[1].bytes.fill(2);
  const TimePoint until = world.now() + 10s;
  std::uint64_t carried = 0;
  ConnectionPtr accepting;
  auto carry = [](SimTransport& relay, std::array<RelayTicket, 2> tickets, TimePoint until,
                  std::uint64_t& carried) -> Task<void> {
    auto bytes = co_await relay.relay(tickets, {}, until);
    if (bytes) carried = *bytes;
  };
  auto meet = [](SimTransport& end, Meeting meeting, TimePoint until,
                 ConnectionPtr& out) -> Task<void> {
    auto made = co_await end.meet(meeting, until);
    if (made) out = *made;
  };
  const ServerId id_a = server_id(key_a);
  const ServerId id_b = server_id(key_b);
  asio::co_spawn(world.executor(), carry(relay, tickets, until, carried), asio::detached);
  asio::co_spawn(world.executor(), meet(b, {there, tickets[1], id_a, false}, until, accepting),
                 asio::detached);
  ConnectionPtr dialling;
  ASSERT_TRUE(world.wait_for(meet(a, {there, tickets[0], id_b, true}, until, dialling), 20s));
  ASSERT_TRUE(dialling);
  EXPECT_TRUE(dialling->relayed());
  EXPECT_EQ(dialling->peer(), id_b);
  ASSERT_TRUE(world.run_until([&] { return accepting != nullptr; }, 10s));
  std::vector<std::uint64_t> got;
  std::optional<Error> over;
  asio::co_spawn(world.executor(), receive_all(accepting, got, over), asio::detached);
  ASSERT_TRUE(world.wait_for(send_all(dialling, 50, 1000), 10s));
  world.run_for(5s);
  EXPECT_EQ(got, numbers(50));
  // A used ticket opens nothing.
  ConnectionPtr again;
  ASSERT_TRUE(world.wait_for(meet(a, {there, tickets[0], id_b, true}, world.now() + 1s, again), 20s));
  EXPECT_FALSE(again);
  dialling->close();
  world.run_for(5s);
  EXPECT_TRUE(over);
  EXPECT_GE(carried, 50'000u);
}

}  // namespace
}  // namespace spatter::sim
