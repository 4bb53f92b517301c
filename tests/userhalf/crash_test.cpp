// Power fails at some moment while files are written, renamed and removed. Aim: whatever was
// acknowledged is there afterwards, whole, and the index is sound. Method: several writers run on a
// MemoryDisk; after a drawn number of executor steps the disk crashes, tearing what was not synced.
#include "fixture.h"

namespace spatter {
namespace {

struct Progress {
  std::map<std::string, std::uint64_t> acknowledged;  // name: seed of its content
  std::map<std::string, std::uint64_t> attempted;     // being written now
  std::set<std::string> removed;                      // acknowledged as removed
  std::set<std::string> removing;
  unsigned running = 0;
};

Buffer content(std::uint64_t seed) {
  static const std::size_t sizes[] = {0, 10, 5000, 16384, 200000, 300000, 1500000};
  return random_bytes(sizes[seed % 7], seed);
}

Task<void> write_files(Volume& volume, Progress& progress, unsigned writer, unsigned files) {
  for (unsigned i = 0; i < files; ++i) {
    const std::string name = fmt::format("w{}-{}", writer, i % 5);
    const std::uint64_t seed = writer * 1000 + i;
    progress.attempted[name] = seed;
    Buffer bytes = content(seed);
    auto file = co_await volume.write_file(name, {});
    if (!file) break;
    Result<void> written;
    for (std::size_t at = 0; at < bytes.size() && written; at += 100000)
      written = co_await (*file)->write(bytes.slice(at, std::min<std::size_t>(100000, bytes.size() - at)));
    if (!written) break;
    auto done = co_await (*file)->commit({.cut = i % 3 == 0});
    if (!done) break;
    progress.acknowledged[name] = seed;
    progress.removed.erase(name);
    progress.attempted.erase(name);
    if (i % 4 == 3) {
      progress.removing.insert(name);
      if (!co_await volume.remove(name)) break;
      progress.removing.erase(name);
      progress.acknowledged.erase(name);
      progress.removed.insert(name);
    }
    if (i % 7 == 6 && !co_await volume.snapshot()) break;
  }
  --progress.running;
}

class CrashTest : public VolumeTest, public testing::WithParamInterface<int> {};

TEST_P(CrashTest, AcknowledgedFilesSurvive) {
  SeededRandom random(static_cast<std::uint64_t>(GetParam()));
  Progress progress;
  for (int life = 0; life < 3; ++life) {
    progress.attempted.clear();
    progress.removing.clear();
    progress.running = 3;
    for (unsigned writer = 0; writer < 3; ++writer)
      asio::co_spawn(runtime.executor(), write_files(volume(), progress, writer + 10 * life, 30),
                     asio::detached);
    std::uint64_t steps = random.below(4000);
    runtime.run_until([&] { return progress.running == 0 || steps-- == 0; });
    auto after = runtime.memory().crash(random);
    runtime.run_until([&] { return progress.running == 0; });
    close();
    runtime.exchange(std::move(after));
    open();
    for (auto& [name, seed] : progress.acknowledged) {
      auto found = run(volume().stat(name));
      if (!found) {
        EXPECT_TRUE(progress.removing.contains(name)) << name << ": " << found.error().message;
        continue;
      }
      const Bytes now = get(name);
      const bool newer = progress.attempted.contains(name) &&
                         now == to_bytes(content(progress.attempted[name]));
      EXPECT_TRUE(now == to_bytes(content(seed)) || newer) << name;
    }
    for (const std::string& name : progress.removed)
      if (!progress.attempted.contains(name))
        EXPECT_EQ(error_of(volume().stat(name)), Errc::not_found) << name;
    EXPECT_THAT(problems(), testing::IsEmpty());
    // What is acknowledged now is what is there now.
    progress.acknowledged.clear();
    progress.removed.clear();
  }
  // The packs alone tell the same story.
  copy_packs();
  std::map<std::string, Bytes> before;
  for (const std::string& name : names("")) before[name] = get(name);
  auto packs = packs_for_restore();
  close();
  runtime.exchange(std::make_unique<MemoryDisk>());
  ASSERT_TRUE(runtime.disk().make_directories("user").has_value());
  auto database = must(Database::open(runtime, "user/index.db", volume_migrations()));
  must(Volume::restore(runtime, *database, test_keys(), test_volume_id(), packs, remote));
  run(database->close());
  open();
  std::map<std::string, Bytes> restored;
  for (const std::string& name : names("")) restored[name] = get(name);
  EXPECT_EQ(restored, before);
  EXPECT_THAT(problems(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, testing::Range(0, 10));

}  // namespace
}  // namespace spatter
