// Starts processes from one thread that lives as long as this process. The kernel takes the end of the
// *thread* that started a process for the death of its parent; so whatever is to die with this
// process, and not with a pool's worker, is started here.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace spatter::cycles {

struct Launch {
  std::vector<std::string> line;               ///< a program's path and its arguments
  std::vector<std::pair<int, int>> descriptors; ///< (ours, its); all others it gets only if `kept`
  std::vector<int> kept;                       ///< same number there as here
  int own_handle = -1;                         ///< the number under which it gets a handle of itself
  std::uint64_t file_bytes_max = 0;
};

/// A process in a session and process group of its own, killed when this process dies. When it returns
/// the group exists and the program runs. Its parent is this process, which has to wait for it.
Result<pid_t> launch(const Launch& launch);

}  // namespace spatter::cycles
