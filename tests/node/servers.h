// Whole servers in the simulated world, for tests: machines, networks of them, and what people do there.
#pragma once

#include <gtest/gtest.h>

#include "node/drive_parts.h"
#include "node/join.h"
#include "node/server.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/world.h"

namespace spatter {

using namespace std::chrono_literals;

/// A machine, and the server on it.
struct SimServer {
  SimServer(sim::World& world, sim::Network& network, sim::MachineId id)
      : machine(world, network, id, 8ull << 30) {}

  Runtime& runtime() { return machine.runtime(); }

  Task<Result<void>> init(std::optional<PersonSecret> secret = {}, NewNetwork founded = {}) {
    auto drive = co_await prepare_drive(runtime(), {.secret = std::move(secret)});
    if (!drive) co_return fail(drive.error());
    words = drive->fresh->words;
    CO_TRY_VOID(co_await found_network(runtime(), *drive, founded));
    co_return Result<void>{};
  }
  Task<Result<void>> join(std::string link, std::optional<PersonSecret> secret = {},
                          std::optional<Recovery> recovery = {}) {
    CO_TRY(auto invite, parse_link(link));
    auto drive = co_await prepare_drive(runtime(), {.secret = std::move(secret)});
    if (!drive) co_return fail(drive.error());
    words = drive->fresh->words;
    const auto key = drive->keyring.server_key.public_key();
    auto& transport = machine.make_transport(Bytes(key.begin(), key.end()));
    auto joined = co_await join_with_drive(runtime(), transport, *drive, invite, recovery);
    co_await transport.stop();
    if (!joined) co_return fail(joined.error());
    co_return Result<void>{};
  }
  Task<Result<void>> up(std::uint16_t port = 4840) {
    auto drive = co_await open_drive(runtime(), {});
    if (!drive) co_return fail(drive.error());
    drive->config.listen = {machine.host(), port};
    const auto key = drive->keyring.server_key.public_key();
    transport = &machine.make_transport(Bytes(key.begin(), key.end()));
    server = std::make_unique<Server>(runtime(), *transport, std::move(*drive), options);
    co_return co_await server->start();
  }
  Task<void> down() {
    if (!server) co_return;
    co_await server->stop();
    server.reset();
    co_await transport->stop();
  }

  sim::Machine machine;
  ServerOptions options;  ///< from the next start on
  std::optional<PersonSecret> words;  ///< of its person, once it is made
  Transport* transport = nullptr;
  std::unique_ptr<Server> server;
};

inline Buffer bytes_of(std::uint64_t seed, std::size_t size) {
  auto buffer = Buffer::allocate(size);
  SeededRandom(seed).fill(buffer.mutable_view());
  return buffer;
}

class ServerTest : public testing::Test {
 protected:
  ~ServerTest() override {
    run([](ServerTest& test) -> Task<Result<void>> {
      for (auto& node : test.nodes) co_await node->down();
      co_return Result<void>{};
    }(*this));
    // What still hangs on the machines ends before they do.
    world.run_for(30s);
  }

  void run(Task<Result<void>> task, Duration limit = 20min) {
    auto result = world.wait_for(std::move(task), limit);
    ASSERT_TRUE(result.has_value()) << "it did not end";
    EXPECT_TRUE(*result) << result->error().message;
  }

 public:
  SimServer& node() {
    const auto id = static_cast<sim::MachineId>(nodes.size() + 1);
    nodes.push_back(std::make_unique<SimServer>(world, network, id));
    return *nodes.back();
  }
  /// A network of `count` servers, each of a person of its own, all up and known to all.
  Task<Result<void>> make_network(std::size_t count) {
    CO_TRY_VOID(co_await node().init());
    CO_TRY_VOID(co_await nodes[0]->up());
    for (std::size_t i = 1; i < count; ++i) CO_TRY_VOID(co_await grow());
    co_return co_await all_up(count);
  }
  Task<Result<void>> grow() {
    CO_TRY(auto link, co_await invite(*nodes[0]));
    auto& next = node();
    CO_TRY_VOID(co_await next.join(link));
    co_return co_await next.up();
  }
  Task<Result<std::string>> invite(SimServer& from) {
    for (int i = 0; i < 100; ++i) {
      auto link = co_await from.server->invite(1h);
      if (link || link.error().code != Errc::unavailable) co_return link;
      co_await world.sleep(100ms);
    }
    co_return fail(Errc::timeout, "no address to put into an invite");
  }
  Task<Result<void>> all_up(std::size_t count) {
    for (int i = 0; i < 600; ++i) {
      const bool done = std::ranges::all_of(nodes, [&](const auto& node) {
        if (!node->server) return true;
        const auto all = node->server->members().all();
        return static_cast<std::size_t>(std::ranges::count_if(all, &Member::up)) == count;
      });
      if (done) co_return Result<void>{};
      co_await world.sleep(100ms);
    }
    co_return fail(Errc::timeout, "not all {} servers are up everywhere", count);
  }
  /// Of five servers, the first has put `file` as "a" and is lost, and only the second is up.
  struct Left {
    std::string link;
    PersonSecret secret;           ///< of the person who lost it
    std::unique_ptr<Server> dead;  ///< to be stopped in the end
  };
  Task<Result<Left>> one_holder_left(Buffer file) {
    CO_TRY_VOID(co_await make_network(5));
    auto& lost = *nodes[0];
    const auto secret = *lost.words;
    CO_TRY_VOID(co_await put(lost, "a", std::move(file), Level::full));
    lost.machine.crash();
    auto dead = std::move(lost.server);
    CO_TRY(auto link, co_await invite(*nodes[1]));
    for (const std::size_t off : {2, 3, 4}) co_await nodes[off]->down();
    co_return Left{std::move(link), secret, std::move(dead)};
  }
  Task<Result<void>> put(SimServer& at, std::string path, Buffer bytes, Level level) {
    PackPosition position;
    {
      CO_TRY(auto writer, co_await at.server->volume().write_file(path, {}));
      for (std::size_t offset = 0; offset < bytes.size(); offset += 1 << 20) {
        const auto length = std::min<std::size_t>(1 << 20, bytes.size() - offset);
        CO_TRY_VOID(co_await writer->write(bytes.slice(offset, length)));
      }
      CO_TRY(position, co_await writer->commit());
    }
    co_return co_await at.server->wait_for(position, level);
  }
  Task<Result<void>> expect(SimServer& at, std::string path, Buffer bytes, ReadFrom from) {
    CO_TRY(auto reader, co_await at.server->volume().read_file(path, from));
    if (reader->node().size != bytes.size())
      co_return fail(Errc::corrupt, "{} has {} bytes", path, reader->node().size);
    for (std::size_t offset = 0; offset < bytes.size(); offset += 1 << 20) {
      const auto length = std::min<std::size_t>(1 << 20, bytes.size() - offset);
      CO_TRY(auto part, co_await reader->read(offset, length));
      if (!std::ranges::equal(part.view(), bytes.slice(offset, length).view()))
        co_return fail(Errc::corrupt, "{} differs at {}", path, offset);
    }
    co_return Result<void>{};
  }

  sim::World world{1};
  sim::Network network{world};
  std::vector<std::unique_ptr<SimServer>> nodes;
};

}  // namespace spatter
