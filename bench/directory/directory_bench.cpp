// What the directory costs: 64 servers in one process over loopback, with TLS and real signatures
// (warm: connections stand; cold: a server's first put and get after it came up knowing one other
// server, its looking round and all handshakes included), and the decisions alone.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <filesystem>

#include "base/real_runtime.h"
#include "crypto/hash.h"
#include "directory/roster.h"
#include "directory/rpc_link.h"
#include "net/tls_transport.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t servers = 64;
constexpr std::size_t value_bytes = 256;

std::string value_of(std::uint64_t version) {
  std::string value(value_bytes, 'v');
  for (std::size_t i = 0; i < 8; ++i) value[i] = static_cast<char>(version >> (56 - 8 * i));
  return value;
}

std::unique_ptr<RealRuntime> make_runtime() {
  RealRuntime::Options options;
  options.root = std::filesystem::temp_directory_path().string();
  options.log_least = LogLevel::error;
  return std::move(*RealRuntime::open(std::move(options)));
}

class Network {
 public:
  Network() {
    validators.set(RecordType::stripe, [](const RecordKey&, ByteView value) -> Result<RecordFacts> {
      std::uint64_t version = 0;
      for (std::size_t i = 0; i < 8; ++i) version = version << 8 | value[i];
      return RecordFacts{version, std::numeric_limits<WallMs>::max() / 2, {}};
    });
    std::vector<ContactPtr> all;
    for (std::size_t i = 0; i < servers; ++i) nodes.push_back(std::make_unique<Node>(*this));
    for (auto& node : nodes) all.push_back(node->own);
    for (auto& node : nodes) {
      node->directory->start({});
      for (const ContactPtr& contact : all)
        if (contact != node->own) node->directory->core().table().answered(contact, runtime->now());
    }
  }
  ~Network() {
    for (auto& node : nodes) {
      runtime->wait_for(node->directory->stop());
      runtime->wait_for(node->rpc.stop());
      runtime->wait_for(node->transport->stop());
    }
  }

  struct Node {
    explicit Node(Network& network)
        : identity(make_identity(network.genesis.network, SigningKey::generate(network.random),
                                 SigningKey::generate(network.random), 1)),
          judge({network.genesis.network, [](const ServerId&, const PersonId&) { return true; },
                 [](const PlaceFacts&, const PersonId&) { return Result<void>{}; }}),
          transport(make_tls_transport(*network.runtime, identity.server_key, {.io_threads = 1})),
          rpc(*network.runtime, *transport, network.genesis.network) {
      const Address address = rpc.listen({"127.0.0.1", 0}).value();
      // As long as a record is where three draw.
      std::vector<SigningKey> drawers;
      for (int i = 0; i < 3; ++i) drawers.push_back(SigningKey::generate(network.random));
      std::ranges::sort(drawers, {}, [](const SigningKey& key) { return key.public_key(); });
      PlaceOccasion occasion{network.genesis.network, 1, identity.server, identity.person, 0, {}};
      for (const SigningKey& key : drawers) occasion.drawers.push_back(key.public_key());
      PlaceDraw place{0, 1, {}};
      for (const SigningKey& key : drawers) place.draws.push_back(make_place_draw(key, occasion));
      const auto record =
          make_server_record(identity, {address}, 1000, 500, 1, &place).SerializeAsString();
      own = judge.judge(as_bytes(record)).value();
      link.emplace(rpc, judge, network.validators, 10s);
      directory = std::make_shared<Directory>(*network.runtime, *link, own, network.validators);
      service.emplace(*network.runtime, rpc, [this] { return directory; }, judge, network.validators,
                      [person = identity.person](const ServerId&) { return std::optional(person); });
    }
    Identity identity;
    ContactJudge judge;
    std::unique_ptr<Transport> transport;
    Rpc rpc;
    ContactPtr own;
    std::optional<RpcDirectoryLink> link;
    std::shared_ptr<Directory> directory;
    std::optional<DirectoryService> service;
  };

