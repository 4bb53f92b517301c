#include "cycles/earnings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace spatter::mining {
namespace {

constexpr double hours_per_month = 365.25 * 24 / 12;

/// Two significant digits, and no exponent where a person can do without.
std::string about(double value) {
  if (!(value > 0)) return "0";
  if (value < 1e-6) return fmt::format("{:.1e}", value);
  if (value >= 1e12) return fmt::format("{:.1e}", value);
  const int digits = std::max(0, 1 - static_cast<int>(std::floor(std::log10(value))));
  if (digits > 0) return fmt::format("{:.{}f}", value, digits);
  const double unit = std::pow(10, std::floor(std::log10(value)) - 1);
  return fmt::format("{:.0f}", std::round(value / unit) * unit);
}

}  // namespace

Earnings forecast(const EarningsOptions& options) {
  const double seconds = hours_per_month * 3600 * options.share;
  const double hashes_per_block = options.difficulty * 0x1p32;
  const double blocks = options.hashes_per_second * seconds / hashes_per_block;
  Earnings earnings;
  earnings.satoshi_per_month = blocks * options.subsidy_satoshi;
  earnings.kwh_per_month =
      options.watts_per_core * options.cores * hours_per_month * options.share / 1000;
  earnings.cost_per_month = earnings.kwh_per_month * options.price_per_kwh;
  earnings.years_per_block = blocks > 0 ? 1 / blocks / 12 : INFINITY;
  return earnings;
}

std::string describe_earnings(const EarningsOptions& options) {
  const Earnings earnings = forecast(options);
  std::string text = fmt::format(
      "{} million hashes a second for {:.0f} % of the time earn about {} satoshi a month at a "
      "difficulty of {} ({}); a satoshi is a hundred-millionth of a bitcoin. ",
      about(options.hashes_per_second / 1e6), options.share * 100, about(earnings.satoshi_per_month),
      about(options.difficulty), options.difficulty_date);
  text += fmt::format(
      "The electricity costs about {:.2f} {} a month ({} kWh at {:.2f}, if each of the busy cores, "
      "{:.0f}, draws {:.0f} W). ",
      earnings.cost_per_month, options.currency, about(earnings.kwh_per_month),
      options.price_per_kwh, options.cores, options.watts_per_core);
  text += "Most pools pay nothing out below some thousand satoshi: this machine may never get there.";
  return text;
}

}  // namespace spatter::mining
