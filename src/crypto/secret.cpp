#include "crypto/secret.h"

#include "crypto/kdf.h"
#include "words.h"

namespace spatter {

PersonSecret PersonSecret::generate(Random& entropy) {
  Key bytes;
  entropy.fill(bytes.bytes);
  return PersonSecret(bytes);
}

Result<PersonSecret> PersonSecret::from_words(std::string_view text) {
  TRY(const Key bytes, entropy_of(text));
  return PersonSecret(bytes);
}

std::string PersonSecret::words() const {
  return words_of(bytes_);
}

Key PersonSecret::derive(std::string_view label, ByteView context) const {
  return derive_key(bytes_, label, context);
}

SigningKey PersonSecret::signing_key() const {
  return SigningKey::from_seed(derive("person signing key"));
}

PersonSecret PersonSecret::numbered(std::uint64_t number) const {
  if (number == 0) return *this;
  std::array<std::uint8_t, 8> context;
  for (std::size_t i = 0; i < 8; ++i) context[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return PersonSecret(derive("numbered secret", context));
}

SigningKey PersonSecret::recovery_key() const { return SigningKey::from_seed(derive("recovery key")); }

}  // namespace spatter
