#include "housekeeper.h"

#include "root_keeper.h"
#include "spatter/placement.h"

namespace spatter {
namespace {

constexpr std::uint64_t column_bytes = 4 << 20;
/// Copies elsewhere before a pack may leave the own machine.
constexpr std::size_t others_to_evict = 3;

}  // namespace

std::vector<PackId> packs_to_evict(std::vector<PackInfo> packs, std::uint64_t used,
                                   std::uint64_t wanted,
                                   const std::function<bool(const PackId&)>& is_full) {
  std::ranges::sort(packs, [](const PackInfo& a, const PackInfo& b) {
    return std::pair(a.last_used_ms, a.sequence) < std::pair(b.last_used_ms, b.sequence);
  });
  std::vector<PackId> result;
  for (const auto& pack : packs) {
    if (used <= wanted) break;
    if (!pack.sealed || !pack.local || !is_full(pack.id)) continue;
    result.push_back(pack.id);
    used -= std::min(used, pack.length);
  }
  return result;
}

Housekeeper::Housekeeper(Parts parts)
    : parts_(std::move(parts)), tasks_(parts_.runtime.executor()) {}

void Housekeeper::start() {
  parts_.shards.set_reciprocity([this](PersonId person) {
    const auto kept = kept_for_us_.find(person);
    return Reciprocity{.kept_for_us = kept == kept_for_us_.end() ? 0 : kept->second,
                       .persons = persons_,
                       // A guest's own machine keeps what is his.
                       .allowance_percent = person == parts_.members.own().person
                                                ? 100
                                                : parts_.members.allowance_percent(person)};
  });
  subscription_ = parts_.members.subscribe([this] { follow_network(); });
  follow_network();
  refresh_reciprocity();
  publish();
  tasks_.spawn(figures_loop());
  tasks_.spawn(tidy_loop());
}

Task<void> Housekeeper::stop() {
  if (subscription_) parts_.members.unsubscribe(std::exchange(subscription_, 0));
  parts_.shards.set_reciprocity({});
  co_await tasks_.stop();
}

void Housekeeper::publish() {
  parts_.members.publish_own(parts_.addresses(), parts_.capacity_bytes,
                             parts_.shards.usage().free);
}

/// New packs fill whole stripes of the present width.
void Housekeeper::follow_network() {
  std::size_t up = 0;
  std::set<PersonId> persons{parts_.members.own().person};
  for (const auto& member : parts_.members.others()) {
    if (member.up && member.may_hold) ++up;
    persons.insert(member.person);
  }
  persons_ = persons.size();
  parts_.volume.packs().set_target_bytes(shape_for(static_cast<unsigned>(up)).k * column_bytes);
}

void Housekeeper::refresh_reciprocity() {
  std::map<PersonId, std::uint64_t> kept;
  for (const auto& held : parts_.keeper.report().held) {
    if (const auto person = parts_.members.person_of(held.server)) kept[*person] += held.bytes;
  }
  kept_for_us_ = std::move(kept);
}

Task<void> Housekeeper::figures_loop() {
  for (;;) {
    co_await parts_.runtime.sleep(parts_.every);
    publish();
    refresh_reciprocity();
  }
}

Task<void> Housekeeper::tidy_loop() {
  for (;;) {
    co_await parts_.runtime.sleep(parts_.every);
    co_await snapshot_if_due();
    co_await evict();
    co_await compact();
  }
}

Task<void> Housekeeper::snapshot_if_due() {
  if (!parts_.volume.snapshot_due() || !parts_.roots.may_write()) co_return;
  auto state = co_await parts_.volume.snapshot();
  if (!state) {
    parts_.runtime.log().warning("snapshot: {}", state.error().message);
    co_return;
  }
  parts_.roots.changed();
}

Task<void> Housekeeper::evict() {
  auto& packs = parts_.volume.packs();
  const auto limit = packs.limit_bytes();
  const auto used = packs.used_bytes();
  if (used < limit - limit / 8) co_return;
  const auto others = parts_.members.others();
  const auto up = std::ranges::count_if(others, [](const Member& one) { return one.up && one.may_hold; });
  if (static_cast<std::size_t>(up) < others_to_evict) co_return;
  const auto leave = packs_to_evict(packs.list(), used, limit - limit / 4,
                                    [&](const PackId& pack) { return parts_.keeper.is_full(pack); });
  for (const auto& pack : leave) {
    if (!parts_.keeper.is_full(pack)) continue;  // things may have changed while we waited
    auto dropped = co_await packs.drop_local(pack);
    if (!dropped && dropped.error().code != Errc::busy)
      parts_.runtime.log().warning("evicting pack {}: {}", pack, dropped.error().message);
  }
  if (!leave.empty())
    parts_.runtime.log().info("the user half runs short: {} packs now live in the network alone",
                              leave.size());
}

Task<void> Housekeeper::compact() {
  if (!parts_.roots.may_write()) co_return;
  auto& packs = parts_.volume.packs();
  for (const auto& pack : parts_.volume.compaction_candidates()) {
    // Moving live chunks needs room itself.
    if (const auto info = packs.find(pack);
        !info || packs.used_bytes() + info->live_bytes > packs.limit_bytes())
      continue;
    auto done = co_await parts_.volume.rewrite_pack(pack);
    if (done) continue;
    if (done.error().code == Errc::busy) continue;
    parts_.runtime.log().debug("compacting pack {}: {}", pack, done.error().message);
    co_return;
  }
}

}  // namespace spatter
