#include "serverhalf/admission.h"

#include <algorithm>

namespace spatter {

Result<void> FairAdmission::admit(const RoomRequest& request) const {
  const std::uint64_t after = request.kept_for_person + request.need;
  const std::size_t persons = std::max<std::size_t>(request.reciprocity.persons, 1);
  const std::uint64_t kept_for_us = request.reciprocity.kept_for_us;
  const std::uint64_t share = std::max({request.budget / persons, request.budget / 4,
                                        kept_for_us + kept_for_us / 4});
  const unsigned percent = request.reciprocity.allowance_percent;
  if (percent < 100) {
    const std::uint64_t part = share / 100 * percent;
    if (after <= part) return {};
    return fail(Errc::no_space, "person {} has {} bytes here and may have {}: trust in him is at {} % until he has "
                "renewed it, or time has passed", request.person, request.kept_for_person, part, percent);
  }
  if (after <= share) return {};
  const std::uint64_t common = request.budget - request.budget / 8;
  if (request.used + request.need <= common) return {};
  return fail(Errc::no_space,
              "person {} has {} bytes here and his share is {}; the last eighth of this server half "
              "is for those below theirs: keep more for others, or add servers",
              request.person, request.kept_for_person, share);
}

const Admission& everyone() {
  struct Everyone final : Admission {
    Result<void> admit(const RoomRequest&) const override { return {}; }
  };
  static const Everyone admission;
  return admission;
}

}  // namespace spatter
