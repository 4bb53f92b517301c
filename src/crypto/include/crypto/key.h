// Secret bytes that leave no copy behind: a Key is wiped when it dies.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace spatter {

/// Overwrites memory in a way that the compiler may not leave out.
void wipe(MutableBytes bytes);
inline void wipe(std::string& text) {
  wipe(MutableBytes(reinterpret_cast<std::uint8_t*>(text.data()), text.size()));
}

/// 32 secret bytes: an AES-256 key, a BLAKE2b key, the root of a derivation.
struct Key {
  static constexpr std::size_t size_bytes = 32;
  std::array<std::uint8_t, size_bytes> bytes{};

  Key() = default;
  explicit Key(const std::array<std::uint8_t, size_bytes>& value) : bytes(value) {}
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
  ~Key() { wipe(bytes); }

  /// Refuses anything but exactly 32 bytes.
  static Result<Key> from(ByteView view);

  ByteView view() const { return bytes; }
  bool operator==(const Key& other) const;  ///< takes the same time whatever differs
};

}  // namespace spatter
