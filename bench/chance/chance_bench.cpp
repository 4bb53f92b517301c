// What chance costs: draws made and checked (beside one product of a point as libsodium offers it, the
// yardstick), choices from an output, links of a seed chain.
#include <benchmark/benchmark.h>
#include <sodium.h>

#include "chance/choice.h"
#include "chance/draw.h"
#include "chance/rendezvous.h"
#include "chance/seed_chain.h"

namespace spatter {
namespace {

SigningKey some_key() { return SigningKey::from_seed(Key()); }

void MakeDraw(benchmark::State& state) {
  const SigningKey key = some_key();
  Draw draw;
  for (auto _ : state) {
    ++draw.epoch;
    benchmark::DoNotOptimize(make_draw(key, draw));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(MakeDraw);

void CheckDraw(benchmark::State& state) {
  const SigningKey key = some_key();
  // How often the input must be hashed varies: many inputs give the average.
  std::vector<std::pair<Draw, DrawProof>> draws(64);
  for (std::size_t i = 0; i < draws.size(); ++i) {
    draws[i].first.epoch = i;
    draws[i].second = make_draw(key, draws[i].first).proof;
  }
  std::size_t next = 0;
  for (auto _ : state) {
    const auto& [draw, proof] = draws[next++ % draws.size()];
    if (!check_draw(draw, proof)) state.SkipWithError("refused");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(CheckDraw);

void LibsodiumProduct(benchmark::State& state) {
  if (sodium_init() < 0) state.SkipWithError("libsodium");
  unsigned char point[32], scalar[32], out[32];
  crypto_core_ed25519_random(point);
  crypto_core_ed25519_scalar_random(scalar);
  for (auto _ : state)
    if (crypto_scalarmult_ed25519_noclamp(out, scalar, point) != 0) state.SkipWithError("refused");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(LibsodiumProduct);

void LibsodiumAddition(benchmark::State& state) {
  if (sodium_init() < 0) state.SkipWithError("libsodium");
  unsigned char point[32], out[32];
  crypto_core_ed25519_random(point);
  for (auto _ : state)
    if (crypto_core_ed25519_add(out, point, point) != 0) state.SkipWithError("refused");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(LibsodiumAddition);

void Choose(benchmark::State& state) {
  VrfOutput output{};
  for (auto _ : state) {
    ++output[0];
    benchmark::DoNotOptimize(choose(output, static_cast<std::uint64_t>(state.range(0)), 1000000));
  }
}
BENCHMARK(Choose)->Arg(3)->Arg(100);

void ChooseWeighted(benchmark::State& state) {
  SeededRandom random(1);
  std::vector<WeightedId> candidates(static_cast<std::size_t>(state.range(0)));
  for (WeightedId& one : candidates) one = {random.id<Digest>(), static_cast<std::uint32_t>(1 + random.below(1000))};
  VrfOutput output{};
  for (auto _ : state) {
    ++output[0];
    benchmark::DoNotOptimize(choose_weighted(output, candidates, 3));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(ChooseWeighted)->Arg(1000);

void RendezvousDistance(benchmark::State& state) {
  StripeId stripe;
  for (auto _ : state) {
    ++stripe.bytes[0];
    benchmark::DoNotOptimize(rendezvous_distance(stripe, {}, 1000));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(RendezvousDistance);

void CheckSeedLink(benchmark::State& state) {
  const SigningKey key = some_key();
  const SeedHead root = check_seed_root(make_seed_root(key, {}, {}, 0), {}).value();
  std::vector<Contribution> contributions(20);
  SeededRandom random(2);
  for (Contribution& one : contributions) one.statement = random.id<Digest>();
  const SeedLink link = make_seed_link(key, root, 1, contributions).value();
  for (auto _ : state)
    if (!check_seed_link(root, link)) state.SkipWithError("refused");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(CheckSeedLink);

}  // namespace
}  // namespace spatter
