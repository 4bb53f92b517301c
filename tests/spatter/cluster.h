// Several servers in one simulated world: real calls, shard stores and stripe tables over virtual
// wires; only the members list and the owner's packs are stand-ins.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "crypto/volume_keys.h"
#include "serverhalf/service.h"
#include "sim/machine.h"
#include "spatter/keeper.h"
#include "spatter/reader.h"
#include "spatter/recover.h"
#include "spatter/upkeep.h"
#include "spatter/writer.h"

namespace spatter {

using namespace std::chrono_literals;

/// Everybody knows everybody; up is what the own Rpc sees.
class TestMembers final : public Members {
 public:
  explicit TestMembers(Member own) : own_(std::move(own)) {}
  Member own() const override { return own_; }
  std::vector<Member> others() const override {
    std::vector<Member> result;
    for (const auto& [id, member] : others_) result.push_back(member);
    return result;
  }
  std::vector<Member> all() const override {
    auto result = others();
    result.push_back(own_);
    std::sort(result.begin(), result.end(),
              [](const Member& a, const Member& b) { return a.id < b.id; });
    return result;
  }
  std::optional<Member> find(const ServerId& id) const override {
    if (id == own_.id) return own_;
    const auto at = others_.find(id);
    if (at == others_.end()) return std::nullopt;
    return at->second;
  }
  std::optional<PersonId> person_of(const ServerId& id) const override {
    const auto member = find(id);
    return member ? std::optional(member->person) : std::nullopt;
  }
  bool is_up(const ServerId& id) const override {
    const auto member = find(id);
    return member && member->up;
  }
  Subscription subscribe(std::function<void()> changed) override {
    changed_[++last_] = std::move(changed);
    return last_;
  }
  void unsubscribe(Subscription id) override { changed_.erase(id); }
  void publish_own(std::vector<Address>, std::uint64_t, std::uint64_t) override {}

  void add(Member member) {
    others_[member.id] = std::move(member);
    tell();
  }
  void set_up(const ServerId& id, bool up, TimePoint now) {
    const auto at = others_.find(id);
    if (at == others_.end() || at->second.up == up) return;
    at->second.up = up;
    at->second.since = now;
    tell();
  }
  void set_free(const ServerId& id, std::uint64_t bytes) {
    if (id == own_.id) own_.free_bytes = bytes;
    else if (const auto at = others_.find(id); at != others_.end()) at->second.free_bytes = bytes;
    tell();
  }
  /// As after a restart of this server: somebody who is down is so since now.
  void forget_since(const ServerId& id, TimePoint now) {
    if (const auto at = others_.find(id); at != others_.end() && !at->second.up) at->second.since = now;
  }

 private:
  void tell() {
    const auto calls = changed_;
    for (const auto& [id, call] : calls) call();
  }
  Member own_;
  std::map<ServerId, Member> others_;
  std::map<Subscription, std::function<void()>> changed_;
  Subscription last_ = 0;
};

/// Packs of random bytes in memory.
class TestPacks final : public PackStore {
 public:
  explicit TestPacks(std::uint64_t seed) : random_(seed) {}

  void set_remote(RemotePacks* remote) override { remote_ = remote; }
  void set_target_bytes(std::uint64_t bytes) override { target_ = bytes; }
  std::uint64_t target_bytes() const override { return target_; }
  void set_limit_bytes(std::uint64_t) override {}
  std::vector<PackInfo> list() const override {
    std::vector<PackInfo> result;
    for (const auto& [sequence, pack] : packs_) result.push_back(pack.info);
    return result;
  }
  std::optional<PackInfo> find(const PackId& id) const override {
    for (const auto& [sequence, pack] : packs_)
      if (pack.info.id == id) return pack.info;
    return std::nullopt;
  }
  PackPosition end() const override {
    if (packs_.empty()) return {};
    const auto& info = packs_.rbegin()->second.info;
    return {info.sequence, info.id, info.length};
  }
  std::uint64_t used_bytes() const override { return 0; }
  std::uint64_t limit_bytes() const override { return ~0ull; }
  Task<Result<Buffer>> read(PackId id, std::uint64_t offset, std::uint64_t length,
                            ReadFrom from) override {
    for (const auto& [sequence, pack] : packs_) {
      if (pack.info.id != id) continue;
      if (pack.info.local && from != ReadFrom::network)
        co_return Buffer::copy_of(ByteView(pack.bytes).subspan(offset, length));
      co_return co_await remote_->read(id, offset, length);
    }
    co_return fail(Errc::not_found, "no pack {}", id);
  }
  std::optional<Buffer> newest(const PackId&, std::uint64_t, std::uint64_t) const override {
    return std::nullopt;
  }
  Task<Result<PackPosition>> cut() override {
    auto& pack = packs_.rbegin()->second;
    const auto rest = pack.info.length % pack_align_bytes;
    if (rest) append(pack_align_bytes - rest);
    co_return end();
  }
  Task<Result<PackPosition>> seal() override {
    seal_now();
    co_return end();
  }
  Task<void> forget_cached(PackId) override { co_return; }
  Task<Result<void>> drop_local(PackId id) override {
    for (auto& [sequence, pack] : packs_)
      if (pack.info.id == id) pack.info.local = false;
    co_return Result<void>{};
  }
  Task<Result<void>> fetch_local(PackId) override { co_return Result<void>{}; }
  Task<Result<void>> make_whole(PackId) override { co_return Result<void>{}; }

