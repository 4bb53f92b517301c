// A holder with a real drive in a temporary folder, persons with servers, and stripes of theirs.
// The clock stands still unless a test moves it, and the disk fails where a test wants it to.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "../base/temporary_folder.h"
#include "base/real_runtime.h"
#include "base/sync.h"
#include "crypto/merkle.h"
#include "serverhalf/shard_store.h"
#include "trust/contract.h"

namespace spatter {

/// Passes everything to another disk, unless told otherwise.
class TamperedDisk final : public Disk {
 public:
  explicit TamperedDisk(Disk& real) : real_(real) {}
  std::function<Result<void>(std::string_view what, const std::string& path)> before_write;
  std::optional<DiskSpace> pretended_space;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    if (mode == OpenMode::create || mode == OpenMode::create_new) TRY_VOID(ask("create", path));
    return real_.open(path, mode);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    TRY_VOID(ask("rename", to));
    return real_.rename(from, to);
  }
  Result<void> remove(const std::string& path) override {
    TRY_VOID(ask("remove", path));
    return real_.remove(path);
  }
  Result<void> make_directories(const std::string& path) override {
    return real_.make_directories(path);
  }
  Result<void> sync_directory(const std::string& path) override {
    TRY_VOID(ask("sync_directory", path));
    return real_.sync_directory(path);
  }
  Result<std::vector<DiskEntry>> list(const std::string& path) override { return real_.list(path); }
  Result<DiskEntry> stat(const std::string& path) override { return real_.stat(path); }
  Result<DiskSpace> space() override {
    if (pretended_space) return *pretended_space;
    return real_.space();
  }
  std::string sqlite_vfs() const override { return real_.sqlite_vfs(); }
  std::string sqlite_path(const std::string& path) const override { return real_.sqlite_path(path); }

 private:
  Result<void> ask(std::string_view what, const std::string& path) {
    return before_write ? before_write(what, path) : Result<void>{};
  }
  Disk& real_;
};

class TestRuntime final : public Runtime {
 public:
  /// With `disk`, that one serves in place of the folder.
  explicit TestRuntime(const std::string& root, Disk* disk = nullptr)
      : real_(std::move(RealRuntime::open({.root = root,
                                           .log_sink = [](LogLevel, std::string_view) {},
                                           .blocking_threads = 3}).value())),
        disk_(disk ? *disk : real_->disk()), sleepers_(real_->executor()) {}

  template <class T>
  T wait_for(Task<T> task) { return real_->wait_for(std::move(task)); }
  void advance(Duration by) {
    now_ += by;
    sleepers_.wake_all();
  }
  TamperedDisk& tampered() { return disk_; }

  asio::any_io_executor executor() override { return real_->executor(); }
  TimePoint now() const override { return now_; }
  WallMs wall_ms() const override { return 1'700'000'000'000; }
  Task<void> sleep_until(TimePoint when) override {
    while (now_ < when) co_await sleepers_.wait();
  }
  Random& entropy() override { return random_; }
  Random& chance() override { return random_; }
  Disk& disk() override { return disk_; }
  Log& log() override { return real_->log(); }
  unsigned blocking_threads() const override { return real_->blocking_threads(); }
  Task<void> run_blocking(std::function<void()> work) override {
    return real_->run_blocking(std::move(work));
  }

 private:
  std::unique_ptr<RealRuntime> real_;
  TamperedDisk disk_;
  WaitQueue sleepers_;
  SeededRandom random_{7};
  TimePoint now_{};
};

/// A person with one server.
struct Owner {
  explicit Owner(Random& random)
      : person_key(SigningKey::generate(random)), server_key(SigningKey::generate(random)),
        person(person_id(person_key.public_key())), server(server_id(server_key.public_key())),
        volume(random.id<VolumeId>()) {}
  Asker asker() const { return {server, person}; }

  SigningKey person_key;
  SigningKey server_key;
  PersonId person;
  ServerId server;
  VolumeId volume;
};

/// A stripe whose shards are random bytes; the holder does not know the difference.
struct Stripe {
  wire::Signed descriptor;
  Descriptor facts;
  std::vector<Buffer> shards;
  ShardKey key(unsigned index) const { return {facts.stripe, index}; }
};

struct StripeWish {
  std::uint64_t shard_size = 1000;
  unsigned k = 1;
  std::uint64_t writer_number = 1;
  std::optional<StripeId> id;
};

