// Root records at other members: asking one for those of the own person, giving one a new record.
// Whether they say anything new is for the caller to judge.
#pragma once

#include <optional>
#include <vector>

#include "crypto/person_keys.h"
#include "crypto/volume_keys.h"
#include "spatter/context.h"
#include "wire/proto/records.pb.h"

namespace spatter {

/// The keys of the volume that a root record is of: those of the secret under which it was made. nullopt:
/// none of the person's secrets opens it.
std::optional<VolumeKeys> keys_of_volume(const PersonKeys& person, const wire::RootRecord& root);

struct KnownRoot {
  wire::RootRecord record;
  PersonId signed_by;  ///< a key that is or was the person's
};

struct KnownRoots {
  std::vector<KnownRoot> roots;
  std::vector<std::string> writers_up;  ///< of their writers, those that the member says are connected
};
/// The root records of a person (the context's unless said) that `member` (or the own server half) keeps, as far as
/// the person signed them. An error means that it could not be asked, not that it has none.
Task<Result<KnownRoots>> ask_roots(SpatterContext context, ServerId member,
                                   std::optional<PersonId> of = {});

/// Durable at `member` (or in the own server half) on success. Errc::fenced: it knows a higher writer
/// number; Errc::exists: it has a record of this number that is as new.
Task<Result<void>> give_root(SpatterContext context, ServerId member, wire::Signed root);

}  // namespace spatter
