// How fast the parts that mend look, wait and give up, in a network of given epochs: what takes a day
// where an epoch is an hour takes a minute where it is seconds. Pure functions; any thread.
#pragma once

#include "mend/auditor.h"
#include "mend/mender.h"
#include "mend/owner_lists.h"
#include "trust/certificate.h"

namespace spatter {

struct MendTiming {
  MendOptions mend;
  OwnerListOptions lists;
  AuditOptions audit;
};
MendTiming mend_timing(const GenesisFacts& genesis);

}  // namespace spatter
