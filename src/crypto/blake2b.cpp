// BLAKE2b from libsodium, which has AVX2 and keys; OpenSSL's fixed 512-bit BLAKE2b is slower here
// and its keyed form allocates for every message.
#include <sodium.h>

#include "crypto/hash.h"
#include "sodium_ready.h"

namespace spatter {

Digest blake2b(ByteView key, ByteView data) {
  return blake2b(key, {data});
}

Digest blake2b(ByteView key, std::initializer_list<ByteView> pieces) {
  SPATTER_ASSERT(key.size() <= crypto_generichash_blake2b_KEYBYTES_MAX);
  sodium_ready();
  crypto_generichash_blake2b_state state;
  Digest digest;
  crypto_generichash_blake2b_init(&state, key.data(), key.size(), digest.bytes.size());
  for (ByteView piece : pieces)
    crypto_generichash_blake2b_update(&state, piece.data(), piece.size());
  crypto_generichash_blake2b_final(&state, digest.bytes.data(), digest.bytes.size());
  sodium_memzero(&state, sizeof state);
  return digest;
}

}  // namespace spatter
