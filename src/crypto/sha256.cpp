// One message or one stream at a time: OpenSSL, which uses the SHA instructions where they are.
//
// Through its old low-level interface on purpose: the new one (EVP) allocates and looks the
// algorithm up for every message, which doubles the price of hashing a tree node.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <new>

#include "crypto/hash.h"

namespace spatter {

static_assert(sizeof(SHA256_CTX) <= 112 && alignof(SHA256_CTX) <= 8);

namespace {
SHA256_CTX* context_of(std::array<std::uint8_t, 112>& storage) {
  return std::launder(reinterpret_cast<SHA256_CTX*>(storage.data()));
}
}  // namespace

Digest sha256(ByteView message) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, message.data(), message.size());
  Digest digest;
  SHA256_Final(digest.bytes.data(), &context);
  return digest;
}

Sha256::Sha256() {
  new (context_.data()) SHA256_CTX;
  SHA256_Init(context_of(context_));
}

Sha256& Sha256::update(ByteView piece) {
  SHA256_Update(context_of(context_), piece.data(), piece.size());
  return *this;
}

Digest Sha256::finish() {
  Digest digest;
  SHA256_Final(digest.bytes.data(), context_of(context_));
  SHA256_Init(context_of(context_));
  return digest;
}

}  // namespace spatter
