// Looking: what is kept here, who of those that keep it with us is gone, and what that calls for.
#include "mend/mender.h"

#include <algorithm>
#include <asio/post.hpp>
#include <bitset>

#include "mender_state.h"

namespace spatter {
namespace {

constexpr std::size_t load_page = 64;
constexpr std::size_t look_stretch = 512;  ///< stripes judged before others get a turn

}  // namespace

Mender::State::State(Parts parts, MendOptions options)
    : parts(parts),
      options(options),
      gathered(parts.runtime, parts.shards, {.folder = options.gathered_folder, .bytes_max = options.gathered_bytes_max,
                                             .stay = options.grace, .age_max = 14 * options.grace}),
      wanted(parts.runtime.executor()),
      groups(parts.runtime.executor()),
      tasks(parts.runtime.executor()) {}

SignsForOwner Mender::State::signs() const {
  return [members = &parts.members](const ServerId& server, const PersonId& owner) {
    return members->person_of(server) == owner && !members->retired_by(server);
  };
}

/// The signature of a descriptor that the store took in was checked then; so were those of a chain.
Result<KeptFacts> Mender::State::check(KeptStripe kept, bool loading) const {
  KeptFacts facts;
  if (!facts.signed_descriptor.ParseFromArray(kept.descriptor.data(), static_cast<int>(kept.descriptor.size())))
    return fail(Errc::corrupt, "the descriptor of stripe {} in the index cannot be read", kept.stripe);
  TRY(facts.descriptor, check_descriptor(facts.signed_descriptor));
  if (kept.holders_version > 0) {
    if (!facts.chain.ParseFromArray(kept.holders.data(), static_cast<int>(kept.holders.size())) ||
        facts.chain.lists().empty())
      return fail(Errc::corrupt, "the holder lists of stripe {} in the index cannot be read", kept.stripe);
    if (loading) {
      HolderChainFacts newest;
      newest.body = facts.chain.lists(facts.chain.lists_size() - 1).body();
      TRY(newest.newest, read_holder_list(newest.body));
      newest.by_owner = !newest.newest.previous;
      for (const auto& list : facts.chain.lists()) {
        TRY(const auto read, read_holder_list(list.body()));
        newest.by_few |= !read.absent.empty();
      }
      facts.facts = std::move(newest);
    } else {
      // The owner's server may be gone by now: what was accepted once stays so.
      const auto anybody = [](const ServerId&, const PersonId&) { return true; };
      TRY(facts.facts, check_holder_chain(facts.chain, facts.descriptor, anybody));
    }
  }
  facts.kept = std::move(kept);
  return facts;
}

Task<Result<std::optional<KeptFacts>>> Mender::State::kept(StripeId id) {
  CO_TRY(auto kept, co_await parts.shards.kept_stripe(id));
  if (!kept) co_return std::optional<KeptFacts>();
  auto facts = co_await parts.runtime.blocking([&] { return check(std::move(*kept), false); });
  if (!facts) co_return fail(std::move(facts).error());
  co_return std::optional(std::move(*facts));
}

/// What is in memory of a stripe follows what is stored.
void Mender::State::note(const KeptFacts& facts) {
  const auto& id = facts.kept.stripe;
  const WallMs trial_until = [&] {
    WallMs latest = 0;
    for (const auto& shard : facts.kept.shards) latest = std::max(latest, shard.trial_until_ms);
    return latest;
  }();
  if (trial_until > 0) {
    const WallMs left = std::clamp<WallMs>(trial_until - parts.runtime.wall_ms(), 0,
                                           std::chrono::duration_cast<std::chrono::milliseconds>(options.trial).count());
    trials[id] = parts.runtime.now() + std::chrono::milliseconds(left);
  } else {
    trials.erase(id);
  }
  if (!facts.facts) return;
  auto& stripe = stripes[id];
  const bool newer = stripe.list.version != facts.facts->newest.version;
  const bool replaced = newer && stripe.list.version != 0;
  if (replaced)
    for (const auto& holder : stripe.list.holders)
      if (!facts.facts->newest.find(holder.server) && is_gone(holder.server)) relieved.insert(holder.server);
  stripe.person = facts.kept.person;
  stripe.owner = facts.descriptor.server;
  stripe.k = facts.descriptor.k;
  stripe.n = facts.descriptor.n;
  stripe.shard_size = facts.descriptor.shard_size;
  stripe.list = facts.facts->newest;
  stripe.own.clear();
  stripe.own_lost = false;
  bool left_out = false;
  if (const auto* entry = stripe.list.find(parts.identity.server))
    for (const auto index : entry->indices)  // given to this server, and not here
      stripe.own_lost |= std::ranges::find(facts.kept.shards, index, &KeptStripe::Shard::index) == facts.kept.shards.end();
  for (const auto& shard : facts.kept.shards) {
    const bool named = stripe.list.names(parts.identity.server, shard.index);
    if (!named && shard.trial_until_ms <= 0) left_out = true;
    if (shard.lost) {
      stripe.own_lost |= named;
    } else {
      stripe.own.push_back(shard.index);
    }
  }
  // An owner who leaves a holder out releases what it has himself.
  if (left_out && !facts.facts->by_owner) surplus.insert(id); else surplus.erase(id);
  if (newer) {
    stripe.since.reset();
    stripe.again_at = {};
    stripe.tried.reset();
    stripe.no_takers = false;
  }
  judge(id, stripe);
  if (replaced && !stripe.mendable) needless.insert(id);
}

Task<Result<void>> Mender::State::load() {
  std::optional<StripeId> after;
  while (true) {
    CO_TRY(auto page, co_await parts.shards.kept_stripes(after, load_page));
    if (page.empty()) co_return Result<void>{};
    after = page.back().stripe;
    std::vector<Result<KeptFacts>> checked;
    co_await parts.runtime.blocking([&] {
      for (auto& kept : page) checked.push_back(check(std::move(kept), true));
    });
    for (const auto& facts : checked) {
      if (!facts) {
        parts.runtime.log().warning("mending: {}", facts.error().message);
        continue;
      }
      if (!facts->facts) ++untold;
      note(*facts);
    }
  }
}

/// How long a holder has been away; nothing: it is there.
std::optional<Duration> Mender::State::away(const ServerId& holder) {
  if (holder == parts.identity.server) return std::nullopt;
  const auto now = parts.runtime.now();
  const auto member = parts.members.find(holder);
  Duration away{};
  if (member) {
    unknown_since.erase(holder);
    if (member->up) return std::nullopt;
    away = now - member->since;
  } else {
    away = now - unknown_since.try_emplace(holder, now).first->second;
  }
  if (const auto at = seen.find(holder); at != seen.end())
    away = std::max<Duration>(away, std::chrono::milliseconds(std::max<WallMs>(0, parts.runtime.wall_ms() - at->second)));
  return away;
}

namespace {

constexpr std::size_t seen_entry_bytes = 40;
constexpr std::size_t seen_bytes_max = 16384 * seen_entry_bytes;
constexpr WallMs save_seen_every_ms = 60'000;

}  // namespace

/// Of entries of 40 bytes: a server's id, and when it was last there, in wall milliseconds, little-endian.
/// A file that cannot be read only means that everybody's absence begins now.
Task<void> Mender::State::load_seen() {
  const auto bytes = co_await parts.runtime.blocking(
      [&] { return read_file(parts.runtime.disk(), options.seen_path, seen_bytes_max); });
  if (!bytes) co_return;
  const auto now = parts.runtime.wall_ms();
  for (std::size_t at = 0; at + seen_entry_bytes <= bytes->size(); at += seen_entry_bytes) {
    const auto id = ServerId::from(ByteView(*bytes).subspan(at, 32));
    std::uint64_t when = 0;
    for (std::size_t i = 8; i-- > 0;) when = when << 8 | (*bytes)[at + 32 + i];
    if (id && static_cast<WallMs>(when) > 0 && static_cast<WallMs>(when) <= now) seen[*id] = static_cast<WallMs>(when);
  }
}

Task<void> Mender::State::save_seen() {
  const auto now = parts.runtime.wall_ms();
  std::set<ServerId> wanted_ids;
  for (const auto& [id, stripe] : stripes)
    for (const auto& holder : stripe.list.holders) wanted_ids.insert(holder.server);
  wanted_ids.erase(parts.identity.server);
  std::erase_if(seen, [&](const auto& entry) { return !wanted_ids.contains(entry.first); });
  for (const auto& id : wanted_ids)
    if (parts.members.is_up(id)) seen[id] = now;
    else seen.try_emplace(id, now);
  if (now - seen_saved_ms < save_seen_every_ms && now >= seen_saved_ms) co_return;
  seen_saved_ms = now;
  Bytes content;
  for (const auto& [id, when] : seen) {
    content.insert(content.end(), id.bytes.begin(), id.bytes.end());
    for (int i = 0; i < 8; ++i) content.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(when) >> (8 * i)));
  }
  const auto saved = co_await parts.runtime.blocking(
      [&] { return write_file_durably(parts.runtime.disk(), options.seen_path, content); });
  if (!saved) parts.runtime.log().debug("who was there when could not be saved: {}", saved.error().message);
}

