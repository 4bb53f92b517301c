// What the control socket answers about mending and audits.
#pragma once

#include "base/task.h"
#include "doors/control.h"
#include "node/server.h"

namespace spatter::doors {

/// `rate`, when given, is a text as in spatter.toml, and counts until the server's next start.
Task<Result<Json>> answer_repair(Server& server, const Json& request);
/// `now`: a round with everybody first.
Task<Result<Json>> answer_audit(Server& server, const Json& request);

}  // namespace spatter::doors
