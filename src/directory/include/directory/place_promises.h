// What a person who draws has promised: for each numbered place of another person (directory/place_rule.h)
// one server, in one epoch, with one group of drawers. While he holds to that, nobody gets several draws for a
// place to choose from, whether by new keys, later epochs, other drawers, or servers that he retires.
//
// A promise rests for `rests_epochs`, or until its place counts no more, because those who drew have fallen
// behind as the network grew. After that the same server may have another draw, and another server when the
// first is gone.
//
// Pure. In memory: a drawer who starts anew has promised nothing. Bounded: the oldest is forgotten.
#pragma once

#include <functional>
#include <map>

#include "directory/place_draw.h"

namespace spatter {

class PlacePromises {
 public:
  /// A month at the usual pace.
  static constexpr std::uint64_t rests_epochs = 720;
  /// Each drawer is named for about 200 places of others, however many they are.
  static constexpr std::size_t promises_max = 4096;

  struct Rules {
    /// Whether others would still accept that place.
    std::function<bool(const PlaceOccasion&)> counts;
    /// Whether that server is still one of its person's here.
    std::function<bool(const ServerId&)> stands;
  };

  /// Takes note that `occasion` is drawn for in the epoch `now`; the same again is no news. Errc::exists, and
  /// nothing is noted: an earlier promise stands against it.
  Result<void> promise(const PlaceOccasion& occasion, std::uint64_t now, const Rules& rules);
  std::size_t size() const { return promises_.size(); }

 private:
  struct Promise {
    PlaceOccasion occasion;
    std::uint64_t made = 0;    ///< epoch
    std::uint64_t number = 0;  ///< counts promises
  };
  std::map<std::pair<PersonId, unsigned>, Promise> promises_;
  std::uint64_t next_ = 0;
};

}  // namespace spatter
