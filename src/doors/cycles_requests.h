// Requests about what this server gives of its processor.
#pragma once

#include "control_connection.h"
#include "node/server.h"

namespace spatter::doors {

/// "pledge": with "share", "when" or "quiet_s" it is set; "from": "now" or "next-month", empty: now, but this month's
/// promise is kept. Answers with what is in force, and what will be.
Task<Result<Json>> answer_pledge(Server& server, const Json& request);
/// "mine": with "pool" (empty: no more), "user", "share" or "when" it is set. Likewise, with the miner's report.
Task<Result<Json>> answer_mine(Server& server, const Json& request);
/// "cycles": what is promised, how the machine holds it, what is computed, how good forecasts were.
Json cycles_json(Server& server);
/// "cycles_ledger": all months of a person, whose id begins with "person", or of this server's own.
Result<Json> answer_ledger(Server& server, const Json& request);

}  // namespace spatter::doors