/// Stripes of which shards have gone: the owner has released them, or they were let go.
Task<void> Mender::State::look_at_released() {
  for (const auto& id : std::exchange(released, {})) {
    const auto facts = co_await kept(id);
    if (!facts) continue;
    if (*facts) {
      note(**facts);
      continue;
    }
    stripes.erase(id);
    failed.erase(id);
    promises.erase(id);
    claims.erase(id);
    gathering.erase(id);
    trials.erase(id);
    surplus.erase(id);
  }
}

bool Mender::State::is_gone(const ServerId& holder) {
  if (parts.members.retired_by(holder)) return true;
  const auto since = away(holder);
  return since && *since > options.grace;
}

bool Mender::State::is_absent(const ServerId& holder) {
  if (parts.members.retired_by(holder)) return true;
  const auto since = away(holder);
  return since && *since > options.absent_after;
}

/// Whether a shard at a holder can be reckoned with.
bool Mender::State::counts(const StripeId& id, unsigned index, const ServerId& holder) {
  if (holder == parts.identity.server) {
    const auto at = stripes.find(id);
    return at != stripes.end() && std::ranges::find(at->second.own, index) != at->second.own.end();
  }
  if (const auto bad = failed.find(id); bad != failed.end() && bad->second.contains({index, holder})) return false;
  return !is_gone(holder);
}

