// A person retires a server of his for good: it is lost, or its key is in wrong hands. The record
// proves itself to everybody: the person's signature, and in it a record of that server, which only
// the server's key can have signed and which names the person. So nobody can retire what is not his,
// and whoever has the record knows which connections to refuse without having met the server.
#pragma once

#include "directory/roster.h"

namespace spatter {

struct RevocationFacts {
  ServerId server;
  PersonId person;
  std::uint64_t issued_ms = 0;
};

/// `server_record` is any valid record of the server to be retired.
wire::Signed make_revocation(const SigningKey& person, const NetworkId& network,
                             const wire::Signed& server_record, WallMs now);
/// Both signatures, the bounds, that it is for this network, and that the server named the person who
/// signed. Whether the person is admitted is not looked at.
Result<RevocationFacts> check_revocation(const wire::Signed& record, const NetworkId& network);

}  // namespace spatter
