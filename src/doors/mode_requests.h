// What the control socket answers about the network's mode.
#pragma once

#include "doors/control.h"
#include "node/server.h"

namespace spatter::doors {

/// What `spatter mode --json` prints.
Json mode_json(const Server& server);

}  // namespace spatter::doors
