// Who is who: the genesis of a network, the certificate that ties a server's key to its person, and
// the admissions by which persons vouch for persons, back to the founder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/random.h"
#include "base/time.h"
#include "trust/rules.h"
#include "trust/signed.h"

namespace spatter {

/// All that a server is, while it runs. Owned by Server; the others keep references.
struct Identity {
  NetworkId network;
  PersonId person;
  ServerId server;
  SigningKey server_key;
  SigningKey person_key;
  wire::Signed certificate;  ///< of server_key, by person_key, for network
};

struct GenesisFacts {
  NetworkId network;
  PersonId founder;
  std::uint64_t created_ms = 0;
  std::uint32_t epoch_seconds = 3600;
  TrustRules rules;
  MendRules mend;
  std::optional<Digest> recovery;  ///< SHA-256 of the founder's recovery key

  /// The epoch in which a moment falls; 0 for all before the network was made.
  std::uint64_t epoch_of(WallMs moment) const;
};

/// What a founder may decide besides.
struct GenesisExtras {
  std::optional<TrustRules> rules;
  std::optional<MendRules> mend;
  std::optional<Digest> recovery;
};

/// A new network, founded by this person.
wire::Signed make_genesis(const SigningKey& founder, Random& entropy, WallMs now,
                          std::uint32_t epoch_seconds = 3600, const GenesisExtras& extras = {});
Result<GenesisFacts> check_genesis(const wire::Signed& record);

wire::Signed make_certificate(const SigningKey& person, const NetworkId& network,
                              ByteView server_key, WallMs now);

struct CertificateFacts {
  PersonId person;
  ServerId server;
  Bytes server_key;
};
/// Signed by the person inside, for this network.
Result<CertificateFacts> check_certificate(const wire::Signed& record, const NetworkId& network);

/// "`inviter` vouches for `person` in `network`", signed by the inviter's person key.
wire::Signed make_admission(const SigningKey& inviter, const NetworkId& network,
                            const PersonId& person, WallMs now);

struct AdmissionFacts {
  PersonId person;
  PersonId inviter;
  std::uint64_t issued_ms = 0;
};
Result<AdmissionFacts> check_admission(const wire::Signed& record, const NetworkId& network);

/// Puts an Identity together and signs its certificate.
Identity make_identity(const NetworkId& network, SigningKey person_key, SigningKey server_key,
                       WallMs now);

}  // namespace spatter
