#include "crypto/person_keys.h"

#include "crypto/hash.h"

namespace spatter {

PersonKeys PersonKeys::from_words(const PersonSecret& words, std::uint32_t count) {
  PersonKeys keys;
  keys.recovery_ = sha256(words.recovery_key().public_key());
  keys.extend(words, count);
  return keys;
}

Result<PersonKeys> PersonKeys::from_secrets(std::vector<PersonSecret> secrets, const Digest& recovery) {
  if (secrets.empty() || secrets.size() > count_max)
    return fail(Errc::invalid, "{} secrets of a person: 1 to {} are possible", secrets.size(), count_max);
  PersonKeys keys;
  keys.secrets_ = std::move(secrets);
  keys.recovery_ = recovery;
  return keys;
}

const PersonSecret& PersonKeys::numbered(std::uint32_t number) const {
  SPATTER_ASSERT(number >= 1 && number <= count());
  return secrets_[number - 1];
}

std::optional<std::uint32_t> PersonKeys::number_of(const PersonId& key) const {
  for (std::uint32_t number = count(); number > 0; --number)
    if (secrets_[number - 1].person() == key) return number;
  return std::nullopt;
}

bool PersonKeys::come_from(const PersonSecret& words) const {
  return words.numbered(1) == secrets_.front();
}

void PersonKeys::extend(const PersonSecret& words, std::uint32_t count) {
  SPATTER_ASSERT(count <= count_max);
  secrets_.reserve(count_max);  // growing would leave copies behind
  for (auto number = this->count() + 1; number <= count; ++number)
    secrets_.push_back(words.numbered(number));
}

}  // namespace spatter
