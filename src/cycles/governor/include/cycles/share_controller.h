// A ShareKeeper for any Linux: SIGSTOP and SIGCONT, steered by the processes' own CPU clocks, on a thread of its
// own. A burst ends when its time is over by estimate; then the clocks, exact once a process is off its
// core, say what it really used, and the next burst is as much shorter or later. docs/shares.md says how exact that is.
//
// Each stop and start of a child is a SIGCHLD to its parent, unless that asked for none (SA_NOCLDSTOP).
#pragma once

#include "cycles/processes.h"
#include "cycles/share_keeper.h"

namespace spatter::cycles {

/// Begins with both shares 0. `why` is put into its description: why nothing better is used. Destroying it ends
/// (SIGKILL) what it still holds. Errors: io (no thread, no event descriptor).
Result<std::unique_ptr<ShareKeeper>> make_share_controller(std::unique_ptr<Processes> processes,
                                                           std::string why = {}, ShareLawOptions options = {});

}  // namespace spatter::cycles
