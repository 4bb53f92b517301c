// AES-256-GCM: the one authenticated encryption of Spatter's data. Never seal two different things
// (message or associated data) with the same key and nonce: that would give away both and let
// anyone forge. The classes in crypto/volume_keys.h see to it; prefer them to these bare functions.
//
// Any thread; each thread keeps one cipher context, so that a call allocates nothing.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "crypto/key.h"

namespace spatter {

using Nonce = std::array<std::uint8_t, 12>;
inline constexpr std::size_t aead_tag_bytes = 16;

/// Writes ciphertext and tag: `out` has plain.size() + aead_tag_bytes bytes, and may begin where
/// `plain` begins (in place) but not overlap it otherwise.
void seal(const Key& key, const Nonce& nonce, ByteView aad, ByteView plain, MutableBytes out);

/// Checks and decrypts: `out` has sealed.size() - aead_tag_bytes bytes, in place allowed likewise.
/// Errc::corrupt when anything was altered or the key is another; `out` is then zeroed.
Result<void> open(const Key& key, const Nonce& nonce, ByteView aad, ByteView sealed,
                  MutableBytes out);

}  // namespace spatter
