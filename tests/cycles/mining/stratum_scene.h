// A client and a loopback pool on a pipe, in virtual time.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cycles/stratum.h"
#include "loopback_pool.h"
#include "virtual_runtime.h"

namespace spatter::mining {

struct PoolWire {
  explicit PoolWire(asio::any_io_executor executor) : changed(executor) {}
  std::string to_client;
  bool closed = false;         ///< by the pool
  bool pool_reads = true;
  std::size_t piece_bytes = SIZE_MAX;  ///< as the client receives it
  WaitQueue changed;
};

class PipeLink final : public PoolLink {
 public:
  PipeLink(std::shared_ptr<PoolWire> wire, std::function<void(const std::string&)> to_pool)
      : wire_(std::move(wire)), to_pool_(std::move(to_pool)) {}
  Task<Result<std::string>> receive() override {
    auto wire = wire_;
    while (wire->to_client.empty() && !wire->closed) co_await wire->changed.wait();
    if (wire->to_client.empty()) co_return fail(Errc::unavailable, "the pool closed the connection");
    std::string piece = wire->to_client.substr(0, wire->piece_bytes);
    wire->to_client.erase(0, piece.size());
    co_return piece;
  }
  Task<Result<void>> send(std::string bytes) override {
    auto wire = wire_;
    while (!wire->pool_reads && !wire->closed) co_await wire->changed.wait();
    if (wire->closed) co_return fail(Errc::unavailable, "the pool closed the connection");
    to_pool_(bytes);
    co_return Result<void>{};
  }

 private:
  std::shared_ptr<PoolWire> wire_;
  std::function<void(const std::string&)> to_pool_;
};

class StratumScene : public testing::Test {
 protected:
  VirtualRuntime runtime;
  LoopbackPool pool;
  StratumOptions options{{"pool.example", 3333}, "alice.1"};

  // How the pool behaves at the wire.
  bool unreachable = false, connects_never = false, answers = true;
  std::size_t piece_bytes = SIZE_MAX;
  std::size_t close_after_bytes = SIZE_MAX;  ///< of the pool's, once
  std::string hang_up_at;                    ///< a method

  std::vector<Address> dialled;
  std::vector<TimePoint> dialled_at;
  std::shared_ptr<PoolWire> wire;
  std::vector<std::string> received;         ///< by the pool
  std::shared_ptr<const MiningWork> work;
  unsigned works = 0;
  std::unique_ptr<StratumClient> client;
  std::unique_ptr<TaskGroup> group;

  void begin() {
    client = std::make_unique<StratumClient>(
        runtime, options, [this](Address address) { return dial(std::move(address)); },
        [this](auto given) {
          work = std::move(given);
          ++works;
        });
    group = std::make_unique<TaskGroup>(runtime.executor());
    group->spawn(client->run());
  }

  void TearDown() override {
    if (!group) return;
    bool ended = false;
    auto stop = [](TaskGroup& group, bool& ended) -> Task<void> {
      co_await group.stop();
      ended = true;
    };
    asio::co_spawn(runtime.executor(), stop(*group, ended), asio::detached);
    EXPECT_TRUE(runtime.run_until([&] { return ended; }, Duration::zero()));
  }

  Task<Result<std::unique_ptr<PoolLink>>> dial(Address address) {
    dialled.push_back(address);
    dialled_at.push_back(runtime.now());
    if (connects_never) co_await runtime.sleep(std::chrono::hours(1000));
    if (unreachable) co_return fail(Errc::unavailable, "{}: Connection refused", address.text());
    pool.connected();
    wire = std::make_shared<PoolWire>(runtime.executor());
    wire->piece_bytes = piece_bytes;
    co_return std::make_unique<PipeLink>(
        wire, [this, wire = wire](const std::string& bytes) { to_pool(wire, bytes); });
  }

  void to_pool(const std::shared_ptr<PoolWire>& on, const std::string& bytes) {
    for (std::size_t begin = 0; begin < bytes.size();) {
      const std::size_t end = bytes.find('\n', begin);
      ASSERT_NE(end, std::string::npos);  // the client sends whole lines
      const std::string line = bytes.substr(begin, end - begin);
      begin = end + 1;
      received.push_back(line);
      if (!hang_up_at.empty() && line.contains(hang_up_at)) return hang_up(on);
      if (answers) say(pool.on_line(line), on);
    }
  }
  void say(std::string lines, std::shared_ptr<PoolWire> on = nullptr) {
    if (!on) on = wire;
    if (on->closed) return;
    const std::size_t size = std::min(lines.size(), close_after_bytes);
    on->to_client += lines.substr(0, size);
    if (close_after_bytes != SIZE_MAX) close_after_bytes -= size;
    on->changed.wake_all();
    if (size == lines.size()) return;
    close_after_bytes = SIZE_MAX;
    hang_up(on);
  }
  void hang_up(std::shared_ptr<PoolWire> on = nullptr) {
    if (!on) on = wire;
    on->closed = true;
    on->changed.wake_all();
  }

  void until_mining() {
    ASSERT_TRUE(runtime.run_until([&] { return work != nullptr && pool.authorized; }));
    settle();
  }
  /// Runs what can run now.
  void settle() { runtime.run_for(Duration::zero()); }

  /// Shares of the present work or of `of`, found with the scalar kernel; not submitted.
  std::vector<Share> find_shares(std::size_t count, std::shared_ptr<const MiningWork> of = nullptr) {
    if (!of) of = work;
    std::vector<Share> shares;
    while (shares.size() < count) {
      const auto unit = unit_of(*of, (*of->units)++, 0);
      if (!unit) break;
      std::vector<Hit> hits;
      const HeaderScan header(unit->header, unit->versions, of->target);
      for (std::uint64_t first = 0; shares.size() < count && first < (1U << 24); first += 1 << 16) {
        header.scan(static_cast<std::uint32_t>(first), 1 << 16, hits);
        for (const Hit& hit : hits)
          if (shares.size() < count)
            shares.push_back(
                {of, unit->extranonce2, unit->time, hit.nonce, hit.version, hit.hash});
        hits.clear();
      }
    }
    return shares;
  }
  void submit(const std::vector<Share>& shares) {
    for (const Share& share : shares) client->submit(share);
    settle();
  }
  const PoolStatus& status() const { return client->status(); }
};

}  // namespace spatter::mining
