// What a running server can be asked over its control socket: one function a request.
#pragma once

#include "control_connection.h"
#include "node/server.h"

namespace spatter::doors {

/// The final answer, without its "ok". Events and data go through `connection` before it.
Task<Result<Json>> answer_request(Runtime& runtime, Server& server, ControlConnection& connection,
                                  ControlConnection::Frame request);

}  // namespace spatter::doors
