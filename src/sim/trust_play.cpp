#include "trust_play.h"

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t clip_bytes = 300'000;

}  // namespace

NewNetwork reviewed_network() {
  NewNetwork network;
  network.epoch_seconds = 300;
  network.rules = TrustRules::reviewed();
  network.rules->aging_epochs = 0;
  network.rules->phrase_epochs = 24;
  network.rules->substitute_epochs = 12;
  return network;
}

Task<void> TrustPlay::member(unsigned index) {
  for (;;) {
    co_await world_.sleep(Duration(world_.random().below(20'000'000'000)));
    co_await fleet_.run_on(index, [this, index](Server& server) -> Task<void> {
      auto& desk = server.trust_desk();
      if (auto phrase = co_await desk.phrase()) {
        Bytes clip(clip_bytes);
        world_.random().fill(clip);
        if (co_await desk.announce(std::move(clip))) {
          ++announced_;
          world_.note(fmt::format("m{} announces", index));
        }
      }
      for (const auto& review : desk.reviews()) {
        if (review.mine) continue;
        if (!co_await desk.watch(review.announce)) continue;
        if (co_await desk.judge(review.announce, Verdict::vouch, "seen")) {
          ++judged_;
          world_.note(fmt::format("m{} judges", index));
        }
      }
    });
  }
}

std::vector<std::string> TrustPlay::complaints() {
  std::vector<std::string> result;
  for (const auto at : fleet_.running()) {
    auto* server = fleet_.server(at);
    if (!server) continue;
    const auto& standings = server->trust().standings();
    if (standings.persons.size() != fleet_.size())
      result.push_back(fmt::format("m{} knows {} persons of {}", at, standings.persons.size(), fleet_.size()));
    for (const auto& [person, one] : standings.persons)
      if (one.state != Standing::State::trusted)
        result.push_back(fmt::format("to m{} person {} is a {}", at, person.brief(), to_string(one.state)));
  }
  return result;
}

Task<void> TrustPlay::check(Duration within) {
  const auto until = world_.now() + within;
  while (!complaints().empty() && world_.now() < until) co_await world_.sleep(10s);
  for (auto& complaint : complaints()) problems_.add("{}", complaint);
}

}  // namespace spatter::sim