void Mender::State::judge(const StripeId& id, MendedStripe& stripe) {
  std::bitset<256> standing;
  unsigned copies = 0;
  for (const HolderEntry& holder : stripe.list.holders) {
    bool any = false;
    for (const auto index : holder.indices) {
      if (!counts(id, index, holder.server)) continue;
      standing.set(index);
      any = true;
    }
    copies += any;
  }
  const auto count = static_cast<unsigned>(stripe.k == 1 ? std::min(copies, stripe.n) : standing.count());
  const Danger before = stripe.danger;
  stripe.danger = danger_of(stripe.k, count);
  // A network of fewer machines than copies has as many as there can be.
  if (stripe.k == 1 && copies > 0 && copies >= machines) stripe.danger = Danger::none;
  const bool mendable_before = stripe.mendable;
  stripe.mendable = stripe.danger >= Danger::due || (stripe.danger == Danger::tidy && count <= rebuilt_at(stripe.k));
  if (stripe.danger == Danger::none) {
    stripe.since.reset();
  } else if (!stripe.since || (!mendable_before && stripe.mendable) ||
             (before < Danger::due && stripe.danger >= Danger::due)) {
    stripe.since = parts.runtime.now();
  }
}

/// Whether enough of a stripe is at servers that are up.
bool Mender::State::can_be_read(const StripeId& id, const MendedStripe& stripe) {
  std::bitset<256> there;
  for (const HolderEntry& holder : stripe.list.holders) {
    if (holder.server != parts.identity.server && !parts.members.is_up(holder.server)) continue;
    for (const auto index : holder.indices)
      if (counts(id, index, holder.server)) there.set(index);
  }
  return there.count() >= stripe.k;
}

bool Mender::State::owner_is_up(const PersonId& person) const {
  if (person == parts.identity.person) return true;
  return std::ranges::any_of(parts.members.connected(),
                             [&](const Member& member) { return member.person == person && member.up; });
}

Task<void> Mender::State::run() {
  co_await catch_up();
  while (true) {
    wanted.reset();
    co_await look();
    co_await end_trials();
    start_repairs();
    auto next = parts.runtime.now() + options.look_every;
    for (const auto& [id, until] : trials) next = std::min(next, until);
    using namespace asio::experimental::awaitable_operators;
    co_await (wanted.wait() || parts.runtime.sleep_until(std::max(next, parts.runtime.now() + std::chrono::milliseconds(50))));
    // Many reasons to look at once cost one look.
    co_await parts.runtime.sleep(std::chrono::milliseconds(20));
  }
}