  /// More bytes in the open pack (a new one if there is none).
  PackPosition append(std::uint64_t bytes) {
    if (packs_.empty() || packs_.rbegin()->second.info.sealed) {
      Pack fresh;
      fresh.info.id = random_.id<PackId>();
      fresh.info.sequence = packs_.empty() ? 1 : packs_.rbegin()->first + 1;
      packs_[fresh.info.sequence] = std::move(fresh);
    }
    auto& pack = packs_.rbegin()->second;
    const auto before = pack.bytes.size();
    pack.bytes.resize(before + bytes);
    random_.fill(MutableBytes(pack.bytes).subspan(before));
    pack.info.length = pack.bytes.size();
    if (on_progress) on_progress();
    return end();
  }
  PackPosition seal_now() {
    packs_.rbegin()->second.info.sealed = true;
    const auto position = end();
    if (on_sealed) on_sealed(position.pack);
    return position;
  }
  PackPosition add_sealed(std::uint64_t bytes) {
    append(bytes);
    return seal_now();
  }
  void remove(const PackId& id) {
    std::erase_if(packs_, [&](const auto& entry) { return entry.second.info.id == id; });
    if (on_removed) on_removed(id);
  }
  const Bytes& bytes(const PackId& id) const {
    for (const auto& [sequence, pack] : packs_)
      if (pack.info.id == id) return pack.bytes;
    throw std::runtime_error("no such pack");
  }

 private:
  struct Pack {
    PackInfo info;
    Bytes bytes;
  };
  SeededRandom random_;
  std::map<std::uint64_t, Pack> packs_;
  std::uint64_t target_ = 4 << 20;
  RemotePacks* remote_ = nullptr;
};

class Cluster {
 public:
  struct Server {
    Server(Cluster& cluster, unsigned number, std::optional<PersonSecret> secret)
        : person(secret ? *secret : PersonSecret::generate(cluster.world.random())),
          machine(cluster.world, cluster.network, number, std::uint64_t{1} << 40),
          identity(make_identity({}, person.signing_key(),
                                 SigningKey::generate(machine.runtime().entropy()), 0)),
          transport(machine.make_transport(to_bytes(identity.server_key.public_key()))),
          rpc(std::make_unique<Rpc>(runtime(), transport, cluster.network_id)) {}
    Runtime& runtime() { return machine.runtime(); }
    SpatterContext context() { return {runtime(), *rpc, *members, *store, identity, *table}; }
    const ServerId& id() const { return identity.server; }

    PersonSecret person;
    sim::Machine machine;
    Identity identity;
    sim::SimTransport& transport;
    std::unique_ptr<Rpc> rpc;
    std::unique_ptr<TestMembers> members;
    std::unique_ptr<ShardStore> store;
    std::unique_ptr<StripeTable> table;
    bool running = true;
  };

  explicit Cluster(std::uint64_t seed = 1) : world(seed) {
    network_id.bytes.fill(9);
  }
  ~Cluster() {
    for (auto& server : servers)
      if (server->running) stop(*server);
  }

