// How entries get to everybody: new ones are pushed and passed on, and what was missed is asked for, chain by chain.
#include <algorithm>

#include "base/task_groups.h"
#include "ledger_desk_state.h"
#include "net/methods.h"

namespace spatter {
namespace {

constexpr int entries_per_push = 256;
constexpr std::size_t outbox_max = 4096;       ///< for one server; what is lost is synced later
constexpr std::size_t reply_bytes_max = 384 << 10;
constexpr std::uint32_t entries_at_a_time = 512;
constexpr int have_max = 20'000;
constexpr int rounds_max = 4096;               ///< of one sync
constexpr std::size_t asked_at_start = 3;
constexpr auto own_chain_again = std::chrono::seconds(5);

}  // namespace

Result<LedgerDesk::State::Taken> LedgerDesk::State::take_unkept(const wire::CyclesRecord& record, bool from_maker) {
  TRY(auto entry, cycles::check_entry(record, parts.identity.network));
  if (const Entry* known = ledger.find(entry.id)) return Taken{*known, false};
  const auto now = parts.runtime.wall_ms();
  if (from_maker) {
    TRY_VOID(cycles::check_dated(rules, entry.made_ms, now));
  } else if (rules.epoch_of(entry.made_ms) > rules.epoch_of(now) + cycles::clock_epochs_max) {
    return fail(Errc::denied, "an entry of epoch {}, which has not begun", rules.epoch_of(entry.made_ms));
  }
  if (entry.server != parts.identity.server) {
    const auto person = parts.members.once_person_of(entry.server);
    if (!person) return fail(Errc::not_found, "an entry of server {}, which is not known here", entry.server);
    if (*person != entry.person)
      return fail(Errc::denied, "server {} is of person {}, and its entry says {}", entry.server, *person, entry.person);
    if (!makers.take(entry.server, 1, parts.runtime.now()))
      return fail(Errc::busy, "server {} makes too many entries", entry.server);
  } else if (entry.person != parts.identity.person) {
    return fail(Errc::denied, "an entry of this server that says person {}", entry.person);
  }
  TRY(const auto added, ledger.add(entry));
  note(entry);
  if (added.conflict && !forks.contains({entry.server, entry.number}) && entry.server != parts.identity.server)
    tasks.spawn(prove_fork(*added.conflict, entry.id));
  return Taken{std::move(entry), true};
}

Task<Result<LedgerDesk::State::Taken>> LedgerDesk::State::take(wire::CyclesRecord record, bool from_maker) {
  CO_TRY(auto taken, take_unkept(record, from_maker));
  if (taken.fresh) {
    std::vector<cycles::LedgerStore::Kept> kept{{record, taken.entry}};
    CO_TRY_VOID(co_await store->add(std::move(kept)));
  }
  co_return taken;
}

/// Whoever sees two entries with one number tells everybody.
Task<void> LedgerDesk::State::prove_fork(EntryId one, EntryId other) {
  const Entry* entry = ledger.find(other);
  if (!entry || !forks.insert({entry->server, entry->number}).second) co_return;
  // The newer one is being written.
  std::vector<wire::CyclesRecord> records;
  while (records.size() < 2) {
    auto found = co_await store->find({one, other});
    if (!found) co_return;
    records = std::move(*found);
    if (records.size() < 2) co_await parts.runtime.sleep(std::chrono::milliseconds(100));
  }
  auto fork = cycles::make_fork(records[0].entry(), records[1].entry(), parts.identity.network);
  if (!fork) {
    parts.runtime.log().warning("two entries with one number, and no proof: {}", fork.error().message);
    co_return;
  }
  parts.runtime.log().warning("server {} has made two entries with number {}: its person is entitled to nothing for a while",
                              fork->server, fork->number);
  co_await own_known.wait();
  (void)co_await append(std::move(*fork));
}

void LedgerDesk::State::tell(const wire::CyclesRecord& record, std::vector<ServerId> named, std::optional<ServerId> but) {
  auto others = parts.members.connected();
  std::erase_if(others, [&](const Member& one) { return !one.up || one.id == but; });
  auto& chance = parts.runtime.chance();
  for (std::size_t i = others.size(); i > 1; --i) std::swap(others[i - 1], others[chance.next_u64() % i]);
  others.resize(std::min(others.size(), options.passed_on_to));
  std::set<ServerId> targets(named.begin(), named.end());
  for (const auto& one : others) targets.insert(one.id);
  targets.erase(parts.identity.server);
  for (const auto& target : targets) {
    auto& waiting = outbox[target];
    waiting.push_back(record);
    if (waiting.size() > outbox_max) waiting.pop_front();
    if (pushing.insert(target).second) tasks.spawn(push_to(target));
  }
}

Task<void> LedgerDesk::State::push_to(ServerId server) {
  while (!outbox[server].empty()) {
    auto& waiting = outbox[server];
    wire::CyclesPushRequest request;
    while (!waiting.empty() && request.entries_size() < entries_per_push) {
      *request.add_entries() = std::move(waiting.front());
      waiting.pop_front();
    }
    const auto reply = co_await parts.wire.call(
        server, {.method = method::cycles_push, .body = request.SerializeAsString(), .payload = {}});
    if (!reply) break;
  }
  outbox.erase(server);
  pushing.erase(server);
}

Task<Result<RpcReply>> LedgerDesk::State::handle_push(Caller caller, RpcRequest request) {
  if (!parts.members.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  wire::CyclesPushRequest message;
  if (!message.ParseFromString(request.body) || message.entries_size() > entries_per_push)
    co_return fail(Errc::invalid, "a cycles.push request that cannot be read, or has more than {} entries", entries_per_push);
  if (!pushes.take(caller.server, message.entries_size(), parts.runtime.now()))
    co_return fail(Errc::busy, "server {} pushes too many entries", caller.server);
  std::vector<cycles::LedgerStore::Kept> kept;
  for (const auto& record : message.entries()) {
    const bool from_maker = record.entry().key() == std::string(reinterpret_cast<const char*>(caller.key.data()), caller.key.size());
    auto taken = take_unkept(record, from_maker);
    if (!taken) {
      parts.runtime.log().debug("cycles.push of server {}: {}", caller.server, taken.error().message);
      continue;
    }
    if (taken->fresh) kept.push_back({record, std::move(taken->entry)});
  }
  if (!kept.empty()) CO_TRY_VOID(co_await store->add(kept));
  for (const auto& one : kept) tell(one.record, {}, caller.server);
  co_return RpcReply{wire::CyclesPushReply().SerializeAsString(), {}};
}

Task<Result<RpcReply>> LedgerDesk::State::handle_sync(Caller caller, RpcRequest request) {
  if (!parts.members.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  wire::CyclesSyncRequest message;
  if (!message.ParseFromString(request.body) || message.have_size() > have_max)
    co_return fail(Errc::invalid, "a cycles.sync request that cannot be read, or names more than {} chains", have_max);
  if (!syncs.take(caller.server, 1, parts.runtime.now())) co_return fail(Errc::busy, "server {} asks too often", caller.server);
  std::map<ServerId, std::uint64_t> have;
  for (const auto& one : message.have()) {
    CO_TRY(const auto server, ServerId::from(one.server()));
    have[server] = one.number();
  }
  wire::CyclesSyncReply reply;
  std::size_t bytes = 0;
  for (const auto& [server, until] : ledger.whole_until()) {
    const auto at = have.find(server);
    auto from = at == have.end() ? 0 : at->second;
    while (from < until && !reply.more()) {
      CO_TRY(const auto records, co_await store->chain(server, from + 1, entries_at_a_time));
      if (records.empty()) break;
      for (const auto& record : records) {
        if ((bytes += record.ByteSizeLong() + 8) > reply_bytes_max) {
          reply.set_more(true);
          break;
        }
        *reply.add_entries() = record;
      }
      from += records.size();
    }
    if (reply.more()) break;
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

/// How many entries were new. The errors are of the call.
Task<Result<std::size_t>> LedgerDesk::State::sync_with(ServerId server) {
  std::size_t fresh = 0;
  for (int round = 0; round < rounds_max; ++round) {
    wire::CyclesSyncRequest request;
    for (const auto& [chain, until] : ledger.whole_until()) {
      if (request.have_size() == have_max) break;
      auto* have = request.add_have();
      have->set_server(chain.raw());
      have->set_number(until);
    }
    CO_TRY(const auto reply, co_await parts.wire.call(
        server, {.method = method::cycles_sync, .body = request.SerializeAsString(), .payload = {}}));
    wire::CyclesSyncReply message;
    if (!message.ParseFromString(reply.body)) co_return fail(Errc::invalid, "an answer to cycles.sync that cannot be read");
    std::vector<cycles::LedgerStore::Kept> kept;
    for (const auto& record : message.entries()) {
      auto taken = take_unkept(record, false);
      if (taken && taken->fresh) kept.push_back({record, std::move(taken->entry)});
    }
    const auto news = kept.size();
    fresh += news;
    if (!kept.empty()) CO_TRY_VOID(co_await store->add(std::move(kept)));
    if (!message.more() || news == 0) break;
  }
  co_return fresh;
}

/// A drive that was brought back may lack the newest of its own chain; who enters something before he knows that proves
/// himself a cheat.
Task<void> LedgerDesk::State::learn_own_chain() {
  while (!parts.members.others().empty()) {
    auto up = parts.members.connected();
    std::erase_if(up, [](const Member& one) { return !one.up; });
    auto& chance = parts.runtime.chance();
    for (std::size_t i = up.size(); i > 1; --i) std::swap(up[i - 1], up[chance.next_u64() % i]);
    up.resize(std::min(up.size(), asked_at_start));
    for (const auto& one : up)
      if (co_await sync_with(one.id)) co_return;
    co_await wait_until(parts.runtime, members_changed, parts.runtime.now() + own_chain_again);
  }
}

Task<void> LedgerDesk::State::sync_loop() {
  auto& runtime = parts.runtime;
  co_await learn_own_chain();
  own_known.set();
  const Duration half = std::chrono::milliseconds(rules.epoch_ms / 2);
  while (true) {
    co_await runtime.sleep(std::min(options.sync_every, half));
    auto up = parts.members.connected();
    std::erase_if(up, [](const Member& one) { return !one.up; });
    if (up.empty()) continue;
    const auto server = up[runtime.chance().next_u64() % up.size()].id;
    if (const auto synced = co_await sync_with(server); !synced && synced.error().code != Errc::unavailable && synced.error().code != Errc::timeout)
      runtime.log().debug("cycles.sync with server {}: {}", server, synced.error().message);
  }
}

}  // namespace spatter
