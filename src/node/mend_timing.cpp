#include "node/mend_timing.h"

#include <algorithm>

namespace spatter {

MendTiming mend_timing(const GenesisFacts& genesis) {
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using std::chrono::seconds;
  const Duration epoch = seconds(genesis.epoch_seconds);
  const auto part = [&](int divisor, Duration least, Duration most) {
    return std::clamp<Duration>(epoch / divisor, least, most);
  };
  MendTiming timing;
  timing.mend.grace = epoch * genesis.mend.grace_epochs;
  timing.mend.absent_after = epoch * genesis.mend.absent_epochs;
  timing.mend.look_every = part(60, milliseconds(500), minutes(1));
  timing.mend.again_after = part(60, seconds(2), minutes(1));
  timing.mend.trial = std::max<Duration>({epoch, minutes(10), timing.mend.grace});
  timing.mend.turns.takeover = part(60, seconds(3), minutes(1));
  timing.mend.claim = part(6, minutes(1), minutes(10));
  timing.mend.turns.owner_first = part(6, seconds(2), minutes(10));
  timing.lists.tell_after = part(360, seconds(1), seconds(10));
  timing.lists.again_after = part(120, seconds(2), seconds(30));
  timing.audit.timeout = part(4, seconds(5), seconds(15));
  timing.audit.period_epochs = genesis.mend.audit_epochs;
  return timing;
}

}  // namespace spatter
