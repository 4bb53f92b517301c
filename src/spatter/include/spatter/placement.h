// Who keeps which shard of a stripe, as pure functions: the same arguments give the same answer on
// every machine.
//
// The shape follows the width W, the number of other servers that can hold. With W < 4 a stripe has
// k = 1 and its shards are identical; with W >= 4 it has k = min(W, 16) and n = 3k, dealt evenly.
// Even means: never more than ceil(n / W) to one server and, while it can be avoided, no more than
// that to all servers of one person together nor to all of one /24 or /48 network, for they fail
// and cheat together. When both cannot be kept, the network's bound is raised first, each by as
// little as possible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"

namespace spatter {

inline constexpr unsigned stripe_k_max = 16;

struct Shape {
  unsigned k = 1;
  unsigned n = 3;       ///< always 3k
  unsigned placed = 0;  ///< how many of the n go to others: fewer than n only with W < 3
  bool own_copy = false;  ///< one more copy into the own server half (W < 3)
  /// Receipts after which a stripe is safe: 2k, or all that can be had when there are fewer.
  unsigned safe_at() const { return std::min(2 * k, placed + (own_copy ? 1u : 0u)); }
  unsigned full_at() const { return placed + (own_copy ? 1u : 0u); }
  bool operator==(const Shape&) const = default;
};

Shape shape_for(unsigned others);

/// How many shards one server may hold at most: ceil(n / others).
unsigned fair_share_max(unsigned n, unsigned others);

struct Candidate {
  ServerId server;
  PersonId person;
  std::string prefix;        ///< of its address, see network_prefix; empty: unknown, never bounded
  std::uint32_t weight = 1;  ///< see weight_of; at least 1
  bool accepts = true;       ///< false: keeps what it holds but gets nothing new (full, not up now)
};

/// "192.0.2" or the first three groups of an IPv6 address, fully written out; empty for loopback
/// addresses and for names, which say nothing about where a machine is.
std::string network_prefix(const std::string& host);

/// Rendezvous weight of a server: the capacity of its server half in GiB, at least 1. Not its free
/// room: that changes with every write, and what was dealt would never come to rest.
std::uint32_t weight_of(std::uint64_t capacity_bytes);

/// holder per shard index; nullopt: not placed.
using Assignment = std::vector<std::optional<ServerId>>;

/// Deals shards 0..n-1 (the first `count` still to be placed when count < n) over `candidates`.
///
/// `present` says who holds what already (size n, or empty for a new stripe). A present holder that
/// is a candidate keeps its shards as far as the even deal allows; shards of holders that are not
/// candidates are dealt anew. So the same function places a new stripe, replaces a lost holder and
/// evens out after a newcomer, with no more moves than needed.
///
/// When those that don't accept leave too few places, the others hold more than their share; but
/// never does one server hold two of the identical shards of k = 1 (n = 3). Fewer than `count`
/// indices are assigned only when no candidate may take them.
Assignment place(const StripeId& stripe, unsigned n, unsigned count,
                 const std::vector<Candidate>& candidates, const Assignment& present = {});

/// Whether a stripe's holders are those that were drawn, as far as whoever checks knows the servers.
/// A holder that is slow, full or off is passed over for the next in the draw; so what counts is how
/// many were.
struct PlacementCheck {
  struct Holder {
    ServerId server;
    std::optional<std::size_t> rank;  ///< in the draw, from 0; none: it could not be drawn at all
  };
  std::vector<Holder> holders;         ///< in the order of `holders`
  std::size_t eligible = 0;            ///< candidates there were
  std::vector<ServerId> passed_over;   ///< drawn before the last of the holders, and holding nothing
  bool as_drawn() const;               ///< all could be drawn, and nobody was passed over
};
/// `candidates`: all servers that could hold shards of that owner, whether they accept any now or not.
PlacementCheck check_placement(const StripeId& stripe, const std::vector<Candidate>& candidates,
                               const std::vector<ServerId>& holders);

}  // namespace spatter
