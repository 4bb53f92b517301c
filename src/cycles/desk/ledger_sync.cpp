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
constexpr std::size_t own_chain_heard_of = 3;  ///< by so many persons, where nothing of it is here
constexpr auto own_chain_patience = std::chrono::minutes(10);
constexpr auto own_chain_again = std::chrono::seconds(5);
constexpr auto fork_wait_max = std::chrono::seconds(10);

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
  } else if (entry.person != parts.identity.person) {
    return fail(Errc::denied, "an entry of this server that says person {}", entry.person);
  }
  if (entry.number > 1) {
    // In order alone: so all who have an entry have all before it, and it cannot be dated before them.
    const Entry* before = ledger.find(*entry.previous);
    if (!before || before->server != entry.server) {
      if (ledger.find(entry.server, entry.number - 1))
        return fail(Errc::invalid, "entry {} of server {} does not follow the one before it", entry.number, entry.server);
      return Taken{std::move(entry), false, true};
    }
    if (before->number + 1 != entry.number || before->made_ms > entry.made_ms)
      return fail(Errc::invalid, "entry {} of server {} has the wrong number or date", entry.number, entry.server);
  }
  if (entry.server != parts.identity.server && !makers.take(entry.server, 1, parts.runtime.now()))
    return fail(Errc::busy, "server {} makes too many entries", entry.server);
  TRY(const auto added, ledger.add(entry));
  note(entry, epoch());
  if (added.conflict && entry.server != parts.identity.server && proving.insert(entry.server).second)
    tasks.spawn(prove_fork(*added.conflict, entry.id));
  return Taken{std::move(entry), true};
}

Task<Result<LedgerDesk::State::Taken>> LedgerDesk::State::take(wire::CyclesRecord record, ServerId from) {
  CO_TRY(auto entry, cycles::check_entry(record, parts.identity.network));
  const bool from_maker = entry.server == from;
  CO_TRY(auto taken, take_unkept(record, from_maker));
  if (taken.gap) {
    CO_TRY_VOID(co_await sync_with(from, entry.server));
    CO_TRY(taken, take_unkept(record, from_maker));
    if (taken.gap) co_return fail(Errc::unavailable, "what server {} has entered before is not to be had", entry.server);
  }
  if (taken.fresh) {
    std::vector<cycles::LedgerStore::Kept> kept{{record, taken.entry}};
    CO_TRY_VOID(co_await store->add(std::move(kept)));
  }
  co_return taken;
}

/// Whoever sees two entries with one number tells everybody, unless somebody does so first: one proof a month is enough.
Task<void> LedgerDesk::State::prove_fork(EntryId one, EntryId other) {
  const Entry* entry = ledger.find(other);
  const auto server = entry ? entry->server : ServerId{};
  const auto is_known = [&] {
    const auto month = forks.find(server);
    return month != forks.end() && month->second >= rules.month_of(epoch());
  };
  const auto most = std::min<Duration>(fork_wait_max, std::chrono::milliseconds(rules.epoch_ms / 4));
  co_await parts.runtime.sleep(most / 1024 * static_cast<Duration::rep>(1 + parts.runtime.chance().next_u64() % 1024));
  std::vector<wire::CyclesRecord> records;
  if (entry && !is_known())
    if (auto found = co_await store->find({one, other})) records = std::move(*found);
  if (records.size() == 2) {
    auto fork = cycles::make_fork(records[0].entry(), records[1].entry(), parts.identity.network);
    co_await own_known.wait();
    if (fork && !is_known()) {
      parts.runtime.log().warning("server {} has made two entries with number {}: its person is entitled to nothing for a while",
                                  fork->server, fork->number);
      (void)co_await append(std::move(*fork));
    }
  }
  proving.erase(server);
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
    const bool from_maker = record.entry().key() == as_text(caller.key);
    auto taken = take_unkept(record, from_maker);
    if (!taken) {
      parts.runtime.log().debug("cycles.push of server {}: {}", caller.server, taken.error().message);
      continue;
    }
    // Who passes it on has what comes before it.
    if (taken->gap && catching_up.insert(taken->entry.server).second) tasks.spawn(catch_up(caller.server, taken->entry.server));
    if (taken->fresh) kept.push_back({record, std::move(taken->entry)});
  }
  if (!kept.empty()) CO_TRY_VOID(co_await store->add(kept));
  for (const auto& one : kept) tell(one.record, {}, caller.server);
  co_return RpcReply{wire::CyclesPushReply().SerializeAsString(), {}};
}

