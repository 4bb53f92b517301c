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
/// The person's key, and with it the certificate, may change while it runs; nothing else does.
struct Identity {
  NetworkId network;
  PersonId person;           ///< his first key, for ever
  ServerId server;
  SigningKey server_key;
  SigningKey person_key;     ///< that this server signs with for him
  wire::Signed certificate;  ///< of server_key, by person_key, for network
};

/// How long a month of spare cycles is: 30 days of epochs of an hour. A lease must be settled within one.
inline constexpr std::uint32_t cycles_month_epochs_default = 720, cycles_month_epochs_min = 13,
                               cycles_month_epochs_max = 1'000'000;

struct GenesisFacts {
  NetworkId network;
  PersonId founder;
  std::uint64_t created_ms = 0;
  std::uint32_t epoch_seconds = 3600;
  TrustRules rules;
  MendRules mend;
  std::uint32_t cycles_month_epochs = cycles_month_epochs_default;
  std::optional<Digest> recovery;  ///< SHA-256 of the founder's recovery key

  /// The epoch in which a moment falls; 0 for all before the network was made.
  std::uint64_t epoch_of(WallMs moment) const;
};

/// What a founder may decide besides.
struct GenesisExtras {
  std::optional<TrustRules> rules;  ///< of networks with reviews
  std::optional<Digest> recovery;   ///< what he commits to
  std::optional<MendRules> mend;
  std::optional<std::uint32_t> cycles_month_epochs;
};

/// A new network, founded by this person.
wire::Signed make_genesis(const SigningKey& founder, Random& entropy, WallMs now,
                          std::uint32_t epoch_seconds = 3600, const GenesisExtras& extras = {});
Result<GenesisFacts> check_genesis(const wire::Signed& record);

/// Signed with `key` for `person`, whose first key it is unless he is named.
wire::Signed make_certificate(const SigningKey& key, const NetworkId& network,
                              ByteView server_key, WallMs now, std::optional<PersonId> person = {});

struct CertificateFacts {
  PersonId person;
  PersonId signed_by;  ///< the key: whether it is the person's now is for the caller to ask
  ServerId server;
  Bytes server_key;
};
/// A certificate for this network whose signature holds.
Result<CertificateFacts> check_certificate(const wire::Signed& record, const NetworkId& network);

/// What a person commits to, said by himself: SHA-256 of his recovery key's public half, and a
/// signature of it by his first key.
struct RecoveryClaim {
  Digest recovery;
  std::string signature;
};
RecoveryClaim make_recovery_claim(const SigningKey& first_key, const NetworkId& network,
                                  const Digest& recovery);
Result<void> check_recovery_claim(const RecoveryClaim& claim, const NetworkId& network,
                                  const PersonId& person);

/// "`inviter` vouches for `person` in `network`", signed with a key of the inviter's: his first one
/// unless he is named.
wire::Signed make_admission(const SigningKey& key, const NetworkId& network, const PersonId& person,
                            WallMs now, std::optional<PersonId> inviter = {},
                            const std::optional<RecoveryClaim>& recovery = {});

struct AdmissionFacts {
  PersonId person;
  PersonId inviter;
  PersonId signed_by;  ///< the key: whether the inviter had it then is for the caller to ask
  std::uint64_t issued_ms = 0;
  std::optional<Digest> recovery;  ///< that the person has committed to
};
Result<AdmissionFacts> check_admission(const wire::Signed& record, const NetworkId& network);

/// Puts an Identity together and signs its certificate. `person_key` is the person's first unless he is
/// named.
Identity make_identity(const NetworkId& network, SigningKey person_key, SigningKey server_key,
                       WallMs now, std::optional<PersonId> person = {});

}  // namespace spatter
