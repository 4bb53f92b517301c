// How much of a stripe is left, what that calls for, and who does it: what every holder must see the
// same way. Pure functions; any thread.
//
// Shards are counted, not holders: `standing` distinct ones of n = 3k, of which any k rebuild the
// stripe (k = 1: copies at distinct holders).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace spatter {

enum class Danger {
  none,    ///< all n
  tidy,    ///< more than 2k: mended when there is nothing else to do, if it is worth a rebuilding
  due,     ///< 2k or fewer: a whole copy's worth is gone; rebuilt in one go, for about two bytes moved
           ///< a byte lost instead of k
  urgent,  ///< fewer than 1.5k: with all the bandwidth there is
  lost,    ///< fewer than k: nothing can be rebuilt until somebody comes back
};
std::string_view to_string(Danger danger);

/// With n = 3k. `standing` may not be more than n.
constexpr Danger danger_of(unsigned k, unsigned standing) {
  if (standing < k) return Danger::lost;
  if (2 * standing < 3 * k) return Danger::urgent;
  if (standing <= 2 * k) return Danger::due;
  return standing < 3 * k ? Danger::tidy : Danger::none;
}

/// With so many shards or fewer a stripe is rebuilt: 2.6k. Rebuilding costs k shards read, however few are missing, so
/// the last few wait until more are; and those who are off for long come back more often than not.
constexpr unsigned rebuilt_at(unsigned k) { return 13 * k / 5; }

/// The order in which holders take the rebuilding of a stripe upon them: by the first eight bytes,
/// big-endian, of SHA-256("spatter/1 coordinator" || 0x00 || stripe || le64(version) || server), the lowest
/// first; equal ones by id. `version` is that of the holder list they go by, so that each repair
/// begins with another.
std::vector<ServerId> coordinators(const StripeId& stripe, std::uint64_t version, std::span<const ServerId> holders);

/// How long the one at `place` of that order waits after the danger was seen: those before it get
/// their turn, and the owner, when he is there, his.
struct Turns {
  Duration takeover = std::chrono::seconds(60);      ///< then the next in the order begins as well
  Duration owner_first = std::chrono::minutes(10);   ///< while a server of the owner's is up
  Duration wait(std::size_t place, bool owner_up) const {
    return takeover * static_cast<Duration::rep>(place) + (owner_up ? owner_first : Duration{});
  }
};

}  // namespace spatter
