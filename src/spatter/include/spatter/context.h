// What the parts of this room share: the server they run in and the volume they serve.
#pragma once

#include <cstdint>

#include "base/runtime.h"
#include "crypto/volume_keys.h"
#include "directory/members.h"
#include "net/rpc.h"
#include "serverhalf/shard_store.h"
#include "spatter/stripe_table.h"
#include "trust/certificate.h"

namespace spatter {

/// References outlive every part that holds the context.
struct SpatterContext {
  Runtime& runtime;
  Rpc& rpc;
  Members& members;
  ShardStore& own_store;  ///< the own server half
  const Identity& identity;
  StripeTable& table;
};

/// The volume whose packs are spattered, for what is written and listed.
struct OwnedVolume {
  VolumeId volume;
  std::uint64_t writer_number = 0;  ///< fences: see RootRecord
  RecordKeys labels;                ///< seals stripe labels: VolumeKeys::labels
};

}  // namespace spatter