/// How many machines there are to keep copies, as far as they are reckoned with.
void Mender::State::count_machines() {
  machines = 0;
  for (const auto& member : parts.members.all())
    machines += (member.may_hold || member.id == parts.identity.server) && !is_gone(member.id);
}

Task<void> Mender::State::look() {
  count_machines();
  std::erase_if(relieved, [&](const ServerId& server) { return !is_gone(server); });
  // What was found damaged here since: by reads, audits or a check of the drive.
  if (const auto lost = parts.shards.usage().lost; lost != lost_here) {
    lost_here = lost;
    untold = 0;
    if (auto loaded = co_await load(); !loaded)
      parts.runtime.log().warning("mending: {}", loaded.error().message);
  }
  std::vector<StripeId> ids;
  ids.reserve(stripes.size());
  for (const auto& [id, stripe] : stripes) ids.push_back(id);
  std::size_t looked = 0;
  for (const auto& id : ids) {
    if (++looked % look_stretch == 0)
      co_await asio::post(parts.runtime.executor(), asio::use_awaitable);
    const auto at = stripes.find(id);
    if (at != stripes.end()) judge(id, at->second);
  }
  co_await look_at_released();
  co_await tidy_gathered();
  co_await tell_returned();
  co_await save_seen();
  co_await catch_up_with_returned();
  for (const auto& id : std::vector(surplus.begin(), surplus.end())) co_await settle_surplus(id);
  for (const auto& id : ids)
    if (const auto at = stripes.find(id); at != stripes.end() && at->second.own_lost) co_await heal_own(id);
}

/// Whoever was gone and is there again has been going on with others, or we have: they may have new lists.
Task<void> Mender::State::catch_up_with_returned() {
  std::set<ServerId> gone;
  std::map<ServerId, std::vector<std::pair<StripeId, std::uint64_t>>> returned;
  for (const auto& [id, stripe] : stripes)
    for (const auto& holder : stripe.list.holders) {
      if (holder.server == parts.identity.server) continue;
      if (is_gone(holder.server)) {
        gone.insert(holder.server);
      } else if (gone_before.contains(holder.server) && parts.members.is_up(holder.server)) {
        returned[holder.server].emplace_back(id, stripe.list.version);
      }
    }
  for (const auto& server : gone_before)  // away, but no longer for too long: not asked yet
    if (!gone.contains(server) && !parts.members.is_up(server)) gone.insert(server);
  gone_before = std::move(gone);
  for (auto& [server, known] : returned)
    if (auto caught = co_await catch_up_with(server, std::move(known)); !caught) {
      gone_before.insert(server);
      parts.runtime.log().debug("server {} was not asked for newer lists of holders: {}", server, caught.error().message);
    }
}

/// What was rebuilt for this server and no list has named goes again.
Task<void> Mender::State::end_trials() {
  const auto now = parts.runtime.now();
  std::vector<StripeId> over;
  for (const auto& [id, until] : trials)
    if (until <= now) over.push_back(id);
  for (const auto& id : over) {
    // The list that names this server for it may not have come yet: others are asked, and as long as
    // nobody answers it stays.
    bool answered = false;
    if (const auto at = stripes.find(id); at != stripes.end()) {
      const auto version = at->second.list.version;
      const auto holders = at->second.list.holders;
      for (const auto& holder : holders) {
        if (answered || holder.server == parts.identity.server || !parts.members.is_up(holder.server)) continue;
        answered = (co_await catch_up_with(holder.server, {{id, version}})).has_value();
      }
    }
    if (!answered) {
      trials[id] = parts.runtime.now() + options.trial;
      continue;
    }
    trials.erase(id);
    const auto kept = co_await parts.shards.kept_stripe(id);
    if (!kept || !*kept) continue;
    std::vector<ShardKey> keys;
    for (const auto& shard : (*kept)->shards)
      if (shard.trial_until_ms > 0) keys.push_back({id, shard.index});
    if (keys.empty()) continue;
    parts.runtime.log().info("stripe {}: {} rebuilt shards that no list of holders has named are let go", id,
                             keys.size());
    if (auto gone = co_await parts.shards.let_go(std::move(keys), (*kept)->holders_version, true); !gone)
      parts.runtime.log().warning("mending: {}", gone.error().message);
  }
}

