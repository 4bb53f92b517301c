// A volume on a disk in memory, and what tests do with it again and again.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "../base/temporary_folder.h"
#include "base/memory_disk.h"
#include "base/real_runtime.h"
#include "userhalf/volume.h"

namespace spatter {

/// A real runtime whose disk is a MemoryDisk that can be exchanged, as after a power failure.
class DiskRuntime final : public Runtime {
 public:
  explicit DiskRuntime(std::unique_ptr<MemoryDisk> disk)
      : real_(std::move(RealRuntime::open({.root = folder_.path(),
                                           .log_sink = [](LogLevel, std::string_view) {},
                                           .blocking_threads = 3})
                            .value())),
        disk_(std::move(disk)) {}

  template <class T>
  T wait_for(Task<T> task) {
    return real_->wait_for(std::move(task));
  }
  /// Runs the executor until `done()` is true.
  void run_until(const std::function<bool()>& done) {
    auto guard = asio::make_work_guard(real_->context());
    real_->context().restart();
    while (!done()) real_->context().run_one();
  }
  MemoryDisk& memory() { return *disk_; }
  std::unique_ptr<MemoryDisk> exchange(std::unique_ptr<MemoryDisk> disk) {
    return std::exchange(disk_, std::move(disk));
  }

  asio::any_io_executor executor() override { return real_->executor(); }
  TimePoint now() const override { return real_->now(); }
  WallMs wall_ms() const override { return 1'700'000'000'000; }
  Task<void> sleep_until(TimePoint when) override { return real_->sleep_until(when); }
  Random& entropy() override { return random_; }
  Random& chance() override { return random_; }
  Disk& disk() override { return *disk_; }
  Log& log() override { return real_->log(); }
  unsigned blocking_threads() const override { return real_->blocking_threads(); }
  Task<void> run_blocking(std::function<void()> work) override {
    return real_->run_blocking(std::move(work));
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<RealRuntime> real_;
  std::unique_ptr<MemoryDisk> disk_;
  SeededRandom random_{11};
};

/// The network, as a copy of pack files.
class CopiedPacks final : public RemotePacks {
 public:
  Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) override {
    ++reads;
    bytes_read += length;
    auto found = packs.find(pack);
    if (found == packs.end()) co_return fail(Errc::unavailable, "pack {} is nowhere", pack);
    if (offset + length > found->second.size())
      co_return fail(Errc::unavailable, "pack {} ends at {}", pack, found->second.size());
    co_return Buffer::copy_of(ByteView(found->second).subspan(offset, length));
  }
  std::map<PackId, Bytes> packs;
  unsigned reads = 0;
  std::uint64_t bytes_read = 0;
};

inline Buffer random_bytes(std::size_t size, std::uint64_t seed) {
  Buffer bytes = Buffer::allocate(size);
  SeededRandom(seed).fill(bytes.mutable_view());
  return bytes;
}
inline Buffer text_bytes(std::size_t size, std::uint64_t seed) {
  static const char* words[] = {"the ", "pack ", "chunk ", "of ", "spatter ", "holder ", "and "};
  SeededRandom random(seed);
  std::string text;
  while (text.size() < size) text += words[random.below(7)];
  return Buffer::copy_of(as_bytes(text).first(size));
}

/// An open volume with its database, on the disk of `runtime`.
struct OpenVolume {
  std::unique_ptr<Database> database;
  std::unique_ptr<Volume> volume;
};

inline VolumeKeys test_keys() {
  static const PersonSecret secret = [] {
    SeededRandom random(3);
    return PersonSecret::generate(random);
  }();
  VolumeId id;
  id.bytes[0] = 9;
  return VolumeKeys::derive(secret, id);
}
inline VolumeId test_volume_id() {
  VolumeId id;
  id.bytes[0] = 9;
  return id;
}

class VolumeTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { close(); }

  template <class T>
  T run(Task<T> task) {
    return runtime.wait_for(std::move(task));
  }
  /// The value, or the test ends with the error's text.
  template <class T>
  T must(Task<Result<T>> task) {
    auto result = run(std::move(task));
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
  }
  template <class T>
  Errc error_of(Task<Result<T>> task) {
    auto result = run(std::move(task));
    last_message = result ? "" : result.error().message;
    return result ? Errc::ok : result.error().code;
  }

  void open() {
    (void)runtime.disk().make_directories("user");
    (void)runtime.disk().sync_directory("");
    opened.database = must(Database::open(runtime, "user/index.db", volume_migrations()));
    options.volume = test_volume_id();
    opened.volume = must(Volume::open(runtime, *opened.database, test_keys(), options));
    opened.volume->packs().set_remote(&remote);
  }
  void close() {
    if (opened.volume) run(opened.volume->stop());
    opened.volume.reset();
    if (opened.database) run(opened.database->close());
    opened.database.reset();
  }
  void reopen() {
    close();
    open();
  }
  Volume& volume() { return *opened.volume; }

  PackPosition put(std::string path, Buffer bytes, std::size_t step = 1 << 20) {
    auto writer = must(volume().write_file(std::move(path), Attributes{}));
    for (std::size_t at = 0; at < bytes.size(); at += step)
      must(writer->write(bytes.slice(at, std::min(step, bytes.size() - at))));
    return must(writer->commit());
  }
  Bytes get(std::string path, ReadFrom from = ReadFrom::anywhere) {
    auto reader = must(volume().read_file(std::move(path), from));
    Bytes all;
    while (true) {
      Buffer piece = must(reader->read(all.size(), 1 << 20));
      if (piece.empty()) return all;
      all.insert(all.end(), piece.view().begin(), piece.view().end());
    }
  }
  std::vector<std::string> names(std::string path) {
    std::vector<std::string> result;
    for (auto& entry : must(volume().list(std::move(path)))) result.push_back(entry.name);
    return result;
  }
  std::vector<std::string> problems(bool deep = true) {
    std::vector<std::string> result;
    for (auto& finding : must(volume().check(deep))) result.push_back(finding.what);
    return result;
  }
  /// As if every durable byte had been carried into the network.
  void copy_packs() {
    for (const PackInfo& pack : volume().packs().list()) {
      if (!pack.local) continue;
      Buffer bytes = must(volume().packs().read(pack.id, 0, pack.length, ReadFrom::local));
      remote.packs[pack.id] = to_bytes(bytes);
    }
  }
  std::vector<RestorePack> packs_for_restore() {
    std::vector<RestorePack> packs;
    for (const PackInfo& pack : volume().packs().list())
      packs.push_back({pack.id, pack.sequence, pack.length, pack.sealed, pack.has_log(),
                       pack.has_snapshot()});
    return packs;
  }

  DiskRuntime runtime{std::make_unique<MemoryDisk>()};
  VolumeOptions options;
  CopiedPacks remote;
  OpenVolume opened;
  std::string last_message;
};

}  // namespace spatter
