// The whole miner over TCP on this machine: hashing threads, client, and a pool that checks every
// share.
#include "cycles/miner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asio/experimental/as_tuple.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include "base/real_runtime.h"
#include "loopback_pool.h"

namespace spatter::mining {
namespace {

using asio::ip::tcp;
using namespace std::chrono_literals;

/// A LoopbackPool behind a socket; one connection at a time is enough.
class TcpPool {
 public:
  explicit TcpPool(Runtime& runtime)
      : acceptor_(runtime.executor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        changed_(runtime.executor()) {}

  LoopbackPool logic;
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  Task<void> serve() {
    while (true) {
      tcp::socket socket = co_await acceptor_.async_accept(asio::use_awaitable);
      logic.connected();
      socket_ = &socket;
      co_await serve(socket);
      socket_ = nullptr;
    }
  }
  Task<void> say(std::string lines) {
    if (socket_ != nullptr) co_await asio::async_write(*socket_, asio::buffer(lines), asio::use_awaitable);
  }
  void hang_up() {
    asio::error_code ignored;
    if (socket_ != nullptr) socket_->shutdown(tcp::socket::shutdown_both, ignored);
  }
  Task<void> until_accepted(std::uint64_t count) {
    while (logic.accepted < count) co_await changed_.wait();
  }

 private:
  Task<void> serve(tcp::socket& socket) {
    std::string buffer;
    std::array<char, 4096> piece;
    while (true) {
      const auto [error, size] = co_await socket.async_read_some(
          asio::buffer(piece), asio::experimental::as_tuple(asio::use_awaitable));
      if (error == asio::error::operation_aborted) throw asio::system_error(error);
      if (error) co_return;
      buffer.append(piece.data(), size);
      for (std::size_t end; (end = buffer.find('\n')) != std::string::npos;) {
        const std::string answer = logic.on_line(buffer.substr(0, end));
        buffer.erase(0, end + 1);
        const auto [write_error, written] = co_await asio::async_write(
            socket, asio::buffer(answer), asio::experimental::as_tuple(asio::use_awaitable));
        if (write_error == asio::error::operation_aborted) throw asio::system_error(write_error);
        if (write_error) co_return;
        changed_.wake_all();
      }
    }
  }
  tcp::acceptor acceptor_;
  tcp::socket* socket_ = nullptr;
  WaitQueue changed_;
};

class Miner : public testing::TestWithParam<ScanKernel> {
 protected:
  std::unique_ptr<RealRuntime> runtime = RealRuntime::open({.root = "/", .blocking_threads = 1}).value();
  TcpPool pool{*runtime};
  TaskGroup group{runtime->executor()};
  Event stop{runtime->executor()};
  std::vector<MinerReport> reports;
  bool ended = false;

  void SetUp() override {
    pool.logic.difficulty = 5e-6;
    group.spawn(pool.serve());
  }
  void TearDown() override { runtime->wait_for(group.stop()); }

  Task<void> run(unsigned threads) {
    // Not in the idle class, where a busy machine would leave it nothing.
    MinerOptions options{{{"127.0.0.1", pool.port()}, "alice.1"}, {threads, GetParam(), false}};
    co_await mine(*runtime, options, tcp_pool_dial(runtime->executor()), stop,
                  [this](const MinerReport& report) { reports.push_back(report); });
    ended = true;
  }
};
INSTANTIATE_TEST_SUITE_P(Kernels, Miner, testing::ValuesIn(scan_kernels_available()),
                         [](const auto& param) {
                           std::string name(to_string(param.param));
                           std::erase_if(name, [](char c) { return !std::isalnum(c); });
                           return name;
                         });

TEST_P(Miner, FindsSharesThatThePoolVerifies) {
  TaskGroup miner(runtime->executor());
  miner.spawn(run(2));
  runtime->wait_for(pool.until_accepted(30));
  // Jobs and difficulties change while the threads hash.
  for (std::uint64_t i = 1; i <= 5; ++i) {
    pool.logic.difficulty = i % 2 == 0 ? 5e-6 : 1e-5;
    runtime->wait_for(pool.say(pool.logic.difficulty_line() + pool.logic.job_line(i % 2 == 0)));
    runtime->wait_for(pool.until_accepted(30 + 10 * i));
  }
  pool.hang_up();
  runtime->wait_for(pool.until_accepted(100));
  stop.set();
  runtime->wait_for(miner.drain());
  EXPECT_TRUE(ended);
  EXPECT_EQ(pool.logic.connections, 2U);
  EXPECT_EQ(pool.logic.rejected, 0U) << testing::PrintToString(pool.logic.verdicts);
  ASSERT_FALSE(reports.empty());
  const MinerReport& last = reports.back();
  EXPECT_EQ(last.pool.rejected, 0U);
  EXPECT_LE(last.pool.accepted, pool.logic.accepted);
  EXPECT_GT(last.pool.accepted, 80U);
  EXPECT_GT(last.hashes, 1'000'000U);
  EXPECT_EQ(last.threads, 2U);
}

TEST_P(Miner, SharesFasterThanAnybodyCanTellDoNotFillTheMemory) {
  pool.logic.difficulty = 1e-7;
  TaskGroup miner(runtime->executor());
  miner.spawn(run(1));
  runtime->wait_for(pool.until_accepted(300));
  stop.set();
  runtime->wait_for(miner.drain());
  EXPECT_EQ(pool.logic.rejected, 0U);
  // How many are dropped depends on who is faster here; that they are is tested in virtual time.
  EXPECT_EQ(reports.back().pool.rejected, 0U);
}

TEST(MinerReport, IsOneJsonLineWithEverythingInIt) {
  MinerReport report;
  report.pool.pool = {"pool.example", 3333};
  report.pool.state = PoolState::mining;
  report.pool.accepted = 5;
  report.pool.network_bits = 0x1d00ffff;
  report.pool.last_problem = std::string(100'000, 'x');
  report.hashes = 1'000'000;
  report.rate = 123.6;
  const auto json = to_json(report);
  EXPECT_EQ(json.at("hashes"), 1'000'000);
  EXPECT_EQ(json.at("rate"), 124);
  EXPECT_EQ(json.at("accepted"), 5);
  EXPECT_EQ(json.at("state"), "mining");
  EXPECT_EQ(json.at("pool"), "pool.example:3333");
  EXPECT_EQ(json.at("network_difficulty"), 1);
  for (const char* field : {"rejected", "stale", "difficulty", "best_difficulty", "problem"})
    EXPECT_TRUE(json.contains(field)) << field;
  EXPECT_LT(json.dump().size(), 4096U);  // what a pipe takes in one piece
}

}  // namespace
}  // namespace spatter::mining
