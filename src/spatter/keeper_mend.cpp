// The part of the keeper that looks after what was written: replaces lost shards, evens out the
// deal, releases what is no longer needed, and asks holders what they really have.
#include <asio/post.hpp>

#include "keeper_state.h"

namespace spatter {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration scan_every = minutes(5);
constexpr Duration mend_again_after = seconds(15);
constexpr Duration release_again_after = seconds(20);
constexpr Duration inventory_again_after = seconds(20);
constexpr std::size_t scan_stretch = 128;  ///< stripes looked at before others get a turn
constexpr unsigned release_page = 512;
constexpr unsigned list_page = 512;
constexpr unsigned described_page = 96;  ///< descriptors are up to 5 KiB each

}  // namespace

/// Queues every stripe that is not as the network allows.
Task<void> Keeper::State::scan() {
  scanning = true;
  scan_wanted = false;
  scan_at = context.runtime.now() + scan_every;
  std::size_t looked = 0;
  for (const auto& stripe : context.table.all()) {
    if (++looked % scan_stretch == 0)
      co_await asio::post(context.runtime.executor(), asio::use_awaitable);
    const auto current = context.table.find(stripe->id);
    if (!current || mend_queued.contains(stripe->id)) continue;
    if (upkeep_of(*current, view()).empty()) continue;
    mend_queued.insert(stripe->id);
    // Those in danger first.
    if (is_safe(*current, view())) {
      to_mend.push_back(stripe->id);
    } else {
      to_mend.push_front(stripe->id);
    }
  }
  scanning = false;
  if (!to_mend.empty() && !round) {
    round = MendRound{context.runtime.now()};
    context.runtime.log().info("{} stripes are not as the network allows: mending begins", to_mend.size());
  }
}

/// Says what was mended, once nothing is left to mend.
void Keeper::State::end_round() {
  if (!round || !to_mend.empty() || !mending.empty()) return;
  const std::chrono::duration<double> took = context.runtime.now() - round->begun;
  context.runtime.log().info("nothing is left to mend: {} shards, {:.1f} MB, were placed within {:.1f} s",
                             round->shards, static_cast<double>(round->bytes) / 1e6, took.count());
  round.reset();
}

void Keeper::State::start_mends(TimePoint& next) {
  const auto now = context.runtime.now();
  const std::size_t at_once = shipping.empty() ? options.moves_at_once : 1;
  std::deque<StripeId> later;
  while (!to_mend.empty() && mending.size() < at_once) {
    const auto id = to_mend.front();
    to_mend.pop_front();
    if (const auto again = mend_again_at.find(id);
        again != mend_again_at.end() && again->second > now) {
      next = std::min(next, again->second);
      later.push_back(id);
      continue;
    }
    mend_queued.erase(id);
    mending.insert(id);
    tasks.spawn(mend(id));
  }
  to_mend.insert(to_mend.end(), later.begin(), later.end());
}

/// One stripe to its present shape: new shards first; what they replace goes when they stand.
Task<void> Keeper::State::mend(StripeId id) {
  struct Done {
    State& state;
    StripeId id;
    ~Done() {
      state.mending.erase(id);
      state.poke();
      state.changed.wake_all();
    }
  } done{*this, id};
  auto stripe = context.table.find(id);
  if (!stripe) {
    mend_again_at.erase(id);
    co_return;
  }
  if (!packs.find(stripe->pack)) co_return;
  auto upkeep = upkeep_of(*stripe, view());

  // A holder that is to get the same shard again may not know that its copy is rotten: ask it to
  // look. If it has it whole after all, there is nothing to send.
  std::vector<StripeWriter::Extra> extras;
  for (const auto& [index, holder] : upkeep.add) {
    bool send = true;
    for (const auto& shard : stripe->shards) {
      if (!shard.lost || shard.index != index || shard.holder != holder) continue;
      const auto whole = co_await link.check(holder, {{id, index}}, true);
      if (whole && whole->front()) {
        send = false;
        static_cast<void>(co_await context.table.mark_found(id, index, holder));
      }
      break;
    }
    if (send) extras.push_back({index, holder});
  }
  if (!extras.empty()) {
    const auto wanted = extras.size();
    const auto placed = co_await writer.extend(stripe, std::move(extras));
    if (placed && round) {
      round->shards += placed->size();
      round->bytes += placed->size() * stripe->shard_size;
    }
    view_changed();
    if (!placed || placed->size() < wanted) {
      mend_again_at[id] = context.runtime.now() + mend_again_after;
      if (!placed)
        context.runtime.log().info("stripe {} could not be mended yet: {}", id,
                                   placed.error().message);
      // The pack's bytes here are not those that were signed.
      if (!placed && placed.error().code == Errc::corrupt)
        if (auto whole = co_await packs.make_whole(stripe->pack); !whole)
          context.runtime.log().warning("pack {}: {}", stripe->pack, whole.error().message);
    }
  }
  stripe = context.table.find(id);
  if (!stripe) co_return;
  upkeep = upkeep_of(*stripe, view());
  if (upkeep.add.empty()) {
    mend_again_at.erase(id);
    if (!upkeep.drop.empty()) {
      const auto dropped = co_await context.table.drop_shards(std::move(upkeep.drop), true);
      if (!dropped)
        context.runtime.log().warning("stripe {}: {}", id, dropped.error().message);
    }
    co_await tidy(stripe->pack);
  } else {
    mend_again_at.try_emplace(id, context.runtime.now() + mend_again_after);
    if (mend_queued.insert(id).second) to_mend.push_back(id);
  }
}

