// One secret, many keys: every use of a secret has its own label, so that a key made for one
// purpose tells nothing about, and never serves as, another.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "crypto/key.h"

namespace spatter {

/// BLAKE2b-256 keyed with `root` over "spatter/1 kdf", 0x00, `label`, 0x00, `context`. Labels
/// hold no zero byte, so that no two pairs of label and context are the same input.
Key derive_key(const Key& root, std::string_view label, ByteView context = {});

}  // namespace spatter
