// Whether a person may have more room in this server half: reciprocity, pairwise and by contract.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "base/ids.h"

namespace spatter {

/// What the rest of the node knows of a person and of the network, and the store cannot.
struct Reciprocity {
  std::uint64_t kept_for_us = 0;  ///< bytes that person's servers keep for this server's person
  std::size_t persons = 1;        ///< persons with a server in the network, this one's included
  unsigned allowance_percent = 100;  ///< of a trusted person's; less while trust in him is
};

/// One request for room, with everything a decision needs. All figures are charged bytes, that is
/// with the overhead of index and hashes.
struct RoomRequest {
  PersonId person;
  Reciprocity reciprocity;
  std::uint64_t need = 0;             ///< of the new shard
  std::uint64_t kept_for_person = 0;  ///< already kept or reserved for him
  std::uint64_t used = 0;             ///< kept or reserved for everybody
  std::uint64_t budget = 0;           ///< of the server half
};

/// A policy; called on the executor, must not wait. The hard limits (budget, disk) are checked by
/// the store itself and are no matter of policy.
class Admission {
 public:
  virtual ~Admission() = default;
  /// Errc::no_space with a sentence that tells the person what would help.
  virtual Result<void> admit(const RoomRequest& request) const = 0;
};

/// For what no policy has a say in: root records, and what is rebuilt.
const Admission& everyone();

/// The default. The last eighth of the half is kept for those who are below their share; up to
/// there it is first come, first served. A person's share is the largest of
///   - an equal part: budget / persons,
///   - the newcomer's allowance: a quarter of the budget,
///   - what his servers keep for us, and a quarter more.
/// Whoever is trusted less has that part of his share, and nothing of what others leave.
/// So nobody can fill the half against the others, a single person's network can be filled to the
/// last byte, and a lone owner among many can use seven eighths of everybody.
class FairAdmission final : public Admission {
 public:
  Result<void> admit(const RoomRequest& request) const override;
};

}  // namespace spatter
