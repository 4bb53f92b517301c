// A person retires a server of his for good: it is lost, or its key is in wrong hands. The record
// proves itself to everybody: the person's signature, and in it a record of that server, which only
// the server's key can have signed and which names the person. So nobody can retire what is not his,
// and whoever has the record knows which connections to refuse without having met the server.
#pragma once

#include "directory/roster.h"

namespace spatter {

struct RevocationFacts {
  ServerId server;
  PersonId person;     ///< that the server has named
  PersonId signed_by;  ///< the key: whether it is the person's is for the caller to ask
  std::uint64_t issued_ms = 0;
};

/// `server_record` is any valid record of the server to be retired.
wire::Signed make_revocation(const SigningKey& person, const NetworkId& network,
                             const wire::Signed& server_record, WallMs now);
/// Both signatures, the bounds, and that it is for this network. Whether the person is admitted, and
/// whether it was he who signed, is not looked at.
Result<RevocationFacts> check_revocation(const wire::Signed& record, const NetworkId& network);

}  // namespace spatter
