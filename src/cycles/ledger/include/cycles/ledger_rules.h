// The clock and the constants of the ledger. Everybody must come to the same numbers, so all of it is
// integers, and none of it is a setting of one server. docs/ledger.md is the reference.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/time.h"

namespace spatter::cycles {

/// Verified work, in the deterministic units that modules are counted in.
using Fuel = std::uint64_t;
/// A place in a server's promise: all that it has promised from its beginning up to a moment. What a
/// lease takes is an interval of it, so nothing promised is ever taken twice.
using Mark = unsigned __int128;

inline constexpr std::uint32_t whole_ppm = 1'000'000;
inline constexpr Fuel lease_fuel_max = Fuel{1} << 48;
inline constexpr Fuel speed_max = Fuel{1} << 42;       ///< per second; faster counts as so much
inline constexpr Fuel promise_max = Fuel{1} << 60;     ///< of a server in one epoch, likewise
inline constexpr std::uint64_t elapsed_ms_max = 366ULL * 24 * 3600 * 1000;
inline constexpr std::uint64_t pledge_ahead_months_max = 12;

struct LedgerRules {
  WallMs founded_ms = 0;           ///< when the network began: epoch 0 of month 0
  std::uint64_t epoch_ms = 3'600'000;
  std::uint64_t month_epochs = 720;
  /// How far ahead a server's promise can be reserved: the guard of the token bucket, which is as
  /// well the greatest burst.
  std::uint64_t guard_epochs = 6;
  /// A delivery dated so many epochs after its lease is in time, a later one is none.
  std::uint64_t deadline_epochs = 8;
  /// So many epochs after a lease all is said of it; entries dated later say nothing.
  std::uint64_t settle_epochs = 12;

  std::uint64_t epoch_of(WallMs moment) const {
    return moment <= founded_ms ? 0 : static_cast<std::uint64_t>(moment - founded_ms) / epoch_ms;
  }
  WallMs start_of(std::uint64_t epoch) const { return founded_ms + static_cast<WallMs>(epoch * epoch_ms); }
  std::uint64_t month_of(std::uint64_t epoch) const { return epoch / month_epochs; }
  std::uint64_t first_of(std::uint64_t month) const { return month * month_epochs; }
  bool begins_month(std::uint64_t epoch) const { return epoch % month_epochs == 0; }
};

/// Sums of what strangers say end at the largest number instead of beginning again.
constexpr Fuel plus(Fuel a, Fuel b) { return a + b < a ? ~Fuel{0} : a + b; }

/// What one clock may be off another, in epochs: an entry dated otherwise is refused by whoever
/// gets it from its maker.
inline constexpr std::uint64_t clock_epochs_max = 1;
/// What was measured counts for the promise from so many epochs later on: by then everybody has
/// the receipts, whatever their clocks.
inline constexpr std::uint64_t learning_epochs = 3;
/// What was measured halves with each month while there is at least so much of it (fuel, and milliseconds times
/// millionths), so that who is not asked for long keeps his speed, exactly enough.
inline constexpr std::uint64_t halved_least = 1 << 20;
/// How long a proof that a server told different people different things costs its person all
/// entitlement: the rest of its month and so many months more.
inline constexpr std::uint64_t fork_months = 1;

/// Errc::invalid names what cannot be: no epochs in a month, a month shorter than a lease, ...
Result<void> check_rules(const LedgerRules& rules);

/// Whether an entry made at `made_ms` may be taken from its maker by a server whose clock says `now`.
/// Errc::denied says by how much they differ.
Result<void> check_dated(const LedgerRules& rules, WallMs made_ms, WallMs now);

}  // namespace spatter::cycles
