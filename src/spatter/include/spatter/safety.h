// How safe is what we wrote: computed from the stripe table and the members, by pure functions.
//
// Only shards at holder servers count (the own server half when it holds copies); the user half
// does not, for these figures say what survives when this machine is gone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "spatter/placement.h"
#include "spatter/stripe_table.h"

namespace spatter {

enum class StripeHealth { full, safe, at_risk, lost };

/// Of one stripe, over the holders for which `reachable` is true.
struct StripeSafety {
  unsigned reachable = 0;  ///< distinct shards at reachable holders (k = 1: distinct holders)
  unsigned can_lose = 0;   ///< so many of these holders may die, whichever, and k shards remain
  StripeHealth health = StripeHealth::lost;
};

/// full: all n shards (or all that the shape, see standing_shape, asks for); safe: at least 2k, or
/// full; at_risk: k or more; lost: fewer than k reachable now. What `own` holds (its server half) makes
/// a stripe safe or full only while the shape has an own copy; it can be read in any case.
StripeSafety judge(const Stripe& stripe, const std::function<bool(const ServerId&)>& reachable,
                   const Shape& shape, const ServerId& own);

/// What a stripe of its k has when it is full in a network of `width` others that are up, whether they
/// have room or not: all n shards, or for k = 1 the copies of the first machines.
Shape standing_shape(const Stripe& stripe, unsigned width);

struct Held {
  ServerId server;
  std::uint64_t bytes = 0;
  std::uint64_t shards = 0;
};

struct SafetyReport {
  std::uint64_t total = 0;  ///< stripes; each is counted in exactly one of the next four
  std::uint64_t full = 0;
  std::uint64_t safe = 0;
  std::uint64_t at_risk = 0;
  std::uint64_t lost = 0;
  double copies_min = 0;   ///< the least (reachable shards / k) over all stripes; 0 without stripes
  std::uint32_t can_lose = 0;   ///< the least over all stripes; 0 while there is a backlog
  unsigned widest_k = 0;
  std::uint64_t backlog_bytes = 0;   ///< pack bytes not yet safe in the network
  double backlog_seconds = 0;        ///< estimate; 0 when idle, infinity while nothing moves
  std::vector<Held> held;            ///< by server id
  std::vector<StripeId> unreadable;  ///< lost ones, at most 1000
  std::vector<PackId> unreadable_packs;
};

SafetyReport judge_all(const std::vector<StripePtr>& stripes, const ServerId& own,
                       const std::function<bool(const ServerId&)>& reachable, unsigned width);

}  // namespace spatter
