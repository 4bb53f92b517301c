// Making a draw with a drive's keys, for `spatter chance draw` and the control socket.
#pragma once

#include "doors/control.h"
#include "node/server.h"

namespace spatter::doors {

/// The draw that `request` asks for, as chance_json prints it, with its output. `purpose` (a name),
/// `subject` (64 hexadecimal digits), `epoch` (the present one if missing), `as` ("server", the default, or
/// "person"). On the executor.
Result<Json> draw_json(Runtime& runtime, Server& server, const Json& request);

}  // namespace spatter::doors
