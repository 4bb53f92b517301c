// Gathering: of a stripe whose holders are never on in sufficient number at once, the coordinator fetches what can
// be had now and keeps it, until k shards are together.
#include <algorithm>

#include "mender_state.h"

namespace spatter {

/// Own shards and gathered ones.
std::bitset<256> Mender::State::at_hand(const StripeId& id) const {
  auto result = gathered.indices(id);
  if (const auto at = stripes.find(id); at != stripes.end())
    for (const auto index : at->second.own) result.set(index);
  return result;
}

/// Whether there is anything to be done for a stripe in danger, and now.
bool Mender::State::may_try(const StripeId& id, MendedStripe& stripe) {
  auto reach = at_hand(id);
  const auto here = reach.count();
  bool another = false;
  for (const auto& holder : stripe.list.holders) {
    const bool up = parts.members.is_up(holder.server);
    if (stripe.tried && !up) stripe.tried->erase(holder.server);
    if (!up || holder.server == parts.identity.server) continue;
    another |= stripe.tried && !stripe.tried->contains(holder.server);
    for (const auto index : holder.indices)
      if (counts(id, index, holder.server)) reach.set(index);
  }
  if (stripe.again_at > parts.runtime.now() && !another) return false;
  return reach.count() >= stripe.k || reach.count() > here || proposals.contains(id);
}

/// Whether k shards can be had in one go.
bool Mender::State::in_reach(const Job& job) const {
  auto reach = at_hand(job.id);
  for (unsigned index = 0; index < job.present.size(); ++index)
    if (job.present[index] && parts.members.is_up(*job.present[index])) reach.set(index);
  return reach.count() >= job.kept.descriptor.k;
}

/// Errc::unavailable: fewer than k are at hand, though some may have come. With k of them nothing is fetched.
Task<Result<void>> Mender::State::gather(std::shared_ptr<Job> job) {
  const auto& descriptor = job->kept.descriptor;
  const auto before = at_hand(job->id);
  if (before.count() >= descriptor.k) co_return Result<void>{};
  Sources sources;
  for (unsigned index = 0; index < job->present.size(); ++index)
    if (const auto& holder = job->present[index]; holder && !before[index] && parts.members.is_up(*holder))
      sources.emplace_back(index, *holder);
  if (!sources.empty()) {
    CO_TRY_VOID(gathered.room(job->id, descriptor.shard_size));
    CO_TRY_VOID(co_await claim(job, ClaimTo::gather));
    job->gathering = true;
    co_await ask_for(job, std::move(sources));
    job->gathering = false;
  }
  const auto after = at_hand(job->id);
  if (after.count() >= descriptor.k) co_return Result<void>{};
  co_return fail(Errc::unavailable, "stripe {}: {} of the {} shards that are needed are here; the others' holders are off",
                 job->id, after.count(), descriptor.k);
}

/// What does not have its root any more is gone with that, and fetched again.
Task<void> Mender::State::take_gathered(std::shared_ptr<Job> job) {
  const auto& descriptor = job->kept.descriptor;
  const auto here = gathered.indices(job->id);
  for (unsigned index = 0; index < descriptor.n && job->columns.size() < descriptor.k; ++index) {
    if (!here[index] || job->columns.contains(index)) continue;
    auto shard = co_await gathered.read(descriptor, index);
    if (shard) {
      job->columns.emplace(index, std::move(*shard));
    } else {
      parts.runtime.log().info("mending: a shard that was gathered is dropped: {}", shard.error().message);
    }
  }
}

/// What a rebuilding has fetched that then did not come off.
Task<void> Mender::State::keep_fetched(std::shared_ptr<Job> job) {
  auto columns = std::exchange(job->columns, {});
  const auto own = stripes.find(job->id);
  if (own == stripes.end() || !own->second.mendable) co_return;
  for (const auto index : std::vector(own->second.own)) columns.erase(index);
  for (auto& [index, shard] : columns)
    if (const auto kept = co_await gathered.keep(job->kept.descriptor, index, shard.flat()); !kept) {
      parts.runtime.log().debug("mending: {}", kept.error().message);
      co_return;
    }
}

/// One gathers at a time, and goes on for as long as he is up, twice the grace at most: by then whoever is ever
/// on has been. Those who begin together go by the draw.
Result<void> Mender::State::grant_gathering(const KeptFacts& facts, const ServerId& coordinator) {
  const auto& now = facts.facts->newest;
  const auto time = parts.runtime.now();
  const auto held_by_other = claims.find(now.stripe);
  if (held_by_other != claims.end() && held_by_other->second.version == now.version &&
      held_by_other->second.coordinator != coordinator && held_by_other->second.until > time &&
      (held_by_other->second.coordinator == parts.identity.server ||
       parts.members.is_up(held_by_other->second.coordinator)))
    return fail(Errc::busy, "stripe {}: server {} is rebuilding it", now.stripe, held_by_other->second.coordinator);
  auto& claim = gathering[now.stripe];
  if (claim.version != now.version) claim = {.coordinator = {}, .free_since = {}, .version = now.version, .had = {}};
  const auto gone_for = claim.until > time ? away(claim.coordinator) : std::nullopt;
  const bool held = claim.until > time && (!gone_for || *gone_for < options.claim);
  if (held && claim.coordinator == coordinator) return {};
  if (held) {
    const ServerId both[] = {claim.coordinator, coordinator};
    const bool begun_together = time - claim.since < options.claim && !gone_for;
    if (!begun_together || coordinators(now.stripe, now.version, both).front() != coordinator)
      return fail(Errc::busy, "stripe {}: server {} is gathering its shards", now.stripe, claim.coordinator);
  } else if (!claim.free_since) {
    claim.free_since = time;
  }
  if (claim.had.contains(coordinator)) {
    const bool another = std::ranges::any_of(now.holders, [&](const HolderEntry& holder) {
      return !claim.had.contains(holder.server) &&
             (holder.server == parts.identity.server || parts.members.is_up(holder.server));
    });
    if (held || (another && *claim.free_since + 2 * options.claim > time))
      return fail(Errc::busy, "stripe {}: it is for others to gather its shards", now.stripe);
    claim.had.clear();
  }
  claim.coordinator = coordinator;
  claim.since = time;
  claim.until = time + 2 * options.grace;
  claim.free_since.reset();
  claim.had.insert(coordinator);
  return {};
}

/// What is whole again, released, or rebuilt by others needs nothing gathered; a list that nobody completed goes.
Task<void> Mender::State::tidy_gathered() {
  const auto now = parts.runtime.now();
  std::erase_if(proposals, [&](const auto& entry) { return entry.second.until <= now || !stripes.contains(entry.first); });
  std::erase_if(gathering, [&](const auto& entry) { return !stripes.contains(entry.first); });
  const auto over = std::exchange(needless, {});
  for (const auto& id : gathered.stripes()) {
    if (repairing.contains(id)) continue;
    const auto at = stripes.find(id);
    if (at == stripes.end() || at->second.danger == Danger::none || over.contains(id)) co_await gathered.drop(id);
  }
  co_await gathered.tidy();
}

}  // namespace spatter
