#include "cycles/speed_book.h"

#include <algorithm>
#include <cmath>
#include <queue>

namespace spatter {
namespace {

constexpr std::size_t ratios_max = 64;
constexpr std::size_t ratios_wanted = 8;  // before they say more than the default
constexpr double spread_unknown = 1.5;    // p90 over p50 before anything was measured
constexpr double within_s = 2;
constexpr double within_share = 0.2;

double quantile(std::vector<double> values, double share) {
  const auto place = static_cast<std::size_t>(std::min<double>(
      static_cast<double>(values.size() - 1), std::floor(share * static_cast<double>(values.size()))));
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(place));
  return values[place];
}

}  // namespace

void SpeedBook::record(const ServerId& server, const WorkKind& kind, std::uint64_t fuel, double seconds) {
  if (fuel == 0 || !(seconds > 0)) return;
  auto& entry = entries_[{server, kind}];
  entry.fuel = entry.fuel * decay + static_cast<double>(fuel);
  entry.seconds = entry.seconds * decay + seconds;
  ++entry.results;
}

void SpeedBook::came_to(const WorkKind& kind, std::uint64_t bytes, std::uint64_t fuel) {
  auto& costs = costs_[kind];
  costs = {costs.fuel * decay + static_cast<double>(fuel), costs.bytes * decay + static_cast<double>(bytes),
           costs.pieces * decay + 1};
}

std::optional<std::uint64_t> SpeedBook::fuel_of(const WorkKind& kind, std::uint64_t bytes) const {
  const auto found = costs_.find(kind);
  if (found == costs_.end()) return std::nullopt;
  const auto& costs = found->second;
  if (costs.bytes > 0) return static_cast<std::uint64_t>(costs.fuel / costs.bytes * static_cast<double>(bytes));
  return static_cast<std::uint64_t>(costs.fuel / costs.pieces);
}

void SpeedBook::put(const ServerId& server, const WorkKind& kind, Entry entry) { entries_[{server, kind}] = entry; }

std::optional<double> SpeedBook::fuel_per_s(const ServerId& server, const WorkKind& kind) const {
  const auto speed = [](const Entry& entry) { return entry.fuel / entry.seconds; };
  if (const auto found = entries_.find({server, kind}); found != entries_.end()) return speed(found->second);
  // How this kind compares with another that this server has done, at those who have done both.
  std::vector<double> guesses;
  for (const auto& [key, entry] : entries_) {
    if (key.first != server) continue;
    for (const auto& [other, of_kind] : entries_) {
      if (other.second != kind) continue;
      const auto both = entries_.find({other.first, key.second});
      if (both != entries_.end()) guesses.push_back(speed(entry) * speed(of_kind) / speed(both->second));
    }
  }
  if (!guesses.empty()) return quantile(std::move(guesses), 0.5);
  return std::nullopt;
}

double SpeedBook::spread_of(const WorkKind& kind) const {
  const auto found = ratios_.find(kind);
  if (found == ratios_.end() || found->second.size() < ratios_wanted) return spread_unknown;
  return std::max(1.0, quantile({found->second.begin(), found->second.end()}, 0.9));
}

std::optional<Forecast> SpeedBook::forecast(const ServerId& server, const WorkKind& kind, std::uint64_t fuel,
                                            double latency_s, double transfer_s) const {
  const auto speed = fuel_per_s(server, kind);
  if (!speed || !(*speed > 0)) return std::nullopt;
  const double p50 = latency_s + transfer_s + static_cast<double>(fuel) / *speed;
  return Forecast{p50, p50 * spread_of(kind)};
}

void SpeedBook::ended(ForecastError error) {
  if (!(error.forecast.p50_s > 0) || !(error.actual_s > 0)) return;
  auto& ratios = ratios_[error.kind];
  ratios.push_back(error.actual_s / error.forecast.p50_s);
  if (ratios.size() > ratios_max) ratios.pop_front();
  errors_.push_back(std::move(error));
  if (errors_.size() > errors_max) errors_.pop_front();
}

Accuracy SpeedBook::accuracy(const std::optional<WorkKind>& kind) const {
  Accuracy result;
  std::vector<double> relative;
  std::uint64_t within = 0, below = 0;
  for (const auto& error : errors_) {
    if (kind && error.kind != *kind) continue;
    const double off = std::abs(error.actual_s - error.forecast.p50_s);
    relative.push_back(off / error.actual_s);
    within += off <= std::max(within_s, within_share * error.forecast.p50_s);
    below += error.actual_s <= error.forecast.p90_s;
  }
  result.forecasts = relative.size();
  if (relative.empty()) return result;
  const auto count = static_cast<double>(relative.size());
  result.within = static_cast<double>(within) / count;
  result.below_p90 = static_cast<double>(below) / count;
  result.median_error = quantile(std::move(relative), 0.5);
  return result;
}

double schedule_end(std::vector<double> busy_s, const std::vector<double>& piece_s, std::uint64_t pieces) {
  using Free = std::pair<double, std::size_t>;
  std::priority_queue<Free, std::vector<Free>, std::greater<>> free;
  double end = 0;
  for (std::size_t i = 0; i < busy_s.size(); ++i) {
    end = std::max(end, busy_s[i]);
    free.push({busy_s[i] + piece_s[i], i});
  }
  if (free.empty()) return pieces == 0 ? 0 : std::numeric_limits<double>::infinity();
  // Very many pieces: whole rounds at the rate of all together, the rest one by one.
  constexpr std::uint64_t one_by_one_max = 100'000;
  if (pieces > one_by_one_max) {
    double rate = 0;
    for (const double seconds : piece_s) rate += 1 / seconds;
    const double skip = static_cast<double>(pieces - one_by_one_max) / rate;
    for (double& busy : busy_s) busy += skip;
    return schedule_end(std::move(busy_s), piece_s, one_by_one_max);
  }
  for (; pieces > 0; --pieces) {
    auto [at, worker] = free.top();
    free.pop();
    end = std::max(end, at);
    free.push({at + piece_s[worker], worker});
  }
  return end;
}

}  // namespace spatter
