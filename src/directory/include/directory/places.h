// Which servers keep a record: the `r` nearest to its position, counted per person and per network
// prefix, so that somebody with a thousand servers has one place and not a dozen.
#pragma once

#include <span>
#include <vector>

#include "directory/contact.h"

namespace spatter {

/// How many servers keep each record.
inline constexpr std::size_t replicas = 12;
/// Of these at most so many in one network prefix, while enough other servers are known.
inline constexpr std::size_t replicas_per_prefix = 2;

/// The places of a record among `sorted`, which is in order of distance, nearest first: one for each
/// person, `replicas_per_prefix` for each prefix; if that fills fewer than `count`, prefixes no
/// longer count. A person never gets a second place, but when `everybody` says that these are all
/// the servers of a network of fewer than `count` persons: then what is left goes round again, for
/// two machines of one person are better than one. Nearest first.
std::vector<ContactPtr> choose_places(const std::vector<ContactPtr>& sorted, std::size_t count,
                                      bool everybody);
/// The same, as indices of `sorted`.
std::vector<std::size_t> choose_place_indices(std::span<const Contact* const> sorted,
                                              std::size_t count, bool everybody);

}  // namespace spatter
