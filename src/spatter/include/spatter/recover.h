// Brings a person's volumes back on a new machine: from what the members keep for the person, with
// nothing but the person's secret.
#pragma once

#include <optional>
#include <vector>

#include "crypto/person_keys.h"
#include "spatter/context.h"
#include "spatter/label.h"
#include "wire/proto/records.pb.h"

namespace spatter {

/// One of the person's volumes, as the members know it.
struct KnownVolume {
  VolumeId volume;
  /// The newest that anybody has: by the key that the person has now, if one is; then the highest number,
  /// then version. Who has stolen a key that was changed since cannot outbid those who have the new one.
  wire::RootRecord root;
  std::uint64_t number_max = 0;  ///< the highest that a writer has had, as any root says that can be true
  ServerId writer;           ///< the server the root names
  bool writer_up = false;    ///< it is a member and reached from here; never for the own server
  bool writer_seen = false;  ///< another member says that it has a connection with it
  bool empty = false;        ///< see find_empty_volumes

  /// Its server may still be writing it.
  bool has_server() const { return writer_up || writer_seen; }
};

struct FoundVolumes {
  std::vector<KnownVolume> volumes;  ///< the newest made first
  std::vector<ServerId> silent;      ///< members that could not be asked: they may know of more
};
/// All of the person's volumes of which a reachable member, or the own server half, has a valid root
/// record.
Task<Result<FoundVolumes>> find_volumes(SpatterContext context);

/// Sets `empty` of those volumes of which no reachable member has a stripe: the person's own storage
/// servers have volumes, too, into which nobody ever put a file. Reads every member's list.
Task<Result<void>> find_empty_volumes(SpatterContext context, const PersonKeys& person,
                                      std::vector<KnownVolume>& volumes);

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
