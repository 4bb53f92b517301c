// An invented network of one person with one server, whose records the fuzz targets of this room forge and
// really sign.
#pragma once

#include "directory/roster.h"

namespace {

struct World {
  spatter::SeededRandom random{1};
  spatter::SigningKey founder = spatter::SigningKey::generate(random);
  spatter::GenesisFacts genesis =
      spatter::check_genesis(spatter::make_genesis(founder, random, 1)).value();
  spatter::Identity identity = spatter::make_identity(
      genesis.network, founder, spatter::SigningKey::generate(random), 1);

  /// A body of a server record, with what must be the server's own put in place, and signed.
  spatter::wire::Signed signed_record(spatter::wire::ServerRecord body) const {
    const auto& key = identity.server_key.public_key();
    body.set_server_key(key.data(), key.size());
    *body.mutable_certificate() = identity.certificate;
    return spatter::sign_message(identity.server_key, spatter::kind::server, body);
  }
};

}  // namespace
