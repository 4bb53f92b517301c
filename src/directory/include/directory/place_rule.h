// Who may draw a server's place in the directory. Chance names them, from the server's id and the
// trusted persons: so a person cannot have his places drawn by a friend of his choice, and whoever
// wants one place among many has to make about one key for each trusted person before a given friend
// may draw for it at all.
//
// Whom a server asks is stricter than what others accept, because two servers do not always know the
// same persons; and as a network grows, whoever was drawn long ago drops behind those who came
// later, and the server has its place drawn anew before others refuse it.
//
// Pure functions; any thread.
#pragma once

#include <span>
#include <vector>

#include "base/ids.h"

namespace spatter {

/// How far down the order a drawer may stand: when a server asks for a draw, until it asks for
/// another, and for others to accept it.
inline constexpr std::size_t place_drawers_asked = 3;
inline constexpr std::size_t place_drawers_kept = 5;
inline constexpr std::size_t place_drawers_valid = 8;

/// The first `count` persons in the order for `server`, which belongs to `owner`: by the first eight
/// bytes, big-endian, of SHA-256("spatter/1 place drawer" || 0x00 || server || person), the lowest first.
/// The owner is not among them; only where nobody else is trusted he draws for himself.
std::vector<PersonId> place_drawers(const ServerId& server, const PersonId& owner,
                                    std::span<const PersonId> trusted, std::size_t count);

/// Whether `drawer` is among them; without sorting. `count` of at least 1.
bool is_place_drawer(const PersonId& drawer, const ServerId& server, const PersonId& owner,
                     std::span<const PersonId> trusted, std::size_t count);

}  // namespace spatter
