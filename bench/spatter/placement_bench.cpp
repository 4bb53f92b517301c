// What deciding costs: dealing one stripe, and judging the safety of many.
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "spatter/placement.h"
#include "spatter/safety.h"

namespace spatter {
namespace {

std::vector<Candidate> strangers(unsigned count) {
  SeededRandom random(1);
  std::vector<Candidate> result(count);
  for (auto& candidate : result) {
    candidate.server = random.id<ServerId>();
    candidate.person = random.id<PersonId>();
    candidate.prefix = fmt::format("10.{}.{}", random.below(256), random.below(256));
  }
  return result;
}

void deal(benchmark::State& state) {
  const auto width = static_cast<unsigned>(state.range(0));
  const auto servers = strangers(width);
  const auto shape = shape_for(width);
  SeededRandom random(2);
  for (auto _ : state)
    benchmark::DoNotOptimize(place(random.id<StripeId>(), shape.n, shape.placed, servers));
}
BENCHMARK(deal)->Arg(3)->Arg(7)->Arg(16)->Arg(100)->Arg(1000);

void report(benchmark::State& state) {
  const auto servers = strangers(16);
  SeededRandom random(3);
  std::vector<StripePtr> stripes;
  for (int i = 0; i < 1000; ++i) {
    auto stripe = std::make_shared<Stripe>();
    stripe->id = random.id<StripeId>();
    stripe->k = 16;
    stripe->n = 48;
    const auto dealt = place(stripe->id, 48, 48, servers);
    for (std::uint16_t index = 0; index < 48; ++index)
      stripe->shards.push_back({.index = index, .holder = *dealt[index]});
    stripes.push_back(std::move(stripe));
  }
  const std::function<bool(const ServerId&)> everyone = [](const ServerId&) { return true; };
  for (auto _ : state) benchmark::DoNotOptimize(judge_all(stripes, ServerId{}, everyone, 16));
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(report);

}  // namespace
}  // namespace spatter
