// Whether this drive's index of the volume is the newest there is, judged by a root record that some
// member keeps: a drive whose index was lost or set back must release nothing and write nothing, for
// it would take for superfluous what it only doesn't know.
#pragma once

#include "crypto/volume_keys.h"
#include "userhalf/volume.h"
#include "wire/proto/records.pb.h"

namespace spatter {

/// What this drive knows of the volume it writes.
struct OwnIndex {
  VolumeId volume;
  ServerId server;
  std::uint64_t number = 0;  ///< as its writer
  LogState log;
};

/// Errors: fenced (another server has taken the volume over), corrupt (the record says more than the
/// index here knows, or names another volume that this server wrote). Records of the person's other
/// servers say nothing here. Pure.
Result<void> check_index(const wire::RootRecord& root, const OwnIndex& own,
                         const RecordKeys& metadata);

}  // namespace spatter
