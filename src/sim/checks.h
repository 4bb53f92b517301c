// Truths about the whole network, looked at from outside the servers.
#pragma once

#include "client.h"

namespace spatter::sim {

/// Neither half is ever above its limit. For every moment.
Task<void> check_budgets(Fleet& fleet, Problems& problems);
/// Every contract an owner counts on is one its holder knows. For a network at rest.
Task<void> check_contracts(Fleet& fleet, Problems& problems);
/// Waits until no server has anything left to ship, move or release and all is full, but not
/// longer than `patience`; says what is left if it is.
Task<void> await_rest(World& world, Fleet& fleet, Problems& problems, Duration patience);

}  // namespace spatter::sim
