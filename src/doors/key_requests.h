// The person's key, over the control socket.
#pragma once

#include "base/task.h"
#include "doors/control.h"
#include "node/server.h"

namespace spatter::doors {

/// The op "key": `what` is state, change or take.
Task<Result<Json>> answer_key(Server& server, const Json& request);

}  // namespace spatter::doors
