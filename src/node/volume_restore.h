// Filling an empty index and stripe table of a volume from the network.
#pragma once

#include "crypto/volume_keys.h"
#include "spatter/reader.h"
#include "spatter/recover.h"
#include "userhalf/volume.h"

namespace spatter {

/// Until all members are up, or nobody more has come up for a while, or it has taken too long.
Task<void> wait_for_members(Runtime& runtime, Members& members);

struct RestoredVolume {
  std::uint64_t files = 0;
  std::string missing;  ///< empty: it is whole; else a sentence about what could not be had
  bool behind = false;  ///< the list of files itself is not the newest: it must not be written on
  bool may_improve = false;  ///< servers that did not answer may have what is missing
};

/// `known` is the volume with its newest root, `number` this server's as its writer, `reader` that of
/// `context`. Pack files in `packs_folder` (unless empty) go before the network's bytes, and stay.
/// Errors name the servers that did not answer, if any.
Task<Result<RestoredVolume>> restore_from_network(SpatterContext context, const KnownVolume& known,
                                                  std::uint64_t number, const VolumeKeys& keys,
                                                  Database& database, StripeReader& reader,
                                                  std::string packs_folder = {});

std::string brief_list(const std::vector<ServerId>& servers);

}  // namespace spatter
