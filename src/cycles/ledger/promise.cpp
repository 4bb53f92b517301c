#include "cycles/promise.h"

#include <algorithm>

namespace spatter::cycles {

void Promise::begin(const LedgerRules& rules, std::uint64_t epoch) {
  SPATTER_ASSERT(epoch == epoch_ + 1);
  before_ += in_epoch_;
  epoch_ = epoch;
  bool changed = false;
  if (coming_ && epoch >= coming_->epoch) {
    share_ppm_ = coming_->share_ppm;
    coming_.reset();
  }
  if (rules.begins_month(epoch)) {
    for (auto& [person, measured] : measured_) {
      if (measured.fuel < halved_least || measured.time < halved_least) continue;
      measured.fuel /= 2;
      measured.time /= 2;
      changed = true;
    }
  }
  for (const Fresh& fresh : fresh_) {
    if (fresh.epoch + learning_epochs > epoch) continue;
    Measured& all = measured_[fresh.receiver];
    all.fuel += fresh.measured.fuel;
    all.time += fresh.measured.time;
    changed = true;
  }
  std::erase_if(fresh_, [&](const Fresh& fresh) { return fresh.epoch + learning_epochs <= epoch; });
  if (changed) speed_ = measured_speed();
  // share in millionths, time in thousandths of a second
  in_epoch_ = static_cast<Fuel>(std::min<Mark>(Mark{share_ppm_} * speed_ * rules.epoch_ms / 1'000'000'000, promise_max));
}

Fuel Promise::measured_speed() const {
  std::vector<Fuel> speeds;
  for (const auto& [person, measured] : measured_)
    speeds.push_back(static_cast<Fuel>(std::min<Mark>(measured.fuel * 1'000'000'000 / measured.time, speed_max)));
  if (speeds.empty()) return 0;
  const auto middle = speeds.begin() + static_cast<std::ptrdiff_t>((speeds.size() - 1) / 2);
  std::ranges::nth_element(speeds, middle);
  return *middle;
}

Mark Promise::at(const LedgerRules& rules, WallMs moment) const {
  const WallMs since = std::clamp<WallMs>(moment - rules.start_of(epoch_), 0, static_cast<WallMs>(rules.epoch_ms));
  return before_ + Mark{in_epoch_} * static_cast<std::uint64_t>(since) / rules.epoch_ms;
}

void Promise::pledge(const LedgerRules& rules, const Pledge& pledge) {
  const std::uint64_t month = rules.month_of(epoch_);
  std::uint64_t from = epoch_ + learning_epochs;
  if (pledge.from_month > month) from = std::max(from, rules.first_of(std::min(pledge.from_month, month + pledge_ahead_months_max)));
  if (pledge.share_ppm < share_ppm_) from = std::max(from, rules.first_of(month + 1));
  coming_ = Coming{from, pledge.share_ppm};
}

void Promise::learn(const PersonId& receiver, Fuel fuel, std::uint64_t elapsed_ms) {
  if (share_ppm_ == 0 || fuel == 0 || elapsed_ms == 0) return;  // nothing to measure it by
  fresh_.push_back({epoch_, receiver, {fuel, Mark{elapsed_ms} * share_ppm_}});
}

Span Promise::next(const LedgerRules& rules, Mark taken, Fuel fuel, WallMs moment) const {
  const Mark begin = std::max(taken, at(rules, moment));
  return {begin, begin + fuel};
}

bool Promise::conforms(const LedgerRules& rules, const Span& span, WallMs moment) const {
  return span.end - at(rules, moment) <= Mark{in_epoch_} * rules.guard_epochs;
}

}  // namespace spatter::cycles
