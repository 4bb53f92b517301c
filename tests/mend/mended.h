// Servers with menders and auditors in one simulated world; the first is the owner, the others hold.
#pragma once

#include "cluster.h"
#include "mend/auditor.h"
#include "mend/mender.h"
#include "mend/owner_lists.h"
#include "net/methods.h"

namespace spatter {

struct Mended : Cluster {
  explicit Mended(unsigned others, MendOptions options = {}, std::uint64_t seed = 1) : Cluster(seed), options(options) {
    if (std::getenv("SPATTER_TEST_LOG")) world.set_print([](std::string_view line) { fmt::print("{}\n", line); });
    for (unsigned i = 0; i <= others; ++i) join();
    return_owner();
  }
  ~Mended() {
    while (!auditors.empty()) stop_auditor(*auditors.begin()->first);
    leave_owner();
    for (auto& [server, mender] : menders) wait(mender->stop());
  }

  Server& join(std::optional<PersonSecret> person = {}) {
    auto& server = add(std::move(person));
    static_cast<void>(server.runtime().disk().make_directories("network"));
    start_mender(server);
    return server;
  }
  void start_mender(Server& server) {
    auto mender = std::make_unique<Mender>(
        Mender::Parts{server.runtime(), *server.rpc, *server.members, *server.store, server.identity,
                      [this] { return heavy_clock += std::chrono::milliseconds(1); },  // each heavy thing takes 1 ms
                      [this, &server](Duration used) { heavy[&server] += used; }},
        options);
    if (&server == servers[0].get())
      mender->on_told_owner = [this](wire::HolderChain chain) { if (lists) lists->told(std::move(chain)); };
    ASSERT_TRUE(wait(mender->start()));
    menders[&server] = std::move(mender);
  }
  /// Audits everywhere from now on, in epochs of an hour of the world's time.
  void start_auditors() {
    for (auto& [server, mender] : menders) {
      Auditor::Parts parts{server->runtime(), *server->rpc, *server->members, *server->store, server->identity,
                           *server->table, *mender, [this] { return epoch(); },
                           [this, server] { return server->runtime().now() + (1h - world.now().time_since_epoch() % 1h); },
                           [this, server](StripeId stripe, std::uint16_t index, ServerId holder) {
                             own_failed.push_back({stripe, index, holder});
                             if (owner && server == servers[0].get()) owner->keeper->shard_failed(stripe, index, holder);
                           }};
      auditors[server] = std::make_unique<Auditor>(std::move(parts));
      auditors[server]->start();
    }
  }
  std::uint64_t epoch() const { return static_cast<std::uint64_t>(world.now().time_since_epoch() / 1h); }
  void stop_auditor(Server& server) {
    const auto at = auditors.find(&server);
    if (at == auditors.end()) return;
    wait(at->second->stop());
    auditors.erase(at);
  }
  AuditCounts audited() const {
    AuditCounts sum;
    for (const auto& [server, auditor] : auditors) sum += auditor->summary().all;
    return sum;
  }
  /// The owner's keeper and what goes with it.
  void return_owner() {
    auto& server = *servers[0];
    KeeperOptions keeping;
    keeping.grace = options.grace;
    owner = std::make_unique<Owner>(*this, server, keeping);
    owner->keeper->start();
    OwnerListOptions telling;
    lists = std::make_unique<OwnerLists>(
        OwnerLists::Parts{server.runtime(), *server.rpc, *server.members, server.identity, *server.table, *menders.at(&server)},
        telling);
    lists->start();
  }
  void leave_owner() {
    if (!lists) return;
    wait(lists->stop());
    lists.reset();
    owner.reset();
  }
  void kill_one(Server& server) {
    stop_auditor(server);
    wait(menders.at(&server)->stop());
    menders.erase(&server);
    kill(server);
  }
  void kill_owner() {
    leave_owner();
    kill_one(*servers[0]);
  }
  /// Its connections end and none come about, until bring_back.
  void cut_off(Server& server) {
    for (auto& other : servers)
      if (other.get() != &server && other->running) {
        network.cut_link(server.machine.id(), other->machine.id());
        network.cut_link(other->machine.id(), server.machine.id());
      }
    world.run_until([&] {
      return std::ranges::none_of(servers, [&](const auto& other) {
        return other->running && other.get() != &server && other->members->is_up(server.id());
      });
    }, 5min);
  }
  void bring_back(Server& server) {
    for (auto& other : servers)
      if (other.get() != &server) {
        network.mend_link(server.machine.id(), other->machine.id());
        network.mend_link(other->machine.id(), server.machine.id());
      }
  }
  /// Everything written is full, and its holders know each other.
  void settle_written() {
    wait(owner->keeper->wait_idle(), 10min);
    ASSERT_TRUE(world.run_until([&] { return lists->waiting() == 0; }, 10min));
  }
  bool run_until(std::function<bool()> done, Duration limit) { return world.run_until(std::move(done), limit); }
  /// Distinct shards of a stripe that running servers have whole.
  std::set<unsigned> standing(const StripeId& stripe) {
    std::set<unsigned> found;
    for (auto& server : servers) {
      if (!server->running) continue;
      const auto kept = wait(server->store->kept_stripe(stripe));
      if (kept && *kept)
        for (const auto& shard : (*kept)->shards)
          if (!shard.lost) found.insert(shard.index);
    }
    return found;
  }
  bool until_standing(const StripeId& stripe, std::size_t shards, Duration limit) {
    for (Duration passed{}; standing(stripe).size() != shards; passed += 5s) {
      if (passed > limit) return false;
      world.run_for(5s);
    }
    return true;
  }
  std::uint64_t sum(std::uint64_t MendReport::*figure) {
    std::uint64_t total = 0;
    for (auto& [server, mender] : menders) total += mender->report().*figure;
    return total;
  }
  StripeId only_stripe() {
    const auto all = servers[0]->table->all();
    EXPECT_EQ(all.size(), 1u);
    return all.front()->id;
  }

  MendOptions options;
  std::map<Server*, std::unique_ptr<Mender>> menders;
  Duration heavy_clock{0};
  std::map<Server*, Duration> heavy;  ///< what hashing and coding took, as they told
  std::map<Server*, std::unique_ptr<Auditor>> auditors;
  std::vector<std::tuple<StripeId, std::uint16_t, ServerId>> own_failed;
  std::unique_ptr<Owner> owner;
  std::unique_ptr<OwnerLists> lists;
};

inline MendOptions quick() {
  MendOptions options;
  options.grace = 10min;
  options.absent_after = 40min;
  options.trial = 1h;
  return options;
}

}  // namespace spatter
