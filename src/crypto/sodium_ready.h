#pragma once

#include <sodium.h>

#include "base/error.h"

namespace spatter {

/// libsodium picks its kernels in sodium_init; without it all works, but slowly. Any thread.
inline void sodium_ready() {
  static const bool ready = [] {
    SPATTER_ASSERT(sodium_init() >= 0);
    return true;
  }();
  static_cast<void>(ready);
}

}  // namespace spatter
