// The records by which persons come to trust one another: made, and checked as far as one record by
// itself can be. What a set of them amounts to is trust/standing.h's to say.
//
// Persons are named by their first key. `key` is the one that signed; whether it was the person's
// at that time only the whole set tells.
//
// All functions are pure. Errors: invalid (a field makes no sense), corrupt (a signature or a draw's
// proof does not hold), denied (of another network).
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "trust/certificate.h"
#include "trust/draws.h"
#include "wire/proto/trust.pb.h"

namespace spatter {

/// Numbers travel in TrustRecord.kind: append, never renumber.
enum class TrustKind : std::uint32_t {
  admission = 1,
  vouch = 2,
  renewal = 3,
  announce = 4,
  review = 5,
  countersign = 6,
  words = 7,
  doubt = 8,
  rotation = 9,
};

enum class Verdict : std::uint32_t { vouch = 1, refuse = 2, unclear = 3 };

struct Admitted {
  PersonId person;
  PersonId inviter;
  std::optional<Digest> recovery;
};
struct Vouch {
  PersonId voucher;
  PersonId person;
  std::uint32_t number = 0;
  VrfOutput draw{};
};
struct Renewal {
  PersonId person;
  std::uint32_t round = 0;
  VrfOutput draw{};
};
/// A lot that its giver really drew for this phrase. Whose key it is, is for the whole set to tell.
struct PhraseLot {
  PersonId giver;
  PersonId key;
  VrfOutput draw{};
};
struct Announce {
  PersonId person;
  Digest basis;
  std::uint64_t phrase_epoch = 0;
  std::vector<PhraseLot> lots;  ///< by giver
  Digest clip;
  std::uint64_t clip_bytes = 0;
  Bytes clip_key;               ///< sealed, see trust/clip.h
  std::optional<Digest> recovery;
};
struct Review {
  PersonId reviewer;
  Digest announce;
  Verdict verdict = Verdict::unclear;
  std::string reason;
  VrfOutput draw{};
};
struct Countersign {
  PersonId signer;
  Digest renewal;
};
struct WordsProof {
  PersonId person;
  Digest renewal;
};
struct Doubt {
  PersonId doubter;
  PersonId person;
  std::string reason;
};
struct Rotation {
  PersonId person;
  std::uint32_t number = 0;
  PersonId new_key;
};

/// One checked record.
struct TrustFacts {
  Digest id;                 ///< of kind, body and key
  PersonId key;              ///< that signed
  std::uint64_t epoch = 0;   ///< as the signer says
  std::variant<Admitted, Vouch, Renewal, Announce, Review, Countersign, WordsProof, Doubt, Rotation>
      what;                  ///< in the order of TrustKind

  TrustKind kind() const { return static_cast<TrustKind>(what.index() + 1); }
};

inline constexpr std::uint64_t epoch_max = std::uint64_t{1} << 40;
inline constexpr std::uint32_t trust_number_max = 1U << 20;  ///< of vouches, renewals and rotations
inline constexpr std::size_t reason_bytes_max = 500;
inline constexpr std::size_t lots_max = 2 * reviewers_max + 1;
inline constexpr std::size_t trust_record_bytes_max = 16 * 1024;

Digest trust_record_id(TrustKind kind, const wire::Signed& record);

/// Signature, fields and proofs. Takes half a millisecond for each draw inside.
Result<TrustFacts> check_trust_record(const wire::TrustRecord& record,
                                      const GenesisFacts& genesis);

wire::TrustRecord admission_record(const wire::Signed& admission);
wire::TrustRecord make_vouch(const SigningKey& key, const NetworkId& network,
                             const PersonId& voucher, const PersonId& person, std::uint32_t number,
                             std::uint64_t epoch, const VrfProof& draw);
wire::TrustRecord make_renewal(const SigningKey& key, const NetworkId& network,
                               const PersonId& person, std::uint32_t round, std::uint64_t epoch,
                               const VrfProof& draw);

/// A lot as its giver hands it out.
struct GivenLot {
  PersonId giver;
  PersonId key;
  VrfProof draw{};
};
struct NewAnnounce {
  PersonId person;
  Digest basis;
  std::uint64_t epoch = 0;
  std::uint64_t phrase_epoch = 0;
  std::vector<GivenLot> lots;
  Digest clip;
  std::uint64_t clip_bytes = 0;
  Bytes clip_key;
  std::optional<Digest> recovery;
};
wire::TrustRecord make_announce(const SigningKey& key, const NetworkId& network,
                                NewAnnounce announce);
wire::TrustRecord make_review(const SigningKey& key, const NetworkId& network,
                              const PersonId& reviewer, const Digest& announce, Verdict verdict,
                              std::string reason, std::uint64_t epoch, const VrfProof& draw);
wire::TrustRecord make_countersign(const SigningKey& key, const NetworkId& network,
                                   const PersonId& signer, const Digest& renewal,
                                   std::uint64_t epoch);
wire::TrustRecord make_words_proof(const SigningKey& recovery, const NetworkId& network,
                                   const PersonId& person, const Digest& renewal,
                                   std::uint64_t epoch);
wire::TrustRecord make_doubt(const SigningKey& key, const NetworkId& network,
                             const PersonId& doubter, const PersonId& person, std::string reason,
                             std::uint64_t epoch);
wire::TrustRecord make_rotation(const SigningKey& recovery, const SigningKey& new_key,
                                const NetworkId& network, const PersonId& person,
                                std::uint32_t number, std::uint64_t epoch);

/// What a person commits to: SHA-256 of his recovery key's public half.
Digest recovery_commitment(const SigningKey& recovery);

/// The phrase that lots make: six words. Nobody who lacks any one of them knows it.
inline constexpr std::size_t phrase_words = 6;
std::string phrase_of(const NetworkId& network, const Digest& basis, std::uint64_t epoch,
                      const std::vector<PhraseLot>& lots);

}  // namespace spatter
