#include "directory/place_rule.h"

#include <algorithm>

#include "crypto/hash.h"
#include "directory/position.h"

namespace spatter {
namespace {

std::uint64_t turn_of(const ServerId& server, const PersonId& person) {
  constexpr std::string_view label{"spatter/1 place drawer\0", 23};
  Position hash;
  hash.bytes = Sha256().update(as_bytes(label)).update(server.view()).update(person.view()).finish().bytes;
  return position_word(hash, 0);
}

/// By turn; equal turns, which do not happen, by id.
using Turn = std::pair<std::uint64_t, PersonId>;

}  // namespace

std::vector<PersonId> place_drawers(const ServerId& server, const PersonId& owner,
                                    std::span<const PersonId> trusted, std::size_t count) {
  std::vector<Turn> turns;
  turns.reserve(trusted.size());
  for (const PersonId& person : trusted)
    if (person != owner) turns.emplace_back(turn_of(server, person), person);
  if (turns.empty()) return {owner};
  count = std::min(count, turns.size());
  std::ranges::partial_sort(turns, turns.begin() + static_cast<std::ptrdiff_t>(count));
  std::vector<PersonId> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back(turns[i].second);
  return result;
}

bool is_place_drawer(const PersonId& drawer, const ServerId& server, const PersonId& owner,
                     std::span<const PersonId> trusted, std::size_t count) {
  const Turn own{turn_of(server, drawer), drawer};
  std::size_t before = 0;
  bool known = false;
  bool others = false;
  for (const PersonId& person : trusted) {
    known |= person == drawer;
    if (person == owner) continue;
    others = true;
    if (Turn{turn_of(server, person), person} < own && ++before == count) return false;
  }
  return known && (drawer != owner || !others);
}

}  // namespace spatter
