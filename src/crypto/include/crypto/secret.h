// A person's secret: 32 random bytes from which all his keys come, and which 24 words on a sheet
// of paper can bring back.
//
// The words are those of BIP-39 (English list, 256 bits, 8 bits of checksum), so that other tools
// can check and keep them; unlike BIP-39's wallets we use the 32 bytes themselves, without PBKDF2.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/random.h"
#include "crypto/key.h"
#include "crypto/sign.h"

namespace spatter {

class PersonSecret {
 public:
  static PersonSecret generate(Random& entropy);
  static PersonSecret from_bytes(const Key& bytes) { return PersonSecret(bytes); }

  /// Reads 24 words as people write them: any case, any white space, words cut to their first four
  /// letters or more, numbers before the words ("3. apple") or commas after them. Otherwise
  /// Errc::invalid with a sentence naming the word that is wrong and what it may have been.
  static Result<PersonSecret> from_words(std::string_view text);

  /// The 24 words, lower case, one space between. The caller wipes what it no longer shows.
  std::string words() const;

  /// A key for the use named by `label` (see crypto/kdf.h).
  Key derive(std::string_view label, ByteView context = {}) const;

  /// The Ed25519 key of this secret. Of a person's first numbered secret its public half is his PersonId.
  SigningKey signing_key() const;
  PersonId person() const { return person_id(signing_key().public_key()); }

  /// What machines hold instead of the words' own bytes, so that a stolen machine's keys can be
  /// replaced: number 0 is this secret itself, each further number a secret of its own, from which
  /// neither the others nor the words can be found. Only numbers from 1 on give that protection.
  PersonSecret numbered(std::uint64_t number) const;

  /// Signs the change from one number's key to the next, and proves that the words are at hand. To be
  /// made from the words when they are typed in, and never kept.
  SigningKey recovery_key() const;

  const Key& bytes() const { return bytes_; }
  bool operator==(const PersonSecret&) const = default;

 private:
  explicit PersonSecret(const Key& bytes) : bytes_(bytes) {}
  Key bytes_;
};

}  // namespace spatter
