#include "spatter/safety.h"

#include <algorithm>
#include <cmath>
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
  result.shards = std::move(counts);
  unsigned left = result.reachable;
  for (const unsigned count : result.shards) {
    left -= count;
    if (left < stripe.k) break;
    ++result.can_lose;
  }
  return result;
}

double chance_of_loss(std::span<const unsigned> shards, unsigned k, double each_gone) {
  unsigned total = 0;
  for (const unsigned count : shards) total += count;
  if (total < k) return 1;
  if (each_gone <= 0) return 0;
  const double gone = std::min(each_gone, 1.0);
  // chance[g]: that g shards are gone; the last entry stands for too many.
  const unsigned too_many = total - k + 1;
  std::vector<double> chance(too_many + 1, 0.0);
  chance[0] = 1;
  for (const unsigned count : shards)
    for (unsigned g = too_many + 1; g-- > 0;) {
      const double of_this = chance[g];
      if (g < too_many) chance[g] = of_this * (1 - gone);
      if (count > 0 && of_this > 0 && g < too_many) chance[std::min(g + count, too_many)] += of_this * gone;
      if (count == 0 && g < too_many) chance[g] = of_this;
    }
  return chance[too_many];
}

double departures_per_server_day(std::uint64_t departed, std::uint64_t servers, double days) {
  constexpr double expected_days = 1500;
  return (static_cast<double>(departed) + 1) / (static_cast<double>(servers) * std::max(days, 0.0) + expected_days);
}

namespace {

/// Of things that are lost together or independently: at most the sum of their chances.
class LossBound {
 public:
  explicit LossBound(double each_gone) : each_gone_(each_gone) {}

  void add(const Stripe& stripe, const std::map<ServerId, unsigned>& holders, std::span<const unsigned> shards) {
    if (each_gone_ <= 0) return;
    // Stripes with the same shares at the same holders are lost together.
    if (seen_.size() < seen_max && !seen_.insert({stripe.k, holders}).second) return;
    double& chance = chances_[{stripe.k, {shards.begin(), shards.end()}}];
    if (chance == 0) chance = chance_of_loss(shards, stripe.k, each_gone_);
    sum_ += chance;
  }
  double bound() const { return std::min(sum_, 1.0); }

 private:
  static constexpr std::size_t seen_max = 4096;
  double each_gone_;
  double sum_ = 0;
  std::set<std::pair<unsigned, std::map<ServerId, unsigned>>> seen_;
  std::map<std::pair<unsigned, std::vector<unsigned>>, double> chances_;
};

}  // namespace

Shape standing_shape(const Stripe& stripe, unsigned width) {
  if (stripe.k == 1) return shape_for(std::min(width, 3u));
  Shape shape;
  shape.k = stripe.k;
  shape.n = shape.placed = stripe.n;
  return shape;
}

SafetyReport judge_all(const std::vector<StripePtr>& stripes, const ServerId& own,
                       const std::function<bool(const ServerId&)>& reachable, unsigned width,
                       double each_gone) {
  SafetyReport report;
  LossBound bound(each_gone);
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
    // What is lost already is counted as such; the chance is of what there is.
    if (each_gone > 0 && safety.health != StripeHealth::lost)
      bound.add(*stripe, shards_by_holder(*stripe, there), safety.shards);
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
  report.loss_per_day = bound.bound();
  return report;
}

std::optional<FileSafety> judge_file(
    std::span<const PackPiece> pieces,
    const std::function<const std::vector<StripePtr>&(const PackId&)>& stripes_of, const ServerId& own,
    const std::function<bool(const ServerId&)>& reachable, unsigned width, double each_gone) {
  if (pieces.empty()) return std::nullopt;
  const std::function<bool(const ServerId&)> there = [&](const ServerId& server) {
    return server == own || reachable(server);
  };
  FileSafety file;
  LossBound bound(each_gone);
  bool first = true;
  std::map<StripeId, StripeSafety> judged;
  std::set<StripeId> counted;
  for (const auto& piece : pieces) {
    std::vector<StripePtr> over;
    std::set<std::uint64_t> cuts{piece.offset, piece.offset + piece.length};
    for (const auto& stripe : stripes_of(piece.pack)) {
      if (stripe->offset >= piece.offset + piece.length || stripe->end() <= piece.offset) continue;
      over.push_back(stripe);
      if (!judged.contains(stripe->id))
        judged.emplace(stripe->id, judge(*stripe, there, standing_shape(*stripe, width), own));
      for (const auto cut : {stripe->offset, stripe->end()})
        if (cut > piece.offset && cut < piece.offset + piece.length) cuts.insert(cut);
    }
    for (auto at = cuts.begin(); std::next(at) != cuts.end(); ++at) {
      StripePtr best;
      for (const auto& stripe : over) {
        if (stripe->offset > *at || stripe->end() < *std::next(at)) continue;
        const auto rank = [&](const StripePtr& one) {
          const auto& safety = judged.at(one->id);
          return std::tuple(safety.can_lose, static_cast<double>(safety.reachable) / one->k);
        };
        if (!best || rank(stripe) > rank(best)) best = stripe;
      }
      if (!best) {
        file.everywhere = false;
        continue;
      }
      const auto& safety = judged.at(best->id);
      const double copies = static_cast<double>(safety.reachable) / best->k;
      file.can_lose = first ? safety.can_lose : std::min(file.can_lose, safety.can_lose);
      file.copies = first ? copies : std::min(file.copies, copies);
      file.health = std::max(file.health, safety.health);  // the later in the list, the worse
      first = false;
      if (!counted.insert(best->id).second) continue;
      ++file.stripes;
      if (safety.health == StripeHealth::lost) file.loss_per_day = 1;
      else if (each_gone > 0) bound.add(*best, shards_by_holder(*best, there), safety.shards);
    }
  }
  if (!file.everywhere) {
    file.can_lose = 0;
    file.copies = 0;
    file.health = std::max(file.health, StripeHealth::at_risk);
    file.loss_per_day = std::max(file.loss_per_day, std::min(each_gone, 1.0));
  }
  file.loss_per_day = std::min(1.0, std::max(file.loss_per_day, bound.bound()));
  return file;
}

}  // namespace spatter
