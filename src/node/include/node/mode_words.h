// What people are told of the network's mode. Pure functions; any thread.
#pragma once

#include <string>

#include "mend/mode_desk.h"

namespace spatter {

/// "12.5% of the stripes that a typical reporter sees are in danger, 30 of 40 are rebuilt, about 3 min are left".
std::string mode_progress(const ModeStatus& status);
/// Why the mode is what it is, in one sentence.
std::string mode_reason(const ModeStatus& status, const MendRules& rules);
/// Why it began, in one sentence; nothing while the network serves, or when that is not known.
std::string mode_cause(const ModeStatus& status);
/// What everybody is told when it is over.
std::string mode_over(const ModeStatus& status);
/// What a door says that refuses to read or write.
std::string mode_refusal(const ModeStatus& status);
/// One line for whoever runs any command meanwhile.
std::string mode_notice(const ModeStatus& status);
/// What helps, for whoever invites somebody.
std::string mode_help();

}  // namespace spatter
