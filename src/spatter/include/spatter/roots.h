// Root records at other members: asking one for those of the own person, giving one a new record.
// Whether they say anything new is for the caller to judge.
#pragma once

#include <vector>

#include "spatter/context.h"
#include "wire/proto/records.pb.h"

namespace spatter {

struct KnownRoots {
  std::vector<wire::RootRecord> roots;
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
