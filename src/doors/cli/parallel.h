// Many small requests at a time: they then share the server's commits.
#pragma once

#include <functional>

#include "cli/context.h"

namespace spatter::doors {

/// Calls `work` for every number below `count`, from up to `threads` threads with a connection each.
/// An error of `work` ends it early and is returned.
Result<void> in_parallel(const Context& context, std::size_t count, std::size_t threads,
                         const std::function<Result<void>(ControlClient&, std::size_t)>& work);

}  // namespace spatter::doors
