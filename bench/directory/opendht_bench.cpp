// SPDX-License-Identifier: GPL-3.0-or-later
//
// What OpenDHT's directory costs, to be run beside bench_directory: 64 nodes in one process over
// loopback, values of 256 bytes, one writer and one reader. A program of its own, for the library is GPL-3.
//
// Its limits on requests are off, for all nodes share one address; nothing is signed or encrypted.
#include <benchmark/benchmark.h>
#include <opendht.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <random>

namespace {

constexpr std::size_t nodes = 64;
constexpr std::size_t value_bytes = 256;
constexpr std::uint32_t network = 0x5ba77e12;  // nobody else's

class Network {
 public:
  Network() {
    std::mt19937 random(1);
    for (std::size_t i = 0; i < nodes; ++i) {
      dht::DhtRunner::Config config{};
      config.threaded = true;
      config.dht_config.node_config.network = network;
      config.dht_config.node_config.max_req_per_sec = -1;
      config.dht_config.node_config.max_peer_req_per_sec = -1;
      auto node = std::make_unique<dht::DhtRunner>();
      node->run(0, config);
      if (i > 0) {
        const auto before = std::uniform_int_distribution<std::size_t>(0, i - 1)(random);
        node->bootstrap("127.0.0.1", std::to_string(all_[before]->getBoundPort()));
      }
      all_.push_back(std::move(node));
    }
    // Until the last knows as many as it will: the nodes tell nobody that they are done.
    const auto known = [&] { return all_.back()->getNodesStats(AF_INET, nullptr, nullptr, nullptr, nullptr); };
    for (int i = 0; i < 200 && known() < 8; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ~Network() {
    for (auto& node : all_) node->join();
  }
  dht::DhtRunner& node(std::size_t index) { return *all_[index]; }

 private:
  std::vector<std::unique_ptr<dht::DhtRunner>> all_;
};

double put(dht::DhtRunner& node, const dht::InfoHash& key) {
  std::promise<bool> done;
  const auto begun = std::chrono::steady_clock::now();
  node.put(key, std::make_shared<dht::Value>(dht::Blob(value_bytes, 'v')),
           [&](bool good) { done.set_value(good); });
  if (!done.get_future().get()) std::abort();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun).count();
}

double get(dht::DhtRunner& node, const dht::InfoHash& key) {
  // Until the first value is there, as somebody who needs one would.
  auto found = std::make_shared<std::promise<bool>>();
  auto told = std::make_shared<std::once_flag>();
  const auto begun = std::chrono::steady_clock::now();
  node.get(
      key,
      [found, told](const std::vector<std::shared_ptr<dht::Value>>& values) {
        if (!values.empty()) std::call_once(*told, [&] { found->set_value(true); });
        return false;
      },
      [found, told](bool) { std::call_once(*told, [&] { found->set_value(false); }); });
  if (!found->get_future().get()) std::abort();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun).count();
}

void opendht_warm(benchmark::State& state) {
  static Network net;
  std::vector<double> puts, gets;
  for (int i = 0; i < 30; ++i) {
    const auto key = dht::InfoHash::getRandom();
    put(net.node(3), key);
    get(net.node(40), key);
  }
  for (auto _ : state) {
    const auto key = dht::InfoHash::getRandom();
    puts.push_back(put(net.node(3), key));
    gets.push_back(get(net.node(40), key));
  }
  std::ranges::sort(puts);
  std::ranges::sort(gets);
  state.counters["put_p50_us"] = puts[puts.size() / 2];
  state.counters["put_p99_us"] = puts[puts.size() * 99 / 100];
  state.counters["get_p50_us"] = gets[gets.size() / 2];
  state.counters["get_p99_us"] = gets[gets.size() * 99 / 100];
}
BENCHMARK(opendht_warm)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
