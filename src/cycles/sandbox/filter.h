// The system calls that a sandboxed program does without.
#pragma once

#include "base/error.h"
#include "cycles/descriptor.h"

namespace spatter::cycles {

enum class MayFork : bool { no, yes };

/// A file of seccomp instructions, as bubblewrap's --seccomp reads it. On a processor for which there
/// is no list, an empty Descriptor.
Result<Descriptor> sandbox_filter(MayFork may_fork);

}  // namespace spatter::cycles
