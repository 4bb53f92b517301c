// The system calls that a sandboxed helper does without.
#pragma once

#include "doors/control.h"

namespace spatter::doors {

/// A file of seccomp instructions, as bubblewrap's --seccomp reads it. On a processor for which there
/// is no list, an empty Descriptor.
Result<Descriptor> sandbox_filter();

}  // namespace spatter::doors
