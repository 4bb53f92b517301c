// What the control socket answers about the directory. The request's `what` says which: stats, contacts,
// records, get, ping.
#pragma once

#include "base/task.h"
#include "doors/control.h"
#include "node/server.h"

namespace spatter::doors {

Task<Result<Json>> answer_directory(Runtime& runtime, Server& server, const Json& request);

}  // namespace spatter::doors