/// The holders that are up. Others take no rebuilt shard from a server of the owner's person (his writes are held to
/// his share), so his servers have a turn only where there is nobody else.
std::vector<ServerId> Mender::State::able_to_rebuild(const MendedStripe& stripe) const {
  std::vector<ServerId> owners, others;
  for (const auto& holder : stripe.list.holders)
    if (holder.server == parts.identity.server || parts.members.is_up(holder.server))
      (parts.members.person_of(holder.server) == stripe.person ? owners : others).push_back(holder.server);
  return others.empty() ? owners : others;
}

/// The most endangered first, of those whose turn it is. What is merely untidy is its owner's to mend while he is up.
void Mender::State::start_repairs() {
  const auto now = parts.runtime.now();
  struct Waiting {
    Danger danger;
    TimePoint at;
    StripeId id;
  };
  std::vector<Waiting> due;
  for (auto& [id, stripe] : stripes) {
    if (!stripe.mendable || (stripe.danger < Danger::due && parts.members.is_up(stripe.owner))) continue;
    if (repairing.contains(id) || !stripe.since || is_left_to_another(id, stripe) ||
        !may_try(id, stripe))
      continue;
    const auto order = coordinators(id, stripe.list.version, able_to_rebuild(stripe));
    const auto place = std::ranges::find(order, parts.identity.server);
    if (place == order.end()) continue;
    const auto turn = *stripe.since + options.turns.wait(static_cast<std::size_t>(place - order.begin()),
                                                         owner_is_up(stripe.person));
    due.push_back({stripe.danger, turn, id});
  }
  std::ranges::sort(due, [](const Waiting& a, const Waiting& b) {
    return std::tuple(b.danger, a.at, a.id) < std::tuple(a.danger, b.at, b.id);
  });
  // Whatever waits, even for others, goes before what is merely untidy.
  const bool is_idle = std::ranges::none_of(
      stripes, [](const auto& stripe) { return stripe.second.danger == Danger::due || stripe.second.danger == Danger::urgent; });
  for (const auto& one : due) {
    if (repairing.size() >= options.at_once) break;
    if (one.at > now) continue;
    if (one.danger < Danger::due && (!repairing.empty() || !is_idle)) break;
    if (repairing.empty()) busy_since = now;
    repairing.insert(one.id);
    tasks.spawn(repair(one.id));
  }
}

Task<Result<RpcReply>> Mender::State::serve_while_there(std::shared_ptr<State> state, Handle handle, Caller caller,
                                                        RpcRequest request) {
  if (!state || state->tasks.stopping()) co_return fail(Errc::unavailable, "this server is stopping");
  co_return co_await (state.get()->*handle)(std::move(caller), std::move(request));
}

Mender::Mender(Parts parts, MendOptions options) : state_(std::make_shared<State>(parts, options)) {
  set_rate(options.bytes_per_s);
}
Mender::~Mender() = default;

Task<Result<void>> Mender::start() {
  auto& state = *state_;
  state.on_told_owner = &on_told_owner;
  state.count_machines();
  co_await state.load_seen();
  state.parts.shards.on_released([&state](const std::vector<ShardKey>& keys) {
    for (const auto& key : keys) state.released.insert(key.stripe);
    state.wanted.set();
  });
  co_await state.gathered.scan();
  CO_TRY_VOID(co_await state.load());
  const auto serve = [&](std::uint16_t number, State::Handle handle) {
    state.parts.rpc.serve(number, [weak = std::weak_ptr(state_), handle](Caller caller, RpcRequest request) {
      return State::serve_while_there(weak.lock(), handle, std::move(caller), std::move(request));
    });
  };
  serve(method::mend_tell, &State::handle_tell);
  serve(method::mend_get, &State::handle_get);
  serve(method::mend_versions, &State::handle_versions);
  serve(method::mend_put, &State::handle_put);
  serve(method::mend_sign, &State::handle_sign);
  state.subscription = state.parts.members.subscribe([&state] { state.wanted.set(); });
  state.tasks.spawn(state.run());
  co_return Result<void>{};
}

Task<void> Mender::stop() {
  auto& state = *state_;
  if (state.subscription) state.parts.members.unsubscribe(std::exchange(state.subscription, 0));
  state.parts.shards.on_released({});
  state.on_told_owner = nullptr;
  co_await state.tasks.stop();
  co_await state.groups.stop();
}

void Mender::poke() { state_->wanted.set(); }

void Mender::set_rate(std::uint64_t bytes_per_s) {
  state_->options.bytes_per_s = bytes_per_s;
  state_->rate = bytes_per_s > 0 ? std::make_unique<ByteRate>(bytes_per_s) : nullptr;
}

