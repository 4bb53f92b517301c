// The server half as other servers see it: registers the shard.* and root.* methods of
// net/methods.h on an Rpc. Every request is checked here before the store sees it.
#pragma once

#include <functional>
#include <optional>

#include "base/ids.h"
#include "net/rpc.h"
#include "serverhalf/shard_store.h"

namespace spatter {

/// The person of a server, from a certificate that was checked; nothing when the server is not a
/// member: it is then refused everything with Errc::denied.
using PersonOf = std::function<std::optional<PersonId>(ServerId)>;

/// Whether a person may have new shards kept here; the error says why not, and is passed on.
using MayStore = std::function<Result<void>(const PersonId&)>;

/// The key that a person signs with now. Unset: his first one.
using KeyOf = std::function<PersonId(const PersonId&)>;

/// `store`, `person_of` and `may_store` must live as long as `rpc` serves.
///
/// Any member may read shards, check them and get roots (all of it is ciphertext, and repair needs
/// it); writing, listing and releasing are for the owner's person; the contract's owner key must
/// be that of a server of that person.
void serve_shards(Rpc& rpc, ShardStore& store, PersonOf person_of, MayStore may_store = {},
                  KeyOf key_of = {});

}  // namespace spatter
