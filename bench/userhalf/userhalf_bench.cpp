// The user half on the real disk (in TMPDIR): cutting, writing, small commits, reading.
#include <benchmark/benchmark.h>

#include "../../tests/base/temporary_folder.h"
#include "base/real_runtime.h"
#include "base/sync.h"
#include "userhalf/chunker.h"
#include "userhalf/volume.h"

namespace spatter {
namespace {

Buffer noise(std::size_t size, std::uint64_t seed) {
  Buffer bytes = Buffer::allocate(size);
  SeededRandom(seed).fill(bytes.mutable_view());
  return bytes;
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct Bench {
  explicit Bench(std::uint64_t target_bytes = 64 << 20)
      : runtime(must(RealRuntime::open(
            {.root = folder.path(), .log_sink = [](LogLevel, std::string_view) {}}))) {
    must(runtime->disk().make_directories("user"));
    database = must(runtime->wait_for(Database::open(*runtime, "user/index.db", volume_migrations())));
    VolumeOptions options;
    options.volume.bytes[0] = 1;
    options.packs.target_bytes = target_bytes;
    SeededRandom random(1);
    auto keys = VolumeKeys::derive(PersonSecret::generate(random), options.volume);
    volume = must(runtime->wait_for(Volume::open(*runtime, *database, std::move(keys), options)));
  }
  ~Bench() {
    runtime->wait_for(volume->stop());
    volume.reset();
    runtime->wait_for(database->close());
  }
  TemporaryFolder folder;
  std::unique_ptr<RealRuntime> runtime;
  std::unique_ptr<Database> database;
  std::unique_ptr<Volume> volume;
};

void chunker(benchmark::State& state) {
  Key key;
  GearTable gear(key);
  Buffer bytes = noise(64 << 20, 1);
  for (auto _ : state) {
    Chunker chunker(gear);
    std::size_t at = 0;
    while (std::size_t length = chunker.next(bytes.view().subspan(at), true)) at += length;
    benchmark::DoNotOptimize(at);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(chunker)->Unit(benchmark::kMillisecond);

Task<void> write_one(Volume& volume, std::string path, std::vector<Buffer> pieces) {
  auto writer = must(co_await volume.write_file(std::move(path), {}));
  for (Buffer& piece : pieces) must(co_await writer->write(std::move(piece)));
  must(co_await writer->commit());
}

void write_large(benchmark::State& state) {
  Bench bench;
  constexpr std::size_t pieces = 128;
  std::uint64_t seed = 1;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Buffer> bytes;
    for (std::size_t i = 0; i < pieces; ++i) bytes.push_back(noise(1 << 20, ++seed));
    state.ResumeTiming();
    bench.runtime->wait_for(write_one(*bench.volume, "file", std::move(bytes)));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * pieces << 20));
}
BENCHMARK(write_large)->Unit(benchmark::kMillisecond)->UseRealTime();

Task<void> put_many(Volume& volume, unsigned from, unsigned step, unsigned count,
                    std::uint64_t round, unsigned& running, Event& done) {
  for (unsigned i = from; i < count; i += step)
    must(co_await volume.put_small(fmt::format("f{}", i), {}, noise(16384, round * count + i),
                                   {.cut = true}));
  if (--running == 0) done.set();
}

Task<void> put_at_once(Runtime& runtime, Volume& volume, unsigned at_once, unsigned count,
                       std::uint64_t round) {
  unsigned running = at_once;
  Event done(runtime.executor());
  for (unsigned i = 0; i < at_once; ++i)
    asio::co_spawn(runtime.executor(), put_many(volume, i, at_once, count, round, running, done),
                   asio::detached);
  co_await done.wait();
}

/// Durable puts of 16 KiB; the argument is how many are under way at a time.
void small_commits(benchmark::State& state) {
  Bench bench;
  constexpr unsigned count = 64;
  std::uint64_t round = 0;
  for (auto _ : state)
    bench.runtime->wait_for(put_at_once(*bench.runtime, *bench.volume,
                                        static_cast<unsigned>(state.range(0)), count, ++round));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}
BENCHMARK(small_commits)->Arg(1)->Arg(16)->Unit(benchmark::kMillisecond)->UseRealTime();

Task<std::uint64_t> read_all(Volume& volume, std::string path) {
  auto reader = must(co_await volume.read_file(std::move(path)));
  std::uint64_t at = 0;
  while (true) {
    Buffer bytes = must(co_await reader->read(at, 1 << 20));
    if (bytes.empty()) co_return at;
    at += bytes.size();
  }
}

void read_large(benchmark::State& state) {
  Bench bench;
  std::vector<Buffer> bytes;
  for (std::uint64_t i = 0; i < 128; ++i) bytes.push_back(noise(1 << 20, i));
  bench.runtime->wait_for(write_one(*bench.volume, "file", std::move(bytes)));
  for (auto _ : state) benchmark::DoNotOptimize(bench.runtime->wait_for(read_all(*bench.volume, "file")));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * 128 << 20));
}
BENCHMARK(read_large)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace spatter
