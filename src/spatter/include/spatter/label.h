// The label of a stripe: which pack range it encodes, sealed with a key of the volume, so that the
// owner can rebuild his tables from what holders keep and holders learn nothing.
#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "crypto/volume_keys.h"

namespace spatter {

struct StripeLabel {
  PackId pack;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t pack_sequence = 0;  ///< packs were opened in this order
  std::uint64_t pack_length = 0;    ///< whole length when the pack is sealed, else 0
  bool has_log = false;             ///< of the pack, as far as known when written
  bool has_snapshot = false;
};

/// Sealed with the stripe's id as context. `pack_length` and the flags may be unknown when a slice is
/// cut; the wide stripe of the sealed pack tells them.
std::string seal_label(const RecordKeys& keys, const StripeId& stripe, const StripeLabel& label);
Result<StripeLabel> open_label(const RecordKeys& keys, const StripeId& stripe, ByteView sealed);

}  // namespace spatter