  RecordKey next_key() { return {RecordType::stripe, random.id<Digest>()}; }

  std::unique_ptr<RealRuntime> runtime = make_runtime();
  SeededRandom random{1};
  SigningKey founder = SigningKey::generate(random);
  GenesisFacts genesis = check_genesis(make_genesis(founder, random, 1)).value();
  RecordValidators validators;
  std::vector<std::unique_ptr<Node>> nodes;
};

/// One network for all, because its making costs seconds.
Network& network() {
  static Network instance;
  return instance;
}

Task<void> put_and_get(Network& net, Directory& writer, Directory& reader, std::vector<double>& puts,
                       std::vector<double>& gets) {
  const RecordKey key = net.next_key();
  const auto micro = [](Duration took) { return std::chrono::duration<double, std::micro>(took).count(); };
  const TimePoint begun = net.runtime->now();
  if (const auto put = co_await writer.put(key, value_of(1)); !put) {
    fmt::print(stderr, "put: {}\n", put.error().message);
    std::abort();
  }
  const TimePoint between = net.runtime->now();
  SPATTER_ASSERT(co_await reader.get(key));
  puts.push_back(micro(between - begun));
  gets.push_back(micro(net.runtime->now() - between));
}

void report(benchmark::State& state, std::vector<double> puts, std::vector<double> gets) {
  std::ranges::sort(puts);
  std::ranges::sort(gets);
  state.counters["put_p50_us"] = puts[puts.size() / 2];
  state.counters["put_p99_us"] = puts[puts.size() * 99 / 100];
  state.counters["get_p50_us"] = gets[gets.size() / 2];
  state.counters["get_p99_us"] = gets[gets.size() * 99 / 100];
}

/// One writer and one reader, whose connections stand.
void directory_warm(benchmark::State& state) {
  Network& net = network();
  auto& writer = *net.nodes[3]->directory;
  auto& reader = *net.nodes[40]->directory;
  std::vector<double> puts, gets;
  for (int i = 0; i < 60; ++i) net.runtime->wait_for(put_and_get(net, writer, reader, puts, gets));
  puts.clear();
  gets.clear();
  for (auto _ : state) net.runtime->wait_for(put_and_get(net, writer, reader, puts, gets));
  report(state, puts, gets);
  const auto stats = reader.stats();
  state.counters["memory_bytes"] = static_cast<double>(stats.memory_bytes);
}
BENCHMARK(directory_warm)->UseRealTime()->Unit(benchmark::kMillisecond);

void directory_cold(benchmark::State& state) {
  std::vector<double> puts, gets;
  Network& net = network();
  for (auto _ : state) {
    auto& node = *net.nodes.emplace_back(std::make_unique<Network::Node>(net));
    node.directory->start({net.nodes[0]->own});
    net.runtime->wait_for(put_and_get(net, *node.directory, *node.directory, puts, gets));
  }
  report(state, puts, gets);
}
BENCHMARK(directory_cold)->Iterations(16)->UseRealTime()->Unit(benchmark::kMillisecond);

ContactPtr invented(Random& random) {
  auto contact = std::make_shared<Contact>();
  contact->id = random.id<ServerId>();
  contact->person = random.id<PersonId>();
  contact->position = random.id<Position>();
  contact->version = 1;
  return contact;
}

/// Who is nearest to a point, of a table in a network of as many servers.
void table_nearest(benchmark::State& state) {
  SeededRandom random(1);
  RoutingTable table(random.id<ServerId>(), random.id<Position>(), 1);
  for (std::int64_t i = 0; i < state.range(0); ++i) table.answered(invented(random), TimePoint{});
  for (auto _ : state) benchmark::DoNotOptimize(table.nearest(random.id<Position>(), 8));
  state.counters["contacts"] = static_cast<double>(table.contacts().size());
}
BENCHMARK(table_nearest)->Arg(1000)->Arg(10'000)->Arg(100'000);

}  // namespace
}  // namespace spatter
