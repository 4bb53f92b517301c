// The workload `trust`: newcomers join a network with reviews, get vouched for, announce clips and are
// judged, while faults strike. Afterwards all servers must agree on everybody, everybody must be trusted,
// and nobody, being honest, may have been proven a fraud.
#pragma once

#include "checks.h"
#include "fleet.h"

namespace spatter::sim {

/// What the founder of such a network decides.
NewNetwork reviewed_network();

class TrustPlay {
 public:
  TrustPlay(World& world, Fleet& fleet, Problems& problems)
      : world_(world), fleet_(fleet), problems_(problems) {}

  /// A member who does what is asked of him, a little late, for ever: announces and judges.
  Task<void> member(unsigned index);
  /// Waits until all is settled, and complains about what is not.
  Task<void> check(Duration within);
  /// Records that members made.
  std::uint64_t announced() const { return announced_; }
  std::uint64_t judged() const { return judged_; }

 private:
  std::vector<std::string> complaints();

  World& world_;
  Fleet& fleet_;
  Problems& problems_;
  std::uint64_t announced_ = 0;
  std::uint64_t judged_ = 0;
};

}  // namespace spatter::sim
