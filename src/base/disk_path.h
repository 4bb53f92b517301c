// What every Disk demands of a path.
#pragma once

#include "base/error.h"

namespace spatter {

/// "" (the root) or names joined by single '/', none of them "." or "..", no NUL.
Result<void> check_disk_path(std::string_view path);

}  // namespace spatter