  template <class T>
  T wait(Task<T> task, Duration limit = 1h) {
    auto result = world.wait_for(std::move(task), limit);
    if (!result) throw std::runtime_error("it did not end in time");
    return std::move(*result);
  }
  void wait(Task<void> task, Duration limit = 1h) {
    if (!world.wait_for(std::move(task), limit)) throw std::runtime_error("it did not end in time");
  }

  /// One more server that everybody knows, and knows everybody, at once.
  Server& add(std::optional<PersonSecret> secret = {}, std::uint64_t budget = 64ull << 30) {
    const auto number = static_cast<unsigned>(servers.size());
    auto& server = *servers.emplace_back(std::make_unique<Server>(*this, number, secret));
    const auto address = server.rpc->listen({"0.0.0.0", 4040}).value();
    Member self;
    self.id = server.id();
    self.person = server.identity.person;
    self.key = to_bytes(server.identity.server_key.public_key());
    self.addresses = {{server.machine.host(), address.port}};
    self.capacity_bytes = budget;
    self.free_bytes = budget;
    self.up = true;
    server.members = std::make_unique<TestMembers>(self);
    ShardStoreOptions options;
    options.budget_bytes = budget;
    server.store = wait(ShardStore::open(server.runtime(), server.identity.server_key, options)).value();
    static_cast<void>(server.runtime().disk().make_directories("user"));
    server.table = wait(StripeTable::open(server.runtime(), "user/stripes.db")).value();
    auto* members = server.members.get();
    serve_shards(*server.rpc, *server.store,
                 [members](ServerId id) { return members->person_of(id); });
    server.rpc->on_reachability = [members, &server](ServerId id, bool up) {
      members->set_up(id, up, server.runtime().now());
    };
    for (auto& other : servers) {
      if (other.get() == &server) continue;
      Member known = other->members->own();
      known.up = false;
      server.members->add(known);
      server.rpc->set_addresses(other->id(), known.addresses);
      if (!other->running) continue;
      self.up = false;
      other->members->add(self);
      other->rpc->set_addresses(server.id(), self.addresses);
    }
    settle();
    return server;
  }
  /// Runs until every running server sees every other.
  void settle() {
    const bool all_up = world.run_until(
        [&] {
          for (auto& a : servers)
            for (auto& b : servers)
              if (a != b && a->running && b->running && !a->members->is_up(b->id())) return false;
          return true;
        },
        1min);
    ASSERT_TRUE(all_up);
  }
  void stop(Server& server) {
    wait(server.rpc->stop());
    wait(server.transport.stop());
    if (server.store) wait(server.store->stop());
    if (server.table) wait(server.table->close());
    server.running = false;
  }
  /// The process ends; the others notice at once.
  void kill(Server& server) {
    stop(server);
    world.run_until(
        [&] {
          return std::none_of(servers.begin(), servers.end(), [&](const auto& other) {
            return other->running && other->members->is_up(server.id());
          });
        },
        1min);
  }

  sim::World world;
  sim::Network network{world};
  NetworkId network_id;
  std::vector<std::unique_ptr<Server>> servers;
};

/// The owner's side: packs, reader, and a keeper or a bare writer.
class Owner {
 public:
  explicit Owner(Cluster& cluster, Cluster::Server& server, KeeperOptions options = {})
      : cluster(cluster),
        server(server),
        keys(VolumeKeys::derive(server.person, volume_id())),
        reader(server.context()),
        keeper(std::make_unique<Keeper>(server.context(), owned(), packs, reader, options)) {
    packs.set_remote(&reader);
  }
  ~Owner() {
    if (!cluster.servers.empty() && server.running) {
      cluster.wait(keeper->stop());
      cluster.wait(reader.stop());
    }
  }
  static VolumeId volume_id() {
    VolumeId id;
    id.bytes.fill(7);
    return id;
  }
  OwnedVolume owned() const { return {volume_id(), 1, keys.labels}; }
  void expect_reads_back(const PackId& pack) {
    const auto& expected = packs.bytes(pack);
    auto bytes = cluster.wait(reader.read(pack, 0, expected.size()));
    ASSERT_TRUE(bytes.has_value()) << bytes.error().message;
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes->view().begin()));
  }
  SafetyReport report() { return keeper->report(); }

  Cluster& cluster;
  Cluster::Server& server;
  VolumeKeys keys;
  TestPacks packs{5};
  StripeReader reader;
  std::unique_ptr<Keeper> keeper;
};

}  // namespace spatter