void Keeper::State::start_releases(TimePoint& next) {
  const auto now = context.runtime.now();
  for (const auto& [holder, count] : context.table.releases_waiting()) {
    if (count == 0 || releasing.contains(holder)) continue;
    if (holder != context.identity.server && !context.members.is_up(holder) &&
        !context.members.retired_by(holder))
      continue;
    if (const auto again = release_again_at.find(holder);
        again != release_again_at.end() && again->second > now) {
      next = std::min(next, again->second);
      continue;
    }
    releasing.insert(holder);
    tasks.spawn(release(holder));
  }
}

Task<void> Keeper::State::release(ServerId holder) {
  struct Done {
    State& state;
    ServerId holder;
    ~Done() {
      state.releasing.erase(holder);
      state.poke();
      state.changed.wake_all();
    }
  } done{*this, holder};
  // A holder that was retired is never asked again, so nothing can go wrong there.
  const bool retired = context.members.retired_by(holder).has_value();
  if (may_release && !retired) {
    if (const auto allowed = co_await may_release(holder); !allowed) {
      release_again_at[holder] = context.runtime.now() + release_again_after;
      context.runtime.log().debug("nothing is released at server {}: {}", holder,
                                  allowed.error().message);
      co_return;
    }
  }
  while (true) {
    const auto shards = co_await context.table.releases(holder, release_page);
    if (!shards || shards->empty()) break;
    std::vector<ShardKey> keys;
    for (const auto& shard : *shards) keys.push_back({shard.stripe, shard.index});
    Result<void> released;
    if (!retired)
      released = co_await link.release(holder, std::move(keys), volume.writer_number);
    if (!released) {
      release_again_at[holder] = context.runtime.now() + release_again_after;
      context.runtime.log().debug("server {} did not release: {}", holder,
                                  released.error().message);
      co_return;
    }
    if (!co_await context.table.released(*shards)) co_return;
  }
  release_again_at.erase(holder);
}

Task<void> Keeper::State::mark_lost(StripeId id, std::uint16_t index, ServerId holder) {
  const auto stripe = context.table.find(id);
  if (!stripe) co_return;
  const bool known = std::any_of(
      stripe->shards.begin(), stripe->shards.end(), [&](const PlacedShard& shard) {
        return shard.index == index && shard.holder == holder && !shard.lost;
      });
  if (!known) co_return;
  static_cast<void>(co_await context.table.mark_lost(id, index, holder));
  if (mend_queued.insert(id).second) to_mend.push_front(id);
  poke();
}

void Keeper::State::start_inventory(TimePoint& next) {
  if (taking_inventory) return;
  const auto now = context.runtime.now();
  std::vector<ServerId> holders{context.identity.server};
  for (const auto& member : context.members.others())
    if (member.up) holders.push_back(member.id);
  for (const auto& holder : holders) {
    const auto at = inventory_at.find(holder);
    if (at != inventory_at.end() && at->second > now) {
      next = std::min(next, at->second);
      continue;
    }
    taking_inventory = holder;
    tasks.spawn(inventory(holder));
    return;
  }
}

Task<void> Keeper::State::inventory(ServerId holder) {
  struct Done {
    State& state;
    ~Done() {
      state.taking_inventory.reset();
      state.poke();
    }
  } done{*this};
  const auto begun = inventory_begun[holder] = context.runtime.now();
  const auto again = inventory_at[holder] = begun + inventory_again_after;
  const auto taken = co_await take_inventory(holder);
  if (inventory_at[holder] != again) co_return;  // it was asked for anew meanwhile
  if (taken) {
    inventory_at[holder] = context.runtime.now() + options.check_every;
  } else {
    context.runtime.log().debug("server {} could not be asked what it keeps: {}", holder,
                                taken.error().message);
  }
}

