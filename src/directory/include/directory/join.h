// The newcomer's side of joining a network by an invite link.
#pragma once

#include "base/runtime.h"
#include "directory/invite.h"
#include "directory/member_store.h"
#include "net/rpc.h"
#include "trust/certificate.h"

namespace spatter {

struct Joined {
  MemberStore::Contents contents;  ///< validated; for MemberStore::replace
  std::string observed_host;       ///< ours, as the inviter sees it
};

/// Calls the inviting server under each of the invite's addresses, shows the secret, and checks all
/// that comes back: the genesis is the one the link names and `identity`'s person is admitted.
/// `rpc` belongs to no network yet; `identity` carries the network of the link.
///
/// With `recover`, the inviter lets nobody in of whom the network keeps no volume (not_found).
/// Errors: denied (expired, used, unknown invite; another server answered), unavailable or timeout
/// (no address answers). Trying again with the same server key is safe.
Task<Result<Joined>> join_network(Runtime& runtime, Rpc& rpc, Invite invite,
                                  const Identity& identity, std::uint64_t capacity_bytes,
                                  bool recover = false);

}  // namespace spatter
