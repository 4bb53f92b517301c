// Where `put` stores what, decided before anything is stored.
#pragma once

#include "cli/local_tree.h"

namespace spatter::doors {

/// Where the sources go, as cp decides it: into a folder that is there, or as the destination itself.
/// An error when nothing can go there; what can't be stored of the sources is added to `failures`.
Result<LocalTree> plan_put(ControlClient& client, const std::vector<std::string>& sources,
                           const std::string& dest, Failures& failures);

/// Where a file of bytes goes that is put at `dest`: not into a folder.
Result<std::string> plan_put_stream(ControlClient& client, const std::string& dest);

}  // namespace spatter::doors