/// Compares what a holder has with what the table says it has. What it lacks is lost; what it has
/// beyond (left from writes that a crash cut short) is released, if this server signed for it
/// before this run and it is not being written now. Contracts that come to their end are renewed.
Task<Result<void>> Keeper::State::take_inventory(ServerId holder) {
  std::set<std::pair<StripeId, std::uint16_t>> expected;
  for (const auto& stripe : context.table.all())
    for (const auto& shard : stripe->shards)
      if (shard.holder == holder && !shard.lost) expected.emplace(stripe->id, shard.index);

  const auto own_key = to_string(context.identity.server_key.public_key());
  const auto now = context.runtime.wall_ms();
  std::vector<ReleasedShard> unknown;
  std::vector<ShardKey> due;
  std::optional<ShardKey> after;
  while (true) {
    CO_TRY(const auto page, co_await link.list(holder, after, list_page, false));
    for (const auto& entry : page.entries()) {
      CO_TRY(const auto id, StripeId::from(entry.stripe()));
      const ShardKey key{id, entry.index()};
      if (after && key <= *after)
        co_return fail(Errc::invalid, "server {} lists its shards out of order", holder);
      after = key;
      const auto index = static_cast<std::uint16_t>(key.index);
      if (entry.lost()) continue;
      expected.erase({id, index});
      const auto stripe = context.table.find(id);
      const bool known =
          stripe && std::any_of(stripe->shards.begin(), stripe->shards.end(),
                                [&](const PlacedShard& shard) {
                                  return shard.index == index && shard.holder == holder;
                                });
      wire::ContractBody body;
      const bool readable = body.ParseFromString(entry.contract().body());
      if (known && readable &&
          renewal_due(static_cast<WallMs>(body.signed_ms()), static_cast<WallMs>(body.until_ms()),
                      now))
        due.push_back(key);
      if (known || writer.is_writing(id)) continue;
      if (!readable || body.owner_key() != own_key ||
          static_cast<WallMs>(body.signed_ms()) >= started_ms)
        continue;
      unknown.push_back({id, index, holder});
    }
    if (!page.more() || page.entries().empty()) break;
  }
  co_await renew(holder, std::move(due));
  for (const auto& [id, index] : expected) {
    if (writer.is_writing(id)) continue;
    context.runtime.log().warning("server {} no longer has shard {} of stripe {}", holder, index,
                                  id);
    co_await mark_lost(id, index, holder);
  }
  if (!unknown.empty()) CO_TRY_VOID(co_await release_unknown(holder, std::move(unknown)));
  co_return Result<void>{};
}

/// What a crash kept out of the table may be the only copies but the local one: they go after the
/// pack bytes without a stripe have been shipped anew, and what the table knows is complete without
/// them. And they go only if it is really the table that is right.
Task<Result<void>> Keeper::State::release_unknown(ServerId holder,
                                                  std::vector<ReleasedShard> unknown) {
  const bool needed = std::ranges::any_of(unknown, [&](const ReleasedShard& shard) {
    const auto stripe = context.table.find(shard.stripe);
    return stripe && !is_complete(*stripe, view());
  });
  if (needed || backlog() > 0)
    co_return fail(Errc::busy, "{} shards of writes that were cut short are kept until all else is "
                   "in the network", unknown.size());
  if (may_release) CO_TRY_VOID(co_await may_release(holder));
  std::set<StripeId> stripes;
  for (const auto& shard : unknown) stripes.insert(shard.stripe);
  CO_TRY_VOID(co_await check_packs_known(holder, std::move(stripes)));
  context.runtime.log().info("server {} keeps {} shards of writes that were cut short", holder,
                             unknown.size());
  co_return co_await context.table.queue_releases(std::move(unknown));
}

/// check_pack_known() for stripes that a holder lists.
Task<Result<void>> Keeper::State::check_packs_known(ServerId holder, std::set<StripeId> unknown) {
  std::optional<ShardKey> after;
  while (!unknown.empty()) {
    CO_TRY(const auto page, co_await link.list(holder, after, described_page, true));
    if (page.entries().empty()) break;
    for (const auto& entry : page.entries()) {
      CO_TRY(const auto id, StripeId::from(entry.stripe()));
      const ShardKey key{id, entry.index()};
      if (after && key <= *after)
        co_return fail(Errc::invalid, "server {} lists its shards out of order", holder);
      after = key;
      if (unknown.erase(id) > 0) CO_TRY_VOID(check_pack_known(entry.stripe_descriptor()));
    }
    if (!page.more()) break;
  }
  co_return Result<void>{};
}

/// An error when the stripe encodes more than the volume here knows of: a pack that comes after all of
/// its own, or a place behind a pack's end.
Result<void> Keeper::State::check_pack_known(const wire::Signed& descriptor) {
  TRY(const auto facts, check_descriptor(descriptor));
  TRY(const auto label, open_label(volume.labels, facts.stripe, as_bytes(facts.label)));
  const auto known = packs.list();
  const auto newest = known.empty() ? 0 : known.back().sequence;
  const auto pack = packs.find(label.pack);
  if (label.pack_sequence <= newest && (!pack || label.offset + label.length <= pack->length)) return {};
  Error behind{Errc::corrupt,
               fmt::format("stripe {} in the network encodes bytes {} to {} of pack number {}, the "
                           "index here ends at {} of pack number {}: it is older than what was "
                           "written; nothing is written or released from here; `spatter fsck --mend` "
                           "has the next start bring it back from the packs here and from the others",
                           facts.stripe, label.offset, label.offset + label.length,
                           label.pack_sequence, pack ? pack->length : 0, newest)};
  if (on_behind) on_behind(behind);
  return fail(std::move(behind));
}

}  // namespace spatter
