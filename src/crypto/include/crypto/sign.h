// Ed25519 (RFC 8032): the keys of persons and servers. Any thread.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/random.h"
#include "crypto/key.h"

namespace spatter {

using PublicKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

/// A private key with its public half; the private part is wiped with the object.
class SigningKey {
 public:
  static SigningKey generate(Random& entropy);
  static SigningKey from_seed(const Key& seed);

  const PublicKey& public_key() const { return public_; }
  const Key& seed() const { return seed_; }  ///< all there is to keep
  Signature sign(ByteView message) const;

 private:
  SigningKey() = default;
  Key seed_;
  PublicKey public_{};
};

/// Whether `signature` is by the holder of `key`. Keys and signatures of a wrong length, not
/// canonical, or of small order are simply not valid.
bool verify(ByteView key, ByteView message, ByteView signature);

/// A server is known by the SHA-256 of its public key, a person by the public key itself.
ServerId server_id(ByteView public_key);
PersonId person_id(const PublicKey& public_key);

}  // namespace spatter
