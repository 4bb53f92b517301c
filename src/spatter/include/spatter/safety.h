// How safe is what we wrote: computed from the stripe table and the members, by pure functions.
//
// Only shards at holder servers count (the own server half when it holds copies); the user half
// does not, for these figures say what survives when this machine is gone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "spatter/placement.h"
#include "spatter/stripe_table.h"
#include "userhalf/pack_store.h"

namespace spatter {

enum class StripeHealth { full, safe, at_risk, lost };

/// Of one stripe, over the holders for which `reachable` is true.
struct StripeSafety {
  unsigned reachable = 0;  ///< distinct shards at reachable holders (k = 1: distinct holders)
  unsigned can_lose = 0;   ///< so many of these holders may die, whichever, and k shards remain
  StripeHealth health = StripeHealth::lost;
  std::vector<unsigned> shards;  ///< of each of these holders, most first; the sum is `reachable`
};

/// The chance that fewer than k shards are left when each of the holders goes for good with the chance
/// `each_gone`, independently of the others. 1 when there are fewer already. Exact but for rounding.
double chance_of_loss(std::span<const unsigned> shards, unsigned k, double each_gone);

/// The chance that a server goes for good within a day, from `departed` of `servers` in `days`. Begins with what
/// may be expected (2 % a month, as if 1,500 server days had been seen) and goes over to what was measured.
double departures_per_server_day(std::uint64_t departed, std::uint64_t servers, double days);

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
  /// The chance that anything is lost within a day if nothing is mended meanwhile: at most this, for stripes
  /// whose holders are not all the same are taken to be lost independently. 0 when no rate was given.
  double loss_per_day = 0;
  std::uint64_t backlog_bytes = 0;   ///< pack bytes not yet safe in the network
  double backlog_seconds = 0;        ///< estimate; 0 when idle, infinity while nothing moves
  std::vector<Held> held;            ///< by server id
  std::vector<StripeId> unreadable;  ///< lost ones, at most 1000
  std::vector<PackId> unreadable_packs;
};

SafetyReport judge_all(const std::vector<StripePtr>& stripes, const ServerId& own,
                       const std::function<bool(const ServerId&)>& reachable, unsigned width,
                       double each_gone = 0);

/// Of a file: that of its worst byte, which is as safe as the safest stripe it is in.
struct FileSafety {
  StripeHealth health = StripeHealth::full;
  bool everywhere = true;  ///< each byte is in some stripe; else some are not with others yet, and can_lose is 0
  unsigned can_lose = 0;
  double copies = 0;       ///< reachable shards / k
  double loss_per_day = 0; ///< at most, as of SafetyReport; without `everywhere`: that this machine goes
  std::uint64_t stripes = 0;
};
/// nullopt: no pieces. `stripes_of` gives the stripes of a pack.
std::optional<FileSafety> judge_file(
    std::span<const PackPiece> pieces,
    const std::function<const std::vector<StripePtr>&(const PackId&)>& stripes_of, const ServerId& own,
    const std::function<bool(const ServerId&)>& reachable, unsigned width, double each_gone);

}  // namespace spatter
