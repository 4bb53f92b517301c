// What `recover` does with a person's volumes, of which there is one for each of his servers: which
// one the new machine takes over, and which it copies into folders of its own volume.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spatter/recover.h"

namespace spatter {

/// Exactly one of the two is filled.
struct RecoveryChoice {
  /// This machine becomes the volume's writer; whoever was it before is fenced.
  std::optional<KnownVolume> take_over;
  /// These are copied as folders; their writers, should they come back, notice nothing.
  std::vector<KnownVolume> copy;
};

/// A person's only volume is taken over in any case. Of several:
/// the volumes that have no server any more and hold something; the only one of them that is left is
/// taken over, of several none is: nobody can tell the machine that was lost from one that is off.
/// With nothing in any of them, the newest is taken over. A volume that has a server is left to it,
/// for there the words may be those of a second machine of the same person.
///
/// `chosen`, if not empty, are the first digits of a volume's id: that one is taken over, unless its
/// server is reached from here (Errc::busy), and the others are left alone. not_found when the person
/// has no (such) volume, exists when there is nothing to recover; every error says what to do.
Result<RecoveryChoice> choose_recovery(const std::vector<KnownVolume>& volumes,
                                       std::string_view chosen);

}  // namespace spatter
