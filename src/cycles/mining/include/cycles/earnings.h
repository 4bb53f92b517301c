// What mining earns and costs, said before it is switched on. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

namespace spatter::mining {

/// What the forecast knows of the network and of this machine. The difficulty compiled in is that of
/// the date; a pool's own figure replaces both.
struct EarningsOptions {
  double hashes_per_second = 0;   ///< of all cores, while they mine
  double share = 1;               ///< of the time, 0 to 1
  double cores = 1;               ///< that mine
  double difficulty = 152.27e12;
  std::string_view difficulty_date = "November 2025";
  double subsidy_satoshi = 312'500'000;  ///< new coins of a block, until 2028; fees come on top
  double watts_per_core = 10;     ///< what a busy core draws more than an idle one
  double price_per_kwh = 0.30;
  std::string_view currency = "EUR";
};

struct Earnings {
  double satoshi_per_month = 0;   ///< expected; a month is a twelfth of 365.25 days
  double kwh_per_month = 0;
  double cost_per_month = 0;      ///< in the options' currency
  double years_per_block = 0;     ///< expected, mining alone
};

Earnings forecast(const EarningsOptions& options);

/// Two or three honest sentences: "At 40.0 million hashes a second ... about 0.05 satoshi a month; the
/// electricity costs about 1.75 EUR a month ...".
std::string describe_earnings(const EarningsOptions& options);

}  // namespace spatter::mining
