#include "directory/places.h"

#include <algorithm>

namespace spatter {

std::vector<std::size_t> choose_place_indices(std::span<const Contact* const> sorted,
                                              std::size_t count, bool everybody) {
  std::vector<std::size_t> chosen;
  chosen.reserve(count);
  const auto has_room = [&](std::size_t index, std::size_t person_max, std::size_t prefix_max) {
    const Contact& contact = *sorted[index];
    std::size_t of_person = 0, of_prefix = 0;
    for (const std::size_t i : chosen) {
      if (i == index) return false;
      of_person += sorted[i]->person == contact.person;
      of_prefix += !contact.prefix.is_none() && sorted[i]->prefix == contact.prefix;
    }
    return of_person < person_max && of_prefix < prefix_max;
  };
  const auto pass = [&](std::size_t person_max, std::size_t prefix_max) {
    for (std::size_t i = 0; i < sorted.size() && chosen.size() < count; ++i)
      if (has_room(i, person_max, prefix_max)) chosen.push_back(i);
  };
  const std::size_t any = sorted.size() + 1;
  pass(1, replicas_per_prefix);
  pass(1, any);
  if (everybody)
    for (std::size_t each = 2; chosen.size() < std::min(count, sorted.size()); ++each)
      pass(each, any);
  std::ranges::sort(chosen);
  return chosen;
}

std::vector<ContactPtr> choose_places(const std::vector<ContactPtr>& sorted, std::size_t count,
                                      bool everybody) {
  std::vector<const Contact*> contacts;
  for (const ContactPtr& contact : sorted) contacts.push_back(contact.get());
  std::vector<ContactPtr> places;
  for (const std::size_t i : choose_place_indices(contacts, count, everybody))
    places.push_back(sorted[i]);
  return places;
}

}  // namespace spatter
