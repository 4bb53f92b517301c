// Contacts out of thin air, for tests of what decides by them.
#pragma once

#include <memory>

#include "base/random.h"
#include "directory/contact.h"

namespace spatter {

class ContactMaker {
 public:
  explicit ContactMaker(std::uint64_t seed) : random(seed) {}

  ContactPtr any() { return of(random.id<PersonId>()); }
  ContactPtr of(const PersonId& person, NetworkPrefix prefix = {}) {
    return at(random.id<Position>(), person, prefix);
  }
  ContactPtr at(const Position& position) { return at(position, random.id<PersonId>()); }
  ContactPtr at(const Position& position, const PersonId& person, NetworkPrefix prefix = {}) {
    auto contact = std::make_shared<Contact>();
    contact->id = random.id<ServerId>();
    contact->person = person;
    contact->position = position;
    contact->prefix = prefix;
    contact->version = 1;
    contact->place_number = next_number++;
    return contact;
  }
  /// Shares exactly `bits` leading bits with `position`.
  Position sharing(const Position& position, std::size_t bits) {
    Position result = random.id<Position>();
    for (std::size_t bit = 0; bit <= bits; ++bit) {
      const auto mask = static_cast<std::uint8_t>(0x80U >> bit % 8);
      auto& byte = result.bytes[bit / 8];
      const bool value = ((position.bytes[bit / 8] & mask) != 0) != (bit == bits);
      byte = static_cast<std::uint8_t>(value ? byte | mask : byte & ~mask);
    }
    return result;
  }

  SeededRandom random;
  unsigned next_number = 0;  // nobody has two servers at one place
};

inline bool nearer(const ContactPtr& a, const ContactPtr& b, const Position& target) {
  return distance(a->position, target) < distance(b->position, target);
}

}  // namespace spatter
