// SPDX-License-Identifier: GPL-3.0-or-later
//
// spatter-rendezvous [--port N] [--network N] [HOST:PORT...]
//
// A node of an OpenDHT network that joins through the given nodes (without any, it waits to be
// joined) and does what it is told on standard input, a line at a time, until that ends:
//
//     put ID PLACE VALUE      leaves a value; PLACE is 40 hexadecimal digits, VALUE any even number
//     get ID PLACE            asks for the values there
//
// ID is a word chosen by the caller. Answers on standard output:
//
//     ready PORT              once, when the node listens on this UDP port
//     value ID VALUE          one of what was found
//     done ID                 nothing more comes for this ID
//     failed ID REASON
//
// Values are at most 1200 bytes, and at most 64 are told of one place: anybody may leave more.
#include <opendht.h>

#include <cstdio>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>

namespace {

constexpr std::size_t value_bytes_max = 1200;
constexpr std::size_t values_max = 64;
constexpr std::size_t line_bytes_max = 8192;

void say(const std::string& line) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

std::string hex(const dht::Blob& bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

bool from_hex(const std::string& text, dht::Blob& bytes) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (text.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    bytes.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return true;
}

void put(dht::DhtRunner& node, const std::string& id, const dht::InfoHash& place, dht::Blob value) {
  node.put(place, std::make_shared<dht::Value>(std::move(value)), [id](bool good) {
    say(good ? "done " + id : "failed " + id + " no node took it");
  });
}

void get(dht::DhtRunner& node, const std::string& id, const dht::InfoHash& place) {
  auto told = std::make_shared<std::size_t>(0);
  node.get(
      place,
      [id, told](const std::vector<std::shared_ptr<dht::Value>>& values) {
        for (const auto& value : values) {
          if (value->data.empty() || value->data.size() > value_bytes_max) continue;
          say("value " + id + " " + hex(value->data));
          if (++*told >= values_max) return false;
        }
        return true;
      },
      [id](bool good) { say(good ? "done " + id : "failed " + id + " no node answers"); });
}

void obey(dht::DhtRunner& node, const std::string& line) {
  std::istringstream words(line);
  std::string verb, id, place_text, value_text;
  words >> verb >> id >> place_text >> value_text;
  dht::Blob value;
  const dht::InfoHash place(place_text);
  if (id.empty() || place_text.size() != 40 || !place)
    return say("failed " + (id.empty() ? "?" : id) + " not a request");
  if (verb == "get") return get(node, id, place);
  if (verb != "put" || !from_hex(value_text, value) || value.empty() || value.size() > value_bytes_max)
    return say("failed " + id + " not a request");
  put(node, id, place, std::move(value));
}

}  // namespace

int main(int argc, char** argv) {
  unsigned long port = 0, network = 0;
  std::vector<std::pair<std::string, std::string>> known;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t colon = word.rfind(':');
    if (word == "--port" && i + 1 < argc) {
      port = std::strtoul(argv[++i], nullptr, 10);
    } else if (word == "--network" && i + 1 < argc) {
      network = std::strtoul(argv[++i], nullptr, 10);
    } else if (colon != std::string::npos && colon > 0) {
      std::string host = word.substr(0, colon);
      if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
      known.emplace_back(host, word.substr(colon + 1));
    } else {
      std::fprintf(stderr, "spatter-rendezvous: '%s' is not known\n", argv[i]);
      return 2;
    }
  }
  try {
    dht::DhtRunner node;
    dht::DhtRunner::Config config{};
    config.threaded = true;
    config.dht_config.node_config.network = static_cast<dht::NetId>(network);
    // Several nodes may share one address: those of one home, or of one test.
    config.dht_config.node_config.max_req_per_sec = -1;
    config.dht_config.node_config.max_peer_req_per_sec = -1;
    node.run(static_cast<in_port_t>(port), config);
    for (const auto& [host, service] : known) node.bootstrap(host, service);
    say("ready " + std::to_string(node.getBoundPort()));
    for (std::string line; std::getline(std::cin, line);)
      if (line.size() <= line_bytes_max) obey(node, line);
    node.shutdown();
    node.join();
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "spatter-rendezvous: %s\n", failure.what());
    return 1;
  }
  return 0;
}