void Mender::set_at_once(unsigned stripes) {
  state_->options.at_once = std::max(1u, stripes);
  poke();
}

void Mender::shard_failed(StripeId stripe, unsigned index, ServerId holder) {
  auto& state = *state_;
  const auto at = state.stripes.find(stripe);
  if (at == state.stripes.end() || !at->second.list.names(holder, index)) return;
  if (state.failed[stripe].insert({index, holder}).second) state.wanted.set();
}

void Mender::shard_found(StripeId stripe, unsigned index, ServerId holder) {
  auto& state = *state_;
  const auto at = state.failed.find(stripe);
  if (at == state.failed.end() || at->second.erase({index, holder}) == 0) return;
  if (at->second.empty()) state.failed.erase(at);
  state.wanted.set();
}

std::vector<Mender::SharedShard> Mender::shared_with(const ServerId& holder) const {
  std::vector<SharedShard> result;
  for (const auto& [id, stripe] : state_->stripes) {
    const auto* entry = stripe.list.find(holder);
    if (!entry || !stripe.list.find(state_->parts.identity.server)) continue;
    std::vector<ServerId> holders;
    for (const auto& one : stripe.list.holders) holders.push_back(one.server);
    for (const auto index : entry->indices) result.push_back({id, index, stripe.shard_size, holders});
  }
  return result;
}

std::set<ServerId> Mender::counterparts() const {
  std::set<ServerId> result;
  for (const auto& [id, stripe] : state_->stripes)
    for (const auto& holder : stripe.list.holders) result.insert(holder.server);
  result.erase(state_->parts.identity.server);
  return result;
}

std::set<ServerId> Mender::former_counterparts() const {
  auto result = state_->relieved;
  for (const auto& server : counterparts()) result.erase(server);
  return result;
}

bool Mender::holds(const StripeId& stripe, unsigned index, const ServerId& holder) const {
  const auto at = state_->stripes.find(stripe);
  return at != state_->stripes.end() && at->second.list.names(holder, index);
}

std::optional<std::uint64_t> Mender::shard_size_of(const StripeId& stripe) const {
  const auto at = state_->stripes.find(stripe);
  return at == state_->stripes.end() ? std::nullopt : std::optional(at->second.shard_size);
}

std::optional<Duration> Mender::away(const ServerId& server) const { return state_->away(server); }
bool Mender::is_gone(const ServerId& server) const { return state_->is_gone(server); }

bool Mender::signs_for(const ServerId& server, const PersonId& owner) const {
  return state_->signs()(server, owner);
}

MendReport Mender::report() const {
  auto& state = *state_;
  MendReport report = state.done;
  report.untold = state.untold;
  report.gathered_bytes = state.gathered.bytes();
  report.gathered_stripes = state.gathered.stripes().size();
  for (const auto& [id, stripe] : state.stripes) {
    ++report.stripes;
    switch (stripe.danger) {
      case Danger::none: ++report.none; break;
      case Danger::tidy: ++report.tidy; break;
      case Danger::due: ++report.due; break;
      case Danger::urgent:
        ++report.urgent;
        if (stripe.no_takers || !state.can_be_read(id, stripe)) {
          ++report.stuck;
          report.stuck_bytes += 2 * stripe.k * stripe.shard_size;
        }
        break;
      case Danger::lost: ++report.lost; break;
    }
    if (stripe.danger == Danger::due || stripe.danger == Danger::urgent) {
      ++report.waiting;
      report.left_bytes += 2 * stripe.k * stripe.shard_size;
    }
    for (const auto& holder : stripe.list.holders)
      if (state.is_gone(holder.server)) report.gone.insert(holder.server);
  }
  report.rate_bytes_per_s = state.options.bytes_per_s;
  report.running = state.repairing.size();
  double seconds = state.busy_seconds;
  if (!state.repairing.empty())
    seconds += std::chrono::duration<double>(state.parts.runtime.now() - state.busy_since).count();
  if (seconds > 0) report.bytes_per_s = static_cast<double>(report.moved_bytes) / seconds;
  if (report.left_bytes > 0)
    report.seconds_left = report.bytes_per_s > 0 ? static_cast<double>(report.left_bytes) / report.bytes_per_s
                                                 : std::numeric_limits<double>::infinity();
  return report;
}

}  // namespace spatter
