// The newcomer's side of joining a network by an invite link.
#pragma once

#include "base/runtime.h"
#include "directory/invite.h"
#include "directory/member_store.h"
#include "net/rpc.h"
#include "trust/certificate.h"
#include "wire/proto/trust.pb.h"

namespace spatter {

struct Joined {
  /// Set: the person signs with this key now, and not with the one of the certificate. Nobody was let in,
  /// the invite is still good, and the rest is empty.
  std::optional<PersonId> other_key;
  MemberStore::Contents contents;  ///< validated; for MemberStore::replace
  std::vector<wire::TrustRecord> rotations;  ///< validated; for TrustExchange::keep
  std::string observed_host;       ///< ours, as the inviter sees it
};

/// Calls the inviting server under each of the invite's addresses, shows the secret, and checks all
/// that comes back: the genesis is the one the link names and `identity`'s person is admitted.
/// `rpc` belongs to no network yet; `identity` carries the network of the link.
///
/// `recovery` is what the person commits to, if nobody has let him in before.
/// With `recover`, the inviter lets nobody in of whom the network keeps no volume (not_found).
/// Errors: denied (expired, used, unknown invite; another server answered), unavailable or timeout
/// (no address answers). Trying again with the same server key is safe.
Task<Result<Joined>> join_network(Runtime& runtime, Rpc& rpc, Invite invite,
                                  const Identity& identity, std::uint64_t capacity_bytes,
                                  bool recover = false,
                                  const std::optional<RecoveryClaim>& recovery = {});

}  // namespace spatter
