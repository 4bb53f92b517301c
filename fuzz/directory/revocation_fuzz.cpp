// Revocations from a peer: the bytes as they come, and as a body that its person really signed around
// a record that its server really signed. Refused, or the server is gone and stays so.
#include "directory/revocation.h"

#include "server_of_founder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  static World world;
  Roster roster(world.genesis);
  wire::Signed record;
  if (record.ParseFromArray(data, static_cast<int>(size))) {
    SPATTER_ASSERT(!roster.revoke(record));  // nobody guesses a signature
    const auto wrapped = make_revocation(world.founder, world.genesis.network, record, 1);
    (void)roster.revoke(wrapped);
  }
  wire::Revocation body;
  if (body.ParseFromArray(data, static_cast<int>(size)))
    (void)roster.revoke(sign_message(world.founder, kind::revocation, body));
  wire::ServerRecord message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  const auto server = world.signed_record(message);
  (void)roster.accept(server);
  if (!roster.revoke(make_revocation(world.founder, world.genesis.network, server, 1))) return 0;
  SPATTER_ASSERT(roster.revoked().contains(world.identity.server));
  SPATTER_ASSERT(!roster.find(world.identity.server) && !roster.accept(server));
  return 0;
}
