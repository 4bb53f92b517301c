#include "spatter/safety.h"

#include <algorithm>
#include <map>
#include <set>

#include "spatter/placement.h"

namespace spatter {

namespace {

/// Distinct shards per reachable holder. Of an index that stands twice (it is being moved) only one
/// counts, for both may be among those that die: the figure is then a lower bound. Shards of
/// k = 1 are all alike, so there every holder counts once.
std::map<ServerId, unsigned> shards_by_holder(
    const Stripe& stripe, const std::function<bool(const ServerId&)>& reachable) {
  std::map<ServerId, unsigned> counts;
  std::set<std::uint16_t> counted;
  for (const auto& shard : stripe.shards) {
    if (shard.lost || !reachable(shard.holder)) continue;
    if (stripe.k == 1) {
      counts[shard.holder] = 1;
    } else if (counted.insert(shard.index).second) {
      ++counts[shard.holder];
    }
  }
  return counts;
}

}  // namespace

StripeSafety judge(const Stripe& stripe, const std::function<bool(const ServerId&)>& reachable,
                   const Shape& shape, const ServerId& own) {
  StripeSafety result;
  std::vector<unsigned> counts;
  unsigned standing = 0;
  for (const auto& [holder, count] : shards_by_holder(stripe, reachable)) {
    counts.push_back(count);
    result.reachable += count;
    if (holder != own || shape.own_copy) standing += count;
  }
  if (result.reachable < stripe.k) return result;
  result.health = standing >= shape.full_at()   ? StripeHealth::full
                  : standing >= shape.safe_at() ? StripeHealth::safe
                                                : StripeHealth::at_risk;
  // The worst that can happen is that those who hold most die first.
  std::sort(counts.rbegin(), counts.rend());
  unsigned left = result.reachable;
  for (const unsigned count : counts) {
    left -= count;
    if (left < stripe.k) break;
    ++result.can_lose;
  }
  return result;
}

Shape standing_shape(const Stripe& stripe, unsigned width) {
  if (stripe.k == 1) return shape_for(std::min(width, 3u));
  Shape shape;
  shape.k = stripe.k;
  shape.n = shape.placed = stripe.n;
  return shape;
}

SafetyReport judge_all(const std::vector<StripePtr>& stripes, const ServerId& own,
                       const std::function<bool(const ServerId&)>& reachable, unsigned width) {
  SafetyReport report;
  std::map<ServerId, Held> held;
  std::set<PackId> unreadable;
  const std::function<bool(const ServerId&)> there = [&](const ServerId& server) {
    return server == own || reachable(server);
  };
  bool first = true;
  for (const auto& stripe : stripes) {
    const auto shape = standing_shape(*stripe, width);
    const auto safety = judge(*stripe, there, shape, own);
    ++report.total;
    switch (safety.health) {
      case StripeHealth::full: ++report.full; break;
      case StripeHealth::safe: ++report.safe; break;
      case StripeHealth::at_risk: ++report.at_risk; break;
      case StripeHealth::lost:
        ++report.lost;
        if (report.unreadable.size() < 1000) report.unreadable.push_back(stripe->id);
        unreadable.insert(stripe->pack);
        break;
    }
    const double copies = static_cast<double>(safety.reachable) / stripe->k;
    report.copies_min = first ? copies : std::min(report.copies_min, copies);
    report.can_lose = first ? safety.can_lose : std::min(report.can_lose, safety.can_lose);
    report.widest_k = std::max<unsigned>(report.widest_k, stripe->k);
    first = false;
    for (const auto& shard : stripe->shards) {
      if (shard.lost) continue;
      auto& entry = held[shard.holder];
      entry.server = shard.holder;
      entry.bytes += stripe->shard_size;
      ++entry.shards;
    }
  }
  for (auto& [server, entry] : held) report.held.push_back(entry);
  report.unreadable_packs.assign(unreadable.begin(), unreadable.end());
  return report;
}

}  // namespace spatter
