// Which other servers this one depends on, so that the members' view keeps them (Members::watch).
#pragma once

#include <set>

#include "directory/members.h"
#include "serverhalf/shard_store.h"
#include "spatter/stripe_table.h"

namespace spatter {

/// Most important first: who carries connections to this server; who keeps shards of its stripes, by how
/// many, and who carries connections to those; where something waits to be released; whose shards are kept
/// here, by how much; who keeps stripes together with this server; who carries connections to anybody else in
/// the view. None twice. Pure.
std::vector<ServerId> watch_list(const std::vector<ServerId>& own_relays, const StripeTable& stripes,
                                 const std::vector<ShardBalance>& kept, const std::set<ServerId>& co_holders,
                                 const Members& members);

}  // namespace spatter
