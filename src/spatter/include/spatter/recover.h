// Brings a person's volume back on a new machine: from what the members keep for the person, with
// nothing but the person's secret.
#pragma once

#include <optional>

#include "spatter/context.h"
#include "spatter/label.h"
#include "wire/proto/records.pb.h"

namespace spatter {

/// The newest valid root record of the person among all reachable members (highest number, then
/// version). nullopt: nobody has one.
Task<Result<std::optional<wire::RootRecord>>> fetch_root(SpatterContext context);

/// Gives `root` (a signed RootRecord) to every reachable member. The number of those that took it;
/// Errc::fenced when any knows a higher writer number.
Task<Result<unsigned>> publish_root(SpatterContext context, wire::Signed root);

struct RecoveredPack {
  PackId pack;
  std::uint64_t sequence = 0;
  std::uint64_t length = 0;  ///< bytes covered by readable stripes from its start
  bool sealed = false;
  bool has_log = false;
  bool has_snapshot = false;
};

struct Recovered {
  std::vector<RecoveredPack> packs;  ///< by sequence
  std::uint64_t stripes = 0;
  std::uint64_t stripes_unreadable = 0;  ///< fewer than k shards were found
  std::vector<ServerId> silent;          ///< members that could not be asked
};

/// Lists every member's shards for the person, opens the labels of `volume`'s stripes and fills the
/// (empty) stripe table.
Task<Result<Recovered>> recover_stripes(SpatterContext context, OwnedVolume volume);

}  // namespace spatter
