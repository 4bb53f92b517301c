// What a server needs of the machine to compute for others: a sandbox, and whoever holds the share.
#pragma once

#include "cycles/piece_runner.h"
#include "node/cycles_settings.h"

namespace spatter {

class WorkRunner : public PieceRunner {
 public:
  /// From now on. What runs goes on under the new share.
  virtual void set_policy(const CyclesSettings& settings) = 0;
  /// How many pieces at a time a share of all cores is good for.
  virtual unsigned parallel(std::uint32_t share_ppm) const = 0;
};

}  // namespace spatter
