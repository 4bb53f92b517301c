#include "directory/place_rule.h"

#include <algorithm>

#include "crypto/hash.h"
#include "directory/position.h"

namespace spatter {
namespace {

/// By turn; equal turns, which do not happen, by id.
using Turn = std::pair<std::uint64_t, PersonId>;

/// The turns of persons at one number.
class Order {
 public:
  Order(const PersonId& owner, unsigned number) {
    constexpr std::string_view label{"spatter/1 place drawer\0", 23};
    std::array<std::uint8_t, 8> le{};
    for (std::size_t i = 0; i < le.size(); ++i) le[i] = static_cast<std::uint8_t>(std::uint64_t{number} >> (8 * i));
    beginning_.update(as_bytes(label)).update(owner.view()).update(le);
  }
  Turn of(const PersonId& person) const {
    Position hash;
    hash.bytes = Sha256(beginning_).update(person.view()).finish().bytes;
    return {position_word(hash, 0), person};
  }

 private:
  Sha256 beginning_;
};

Result<void> check_claim(const PlaceClaim& claim, std::uint64_t owner_since, std::span<const PersonId> trusted,
                         std::size_t within, std::size_t draws) {
  const unsigned numbers = place_numbers(claim.epoch, owner_since);
  if (claim.number >= numbers)
    return fail(Errc::denied, "person {} may have the places 0 to {} in epoch {}, not {}", claim.owner, numbers - 1,
                claim.epoch, claim.number);
  auto drawers = claim.drawers;
  std::ranges::sort(drawers);
  if (const auto twice = std::ranges::adjacent_find(drawers); twice != drawers.end())
    return fail(Errc::denied, "person {} draws twice for place {} of person {}", *twice, claim.number, claim.owner);
  if (drawers.size() < draws)
    return fail(Errc::denied, "{} draws for place {} of person {}: {} are needed", drawers.size(), claim.number,
                claim.owner, draws);
  const auto named = place_drawers(claim.owner, claim.number, trusted, within);
  for (const PersonId& person : drawers)
    if (std::ranges::find(named, person) == named.end())
      return fail(Errc::denied, "person {} is not one to draw place {} of person {}", person, claim.number,
                  claim.owner);
  return {};
}

}  // namespace

unsigned place_numbers(std::uint64_t epoch, std::uint64_t since) {
  constexpr std::uint64_t later = place_numbers_max - place_numbers_first;
  const std::uint64_t more = epoch > since ? (epoch - since) / place_number_epochs : 0;
  return place_numbers_first + static_cast<unsigned>(std::min(more, later));
}

std::size_t place_draws_wanted(std::size_t others) { return std::clamp<std::size_t>(others, 1, 3); }

std::size_t place_draws_needed(std::size_t others) { return std::clamp<std::size_t>(others / 2, 1, 3); }

std::size_t other_persons(const PersonId& owner, std::span<const PersonId> trusted) {
  return trusted.size() - static_cast<std::size_t>(std::ranges::count(trusted, owner));
}

std::vector<PersonId> place_drawers(const PersonId& owner, unsigned number, std::span<const PersonId> trusted,
                                    std::size_t count) {
  const Order order(owner, number);
  std::vector<Turn> turns;
  turns.reserve(trusted.size());
  for (const PersonId& person : trusted)
    if (person != owner) turns.push_back(order.of(person));
  if (turns.empty()) return {owner};
  count = std::min(count, turns.size());
  std::ranges::partial_sort(turns, turns.begin() + static_cast<std::ptrdiff_t>(count));
  std::vector<PersonId> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back(turns[i].second);
  return result;
}

Result<void> check_place_claim(const PlaceClaim& claim, std::uint64_t owner_since,
                               std::span<const PersonId> trusted) {
  const std::size_t others = other_persons(claim.owner, trusted);
  // Who drew for himself while he was alone is not refused at once when the first other person comes.
  if (others <= 1 && claim.drawers == std::vector{claim.owner})
    return check_claim(claim, owner_since, std::span(&claim.owner, 1), 1, 1);
  return check_claim(claim, owner_since, trusted, place_drawers_valid, place_draws_needed(others));
}

bool keeps_place(const PlaceClaim& claim, std::uint64_t owner_since, std::span<const PersonId> trusted) {
  const std::size_t others = other_persons(claim.owner, trusted);
  return check_claim(claim, owner_since, trusted, place_drawers_kept, place_draws_needed(others + 1)).has_value();
}

}  // namespace spatter
