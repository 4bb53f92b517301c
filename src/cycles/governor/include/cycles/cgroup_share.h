// A ShareKeeper by cgroup v2, for a machine that delegates a tree with the cpu controller: cpu.max holds the shares in the
// kernel, cgroup.freeze stops, cpu.idle makes filler filler. On top a thread counts the minutes, as the
// kernel pays each period for itself and does not know of minutes.
#pragma once

#include "cycles/share_keeper.h"

namespace spatter::cycles {

/// The folder of a cgroup below which this process may govern: its own, if that was delegated to its user with
/// the cpu controller and holds no process beside this one's, which then moves into a group of its own below it.
/// unavailable: says what is missing.
Result<std::string> find_delegated_cgroup(const std::string& proc = "/proc", const std::string& mount = "/sys/fs/cgroup");

/// Makes the groups `pledged` and `filler` below `folder`. Destroying it kills what they hold and removes them.
/// Errors: unavailable (no cpu controller there), denied or io (files that cannot be written), named.
Result<std::unique_ptr<ShareKeeper>> make_cgroup_share(const std::string& folder, unsigned cores,
                                                       ShareLawOptions options = {});

/// By cgroup where one is delegated, else by signals; its description says which and why.
Result<std::unique_ptr<ShareKeeper>> make_share_keeper();

}  // namespace spatter::cycles
