// Which places in the directory a person may have, and who draws them. A server's key is free to choose,
// so nothing may follow from it: whoever could ask for a draw over every key he makes would make keys until
// chance names a friend. So places are numbered, each person has few of them, and who draws follows from the
// person and the number alone. A person has as many lots as he has numbers, and cannot make more.
//
// A place takes several draws, of distinct persons among the first in that number's order. Whom a server
// asks is stricter than what others accept, because two servers do not always know the same persons; and
// as a network grows, whoever drew long ago drops behind those who came later, and the server has its place
// drawn anew before others refuse it.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/error.h"

namespace spatter {

/// A person's numbers are 0 to 31: 8 of them at once, and one more for each 6 epochs that he is trusted.
inline constexpr unsigned place_numbers_max = 32;
inline constexpr unsigned place_numbers_first = 8;
inline constexpr std::uint64_t place_number_epochs = 6;

/// How far down the order a drawer may stand: when a server asks for draws, when some of those have been
/// off for long, until it asks for others, and for others to accept them.
inline constexpr std::size_t place_drawers_asked = 4;
inline constexpr std::size_t place_drawers_kept = 5;
inline constexpr std::size_t place_drawers_valid = 6;

/// A place that was really drawn, as its owner claims it.
struct PlaceClaim {
  PersonId owner;
  unsigned number = 0;
  std::uint64_t epoch = 0;        ///< of the draws
  std::vector<PersonId> drawers;  ///< in any order
};

/// How many numbers a person who is trusted since an epoch may use in another.
unsigned place_numbers(std::uint64_t epoch, std::uint64_t since);

/// How many draws a server asks for, and how many others want to see, where so many other persons than the
/// owner are trusted.
std::size_t place_draws_wanted(std::size_t others);
std::size_t place_draws_needed(std::size_t others);

/// How many of `trusted` are not the owner.
std::size_t other_persons(const PersonId& owner, std::span<const PersonId> trusted);

/// The first `count` persons in the order for the owner's place of that number: by the first eight bytes,
/// big-endian, of SHA-256("spatter/1 place drawer" || 0x00 || owner || le64(number) || person), the lowest
/// first. The owner is not among them; only where nobody else is trusted he draws for himself.
std::vector<PersonId> place_drawers(const PersonId& owner, unsigned number, std::span<const PersonId> trusted,
                                    std::size_t count);

/// Whether others accept a place of an owner who is trusted since that epoch. Errc::denied says what is
/// wrong with it; somebody who knows other persons may see it differently.
Result<void> check_place_claim(const PlaceClaim& claim, std::uint64_t owner_since,
                               std::span<const PersonId> trusted);

/// Whether its server keeps it: one more person would not make others refuse it.
bool keeps_place(const PlaceClaim& claim, std::uint64_t owner_since, std::span<const PersonId> trusted);

}  // namespace spatter
