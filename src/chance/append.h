// Building the exact bytes that are hashed, signed or drawn over.
#pragma once

#include "base/bytes.h"

namespace spatter {

inline void append(Bytes& out, ByteView piece) { out.insert(out.end(), piece.begin(), piece.end()); }

/// A number in so many bytes, little-endian.
template <std::size_t bytes>
void append_number(Bytes& out, std::uint64_t number) {
  for (std::size_t i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
}

/// A tag and its closing zero.
inline void append_tag(Bytes& out, std::string_view tag) {
  append(out, as_bytes(tag));
  out.push_back(0);
}

}  // namespace spatter
