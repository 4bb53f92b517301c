// How fast a holder takes shards in and serves them, beside what the disk itself does in the same
// run. SPATTER_BENCH_FOLDER names the folder to work in; otherwise it is the temporary one.
//
// The first two take files in by put and, for comparison, do the same writes with nothing but
// write + fsync + rename + fsync of the folder.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "serverhalf/fixture.h"

namespace spatter {
namespace {

struct Holder {
  Holder() {
    if (const char* where = std::getenv("SPATTER_BENCH_FOLDER")) ::setenv("TMPDIR", where, 1);
    folder = std::make_unique<TemporaryFolder>();
    runtime = std::make_unique<TestRuntime>(folder->path());
    store = std::move(runtime->wait_for(ShardStore::open(*runtime, holder_key,
                                                         {.budget_bytes = 8ULL << 30})).value());
  }
  ~Holder() { runtime->wait_for(store->stop()); }

  wire::Contract offer(const Stripe& stripe, unsigned index) const {
    constexpr WallMs now_ms = 1'700'000'000'000;
    return offer_contract(alice.server_key, stripe.facts, index, server_id(holder_key.public_key()),
                          now_ms, now_ms + contract_term_ms);
  }

  SeededRandom random{1};
  SigningKey holder_key = SigningKey::generate(random);
  Owner alice{random};
  std::unique_ptr<TemporaryFolder> folder;
  std::unique_ptr<TestRuntime> runtime;
  std::unique_ptr<ShardStore> store;
};

struct Batch {
  std::vector<Stripe> stripes;
  std::vector<wire::Contract> offers;
  std::vector<ShardKey> keys;
};

Batch make_batch(Holder& holder, std::size_t count, std::uint64_t size) {
  Batch batch;
  for (std::size_t i = 0; i < count; ++i) {
    batch.stripes.push_back(make_stripe(holder.random, holder.alice, {.shard_size = size}));
    batch.offers.push_back(holder.offer(batch.stripes.back(), 0));
    batch.keys.push_back(batch.stripes.back().key(0));
  }
  return batch;
}

Task<void> put_each(Holder& holder, const Batch& batch, std::size_t first, std::size_t step) {
  for (std::size_t i = first; i < batch.stripes.size(); i += step) {
    const auto put = co_await holder.store->put(holder.alice.asker(), batch.stripes[i].descriptor,
                                                batch.offers[i], batch.stripes[i].shards[0]);
    if (!put) std::abort();
  }
}

Task<void> put_all(Holder& holder, const Batch& batch, std::size_t at_once) {
  TaskGroup group(holder.runtime->executor());
  for (std::size_t first = 0; first < at_once; ++first)
    group.spawn(put_each(holder, batch, first, at_once));
  co_await group.drain();
}

void put_shards(benchmark::State& state, std::uint64_t size, std::size_t count) {
  Holder holder;
  const auto at_once = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    const Batch batch = make_batch(holder, count, size);
    state.ResumeTiming();
    holder.runtime->wait_for(put_all(holder, batch, at_once));
    state.PauseTiming();
    if (!holder.runtime->wait_for(holder.store->release(holder.alice.asker(), batch.keys, 1)))
      std::abort();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(count * size));
}

void put_small(benchmark::State& state) { put_shards(state, 16 << 10, 256); }
BENCHMARK(put_small)->Arg(1)->Arg(8)->Arg(32)->UseRealTime()->Unit(benchmark::kMillisecond);

void put_large(benchmark::State& state) { put_shards(state, 4 << 20, 16); }
BENCHMARK(put_large)->Arg(1)->Arg(2)->Arg(4)->UseRealTime()->Unit(benchmark::kMillisecond);

/// What put_large does to the disk, and nothing else.
void plain_large(benchmark::State& state) {
  Holder holder;
  const Batch batch = make_batch(holder, 16, 4 << 20);
  Disk& disk = holder.runtime->disk();
  for (auto _ : state) {
    for (std::size_t i = 0; i < batch.stripes.size(); ++i) {
      auto file = disk.open("plain.tmp", OpenMode::create).value();
      if (!file->write_at(0, batch.stripes[i].shards[0]) || !file->sync()) std::abort();
      if (!disk.rename("plain.tmp", fmt::format("plain{}", i)) || !disk.sync_directory(""))
        std::abort();
    }
    state.PauseTiming();
    for (std::size_t i = 0; i < batch.stripes.size(); ++i)
      if (!disk.remove(fmt::format("plain{}", i))) std::abort();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(state.iterations() * 16 * (4 << 20));
}
BENCHMARK(plain_large)->UseRealTime()->Unit(benchmark::kMillisecond);

/// One fsync after another of one 16 KiB write each: what a lone small put cannot do without.
void plain_small(benchmark::State& state) {
  Holder holder;
  auto file = holder.runtime->disk().open("plain", OpenMode::create).value();
  const Bytes bytes(16 << 10, 1);
  std::uint64_t offset = 0;
  for (auto _ : state) {
    if (!file->write_at(offset, bytes) || !file->sync()) std::abort();
    offset = (offset + bytes.size()) % (64 << 20);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(plain_small)->UseRealTime()->Unit(benchmark::kMillisecond);

void read_range(benchmark::State& state) {
  Holder holder;
  const Batch batch = make_batch(holder, 16, 4 << 20);
  holder.runtime->wait_for(put_all(holder, batch, 2));
  const auto length = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    const ShardKey key = batch.keys[holder.random.below(batch.keys.size())];
    const std::uint64_t offset = holder.random.below((4 << 20) - length + 1);
    if (!holder.runtime->wait_for(holder.store->read(key, offset, length))) std::abort();
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(read_range)->Arg(64 << 10)->Arg(4 << 20)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace spatter
