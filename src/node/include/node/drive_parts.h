// The databases without which a drive is none: what is done about a drive that has lost one.
//
// A complete drive has all of them from the moment it is complete, so a missing one was lost. Opened
// all the same, an empty one in its place would say that there is nothing: no files, so that the
// network's shards of them are superfluous; no shards, so that those here are.
#pragma once

#include <string>
#include <vector>

#include "base/runtime.h"
#include "node/drive.h"
#include "node/server.h"

namespace spatter {

/// Makes those that are not there yet, empty and durable, before the drive counts as complete.
Task<Result<void>> make_databases(Runtime& runtime, const Drive& drive);

/// A finding for each database that the complete drive has lost; each says what to do. Those of a
/// volume that the next start brings back anyway are not counted. With `mend`, all that can be is put
/// right or, in the volume's case, noted down for the next start (see mark_for_recovery).
Task<Result<std::vector<ServerFinding>>> check_databases(Runtime& runtime, const Drive& drive,
                                                         bool mend);

/// The next start of the server brings its volume back, from the packs here and from the network,
/// before anything else.
Task<Result<void>> mark_for_recovery(Runtime& runtime);

}  // namespace spatter
