#include "crypto/kdf.h"

#include <sodium.h>

#include "crypto/hash.h"

namespace spatter {

void wipe(MutableBytes bytes) {
  sodium_memzero(bytes.data(), bytes.size());
}

Result<Key> Key::from(ByteView view) {
  if (view.size() != size_bytes)
    return fail(Errc::invalid, "a key has {} bytes, not {}", size_bytes, view.size());
  Key key;
  std::memcpy(key.bytes.data(), view.data(), size_bytes);
  return key;
}

bool Key::operator==(const Key& other) const {
  return sodium_memcmp(bytes.data(), other.bytes.data(), size_bytes) == 0;
}

Key derive_key(const Key& root, std::string_view label, ByteView context) {
  SPATTER_ASSERT(label.find('\0') == std::string_view::npos);
  static constexpr std::uint8_t zero[1] = {0};
  Digest digest =
      blake2b(root.view(), {as_bytes("spatter/1 kdf"), zero, as_bytes(label), zero, context});
  Key key(digest.bytes);
  wipe(digest.bytes);
  return key;
}

}  // namespace spatter