Task<void> LedgerDesk::State::catch_up(ServerId server, ServerId chain) {
  (void)co_await sync_with(server, chain);
  catching_up.erase(chain);
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
  std::vector<std::pair<ServerId, std::uint64_t>> wanted;
  for (const auto& [server, until] : ledger.whole_until()) {
    const auto at = have.find(server);
    if (at == have.end() && message.only_named()) continue;
    const auto from = at == have.end() ? 0 : at->second;
    if (from < until) wanted.emplace_back(server, from);
  }
  for (auto [server, from] : wanted) {
    while (!reply.more()) {
      CO_TRY(const auto records, co_await store->chain(server, from + 1, entries_at_a_time));
      for (const auto& record : records) {
        if ((bytes += record.ByteSizeLong() + 8) > reply_bytes_max) {
          reply.set_more(true);
          break;
        }
        *reply.add_entries() = record;
      }
      if (records.size() < entries_at_a_time) break;
      CO_TRY(const auto last, cycles::check_entry(records.back(), parts.identity.network));
      from = last.number;
    }
    if (reply.more()) break;
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<bool>> LedgerDesk::State::sync_with(ServerId server, std::optional<ServerId> only) {
  std::map<ServerId, std::uint64_t> refused;  ///< up to which number: not asked for again in this round
  bool all = true;
  for (int round = 0; round < rounds_max; ++round) {
    wire::CyclesSyncRequest request;
    request.set_only_named(only.has_value());
    const auto& whole = ledger.whole_until();
    const auto name = [&](const ServerId& chain, std::uint64_t number) {
      auto* have = request.add_have();
      have->set_server(chain.raw());
      have->set_number(number);
    };
    if (only) {
      const auto at = whole.find(*only);
      name(*only, std::max(at == whole.end() ? 0 : at->second, refused[*only]));
    } else {
      for (const auto& [chain, until] : whole)
        if (request.have_size() < have_max && !refused.contains(chain)) name(chain, until);
      for (const auto& [chain, until] : refused) name(chain, until);
    }
    CO_TRY(const auto reply, co_await parts.wire.call(
        server, {.method = method::cycles_sync, .body = request.SerializeAsString(), .payload = {}}));
    wire::CyclesSyncReply message;
    if (!message.ParseFromString(reply.body)) co_return fail(Errc::invalid, "an answer to cycles.sync that cannot be read");
    std::vector<cycles::LedgerStore::Kept> kept;
    bool any = false;
    for (const auto& record : message.entries()) {
      auto taken = take_unkept(record, false);
      any = any || (taken && taken->fresh);
      if (taken && taken->fresh) {
        kept.push_back({record, std::move(taken->entry)});
      } else if (!taken || taken->gap) {
        const auto entry = cycles::check_entry(record, parts.identity.network);
        if (!entry) continue;
        auto& until = refused[entry->server];
        any = any || entry->number > until;
        until = std::max(until, entry->number);
        all = all && entry->server != parts.identity.server;
      }
    }
    if (!kept.empty()) CO_TRY_VOID(co_await store->add(std::move(kept)));
    if (!message.more()) co_return all;
    if (!any) co_return false;
  }
  co_return false;
}

/// A drive that was brought back may lack the newest of its own chain; who enters something before he knows that proves
/// himself a cheat. Where the own chain is here one other who has nothing more is enough; where it is not, several persons
/// are asked, as far as there are so many within a while.
Task<void> LedgerDesk::State::learn_own_chain() {
  auto& runtime = parts.runtime;
  const auto began = runtime.now();
  const auto own = ledger.whole_until().find(parts.identity.server);
  const bool is_here = own != ledger.whole_until().end() && own->second > 0;
  std::set<PersonId> heard;
  while (true) {
    const auto others = parts.members.others();
    std::set<PersonId> persons;
    for (const auto& one : others)
      if (one.person != parts.identity.person) persons.insert(one.person);
    const auto enough = is_here || runtime.now() - began >= own_chain_patience ? std::size_t{1} : std::min(own_chain_heard_of, persons.size());
    if (others.empty() || heard.size() >= enough) co_return;
    auto up = parts.members.connected();
    std::erase_if(up, [&](const Member& one) { return !one.up || heard.contains(one.person); });
    auto& chance = runtime.chance();
    for (std::size_t i = up.size(); i > 1; --i) std::swap(up[i - 1], up[chance.next_u64() % i]);
    bool news = false;
    for (const auto& one : up) {
      if (heard.size() >= enough) break;
      if (const auto synced = co_await sync_with(one.id); synced && *synced) news = heard.insert(one.person).second || news;
    }
    if (!news) co_await wait_until(runtime, members_changed, runtime.now() + own_chain_again);
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