inline Stripe make_stripe(Random& random, const Owner& owner, StripeWish wish) {
  Stripe stripe;
  wire::StripeDescriptor body;
  body.set_stripe((wish.id ? *wish.id : random.id<StripeId>()).raw());
  body.set_person(owner.person.raw());
  body.set_server_key(owner.server_key.public_key().data(), 32);
  body.set_volume(owner.volume.raw());
  body.set_writer_number(wish.writer_number);
  body.set_k(wish.k);
  body.set_n(3 * wish.k);
  body.set_length(wish.k * wish.shard_size);
  body.set_shard_size(wish.shard_size);
  body.set_label("sealed");
  for (unsigned i = 0; i < 3 * wish.k; ++i) {
    Buffer shard = Buffer::allocate(wish.shard_size);
    random.fill(shard.mutable_view());
    body.mutable_shard_roots()->append(merkle_root(leaf_hashes(shard)).raw());
    stripe.shards.push_back(std::move(shard));
  }
  stripe.descriptor = sign_descriptor(owner.server_key, body);
  stripe.facts = check_descriptor(stripe.descriptor).value();
  return stripe;
}

class HolderTest : public testing::Test {
 protected:
  static constexpr WallMs now_ms = 1'700'000'000'000;

  HolderTest() { open(); }
  void TearDown() override { close(); }

  ShardStoreOptions default_options() const {
    return {.budget_bytes = 256 << 20, .disk_reserve_bytes = 1 << 20};
  }
  Result<void> try_open() {
    auto opened = runtime.wait_for(ShardStore::open(runtime, holder_key, options));
    if (!opened) return std::unexpected(opened.error());
    store = std::move(*opened);
    return {};
  }
  void open() { ASSERT_TRUE(try_open()); }
  void close() {
    if (store) runtime.wait_for(store->stop());
    store.reset();
  }
  void reopen() {
    close();
    open();
  }

  wire::Contract offer(const Owner& owner, const Stripe& stripe, unsigned index,
                       WallMs until = now_ms + contract_term_ms) {
    return offer_contract(owner.server_key, stripe.facts, index, holder, now_ms, until);
  }
  Result<wire::Contract> put(const Owner& owner, const Stripe& stripe, unsigned index) {
    return runtime.wait_for(store->put(owner.asker(), stripe.descriptor, offer(owner, stripe, index),
                                       stripe.shards[index]));
  }
  Result<ShardPart> read(const ShardKey& key, std::uint64_t offset = 0, std::uint64_t length = 0) {
    return runtime.wait_for(store->read(key, offset, length));
  }
  /// Reads and verifies, as a reader would.
  Result<Bytes> read_whole(const Stripe& stripe, unsigned index) {
    TRY(auto part, read(stripe.key(index)));
    EXPECT_TRUE(verify_range(stripe.facts.shard_roots[index], part.shard_size, part.first_leaf,
                             leaf_hashes(part.leaves), part.proof));
    return to_bytes(part.leaves);
  }
  bool holds(const Stripe& stripe, unsigned index) {
    auto bytes = read_whole(stripe, index);
    return bytes && *bytes == to_bytes(stripe.shards[index]);
  }
  bool check_one(const ShardKey& key, bool deep) {
    return runtime.wait_for(store->check({key}, deep)).value().at(0);
  }
  Result<std::uint32_t> release(const Owner& owner, std::vector<ShardKey> keys,
                                std::uint64_t writer_number = 1) {
    return runtime.wait_for(store->release(owner.asker(), std::move(keys), writer_number));
  }
  ShardCheckup fsck(bool deep, bool mend = false) {
    return runtime.wait_for(store->fsck(deep, mend)).value();
  }
  wire::Signed root(const Owner& owner, std::uint64_t number, std::uint64_t version,
                    std::string sealed = "where the snapshot is") {
    wire::RootRecord record;
    record.set_person(owner.person.raw());
    record.set_volume(owner.volume.raw());
    record.set_number(number);
    record.set_version(version);
    record.set_sealed(std::move(sealed));
    return sign_message(owner.person_key, kind::root, record);
  }
  std::string file_of(const ShardKey& key) const {
    return fmt::format("{}/server/shards/{}/{}.{}", folder.path(), key.stripe.hex().substr(0, 2),
                       key.stripe.hex(), key.index);
  }
  /// What the server half really takes on the disk.
  std::uint64_t bytes_on_disk() const {
    std::uint64_t sum = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder.path() + "/server"))
      if (entry.is_regular_file()) sum += entry.file_size();
    return sum;
  }

  SeededRandom random{1};
  TemporaryFolder folder;
  TestRuntime runtime{folder.path()};
  SigningKey holder_key = SigningKey::generate(random);
  ServerId holder = server_id(holder_key.public_key());
  ShardStoreOptions options = default_options();
  std::unique_ptr<ShardStore> store;
  Owner alice{random};
  Owner bob{random};
};

}  // namespace spatter
