#include "crypto/sign.h"

#include <sodium.h>

#include "crypto/hash.h"
#include "sodium_ready.h"

namespace spatter {

SigningKey SigningKey::generate(Random& entropy) {
  Key seed;
  entropy.fill(seed.bytes);
  return from_seed(seed);
}

SigningKey SigningKey::from_seed(const Key& seed) {
  sodium_ready();
  SigningKey key;
  key.seed_ = seed;
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> pair;
  crypto_sign_seed_keypair(key.public_.data(), pair.data(), seed.bytes.data());
  wipe(pair);
  return key;
}

Signature SigningKey::sign(ByteView message) const {
  // libsodium's secret key is the seed followed by the public key.
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> pair;
  std::memcpy(pair.data(), seed_.bytes.data(), seed_.bytes.size());
  std::memcpy(pair.data() + seed_.bytes.size(), public_.data(), public_.size());
  Signature signature;
  crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), pair.data());
  wipe(pair);
  return signature;
}

bool verify(ByteView key, ByteView message, ByteView signature) {
  if (key.size() != crypto_sign_PUBLICKEYBYTES || signature.size() != crypto_sign_BYTES)
    return false;
  sodium_ready();
  return crypto_sign_verify_detached(signature.data(), message.data(), message.size(),
                                     key.data()) == 0;
}

ServerId server_id(ByteView public_key) {
  return ServerId{sha256(public_key).bytes};
}

PersonId person_id(const PublicKey& public_key) {
  return PersonId{public_key};
}

}  // namespace spatter
