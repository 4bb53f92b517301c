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

}  // namespace spatter
