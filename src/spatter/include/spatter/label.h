// The label of a stripe: which pack range it encodes, sealed with a key of the volume, so that the
// owner can rebuild his tables from what holders keep and holders learn nothing.
#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "crypto/aead.h"

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

/// AES-256-GCM under `key`; nonce: the first 12 bytes of the (random) stripe id; associated data:
/// the stripe id. A stripe id is labelled once.
std::string seal_label(const Key& key, const StripeId& stripe, const StripeLabel& label);
Result<StripeLabel> open_label(const Key& key, const StripeId& stripe, ByteView sealed);

}  // namespace spatter
