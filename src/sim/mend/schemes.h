// How a stripe is coded and when it is rebuilt: Spatter's way, and others' for comparison.
#pragma once

#include <string>

#include "base/error.h"
#include "mend/danger.h"

namespace spatter::sim::mend {

struct Scheme {
  std::string name;
  unsigned k = 1, n = 3;
  unsigned repair_at = 2;   ///< rebuilt, up to n, when so many shards stand or fewer
  unsigned fetched = 1;     ///< shards that a rebuild fetches: k; of plain copies none, one is just sent
  bool repair_only = false; ///< stops serving when threatened
  bool gathers = false;     ///< fetches each shard when its holder is on and keeps it; else k at once

  /// Spatter's classes; with another `repair_at` they differ from the product's in what is due.
  Danger danger(unsigned standing) const;
};

/// spatter    16 of 48, rebuilt at 41, which is due at 32: `shape_for`, `rebuilt_at` and `danger_of`
/// copies     three copies, the missing one made anew at once
/// rs-10-30   Sia: rebuilt at three quarters of the redundancy, 25 of 30
/// rs-29-80   Storj: rebuilt at 35 of 80
Result<Scheme> parse_scheme(const std::string& name);

}  // namespace spatter::sim::mend
