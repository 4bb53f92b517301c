// What a machine holds of its person: the numbered secrets 1 to n (crypto/secret.h), never the words'
// own bytes, so that whoever steals a machine has the key that the person signs with and not the one
// that replaces it. Person for ever is the public key of number 1; the highest number that the
// network knows of is what he signs with now. Older ones stay, for they read what was written then.
#pragma once

#include <optional>
#include <vector>

#include "crypto/secret.h"

namespace spatter {

class PersonKeys {
 public:
  static constexpr std::uint32_t count_max = 64;

  /// Numbers 1 to `count` (at most count_max) of what the words stand for.
  static PersonKeys from_words(const PersonSecret& words, std::uint32_t count = 1);
  /// Numbers 1 and up, and what the person has committed to (SHA-256 of the recovery key's public half).
  /// Errc::invalid: none, or more than count_max.
  static Result<PersonKeys> from_secrets(std::vector<PersonSecret> secrets, const Digest& recovery);

  PersonId person() const { return secrets_.front().person(); }
  const Digest& recovery() const { return recovery_; }

  std::uint32_t count() const { return static_cast<std::uint32_t>(secrets_.size()); }
  const PersonSecret& numbered(std::uint32_t number) const;  ///< 1 to count()
  const PersonSecret& newest() const { return secrets_.back(); }
  /// Which number a public key is of; nullopt when it is none of these.
  std::optional<std::uint32_t> number_of(const PersonId& key) const;

  /// Whether these are the words that the secrets come from.
  bool come_from(const PersonSecret& words) const;
  /// Adds the numbers up to `count`. The words must be those (see come_from).
  void extend(const PersonSecret& words, std::uint32_t count);

  bool operator==(const PersonKeys&) const = default;

 private:
  PersonKeys() = default;
  std::vector<PersonSecret> secrets_;
  Digest recovery_;
};

}  // namespace spatter
