#include "directory/place_promises.h"

#include <algorithm>

namespace spatter {

Result<void> PlacePromises::promise(const PlaceOccasion& occasion, std::uint64_t now, const Rules& rules) {
  const std::pair place(occasion.owner, occasion.number);
  if (const auto at = promises_.find(place); at != promises_.end()) {
    const auto& [before, made, number] = at->second;
    const bool same_server = before.server == occasion.server;
    if (same_server && before.epoch == occasion.epoch && before.drawers == occasion.drawers) return {};
    const bool rested = now >= made && now - made >= rests_epochs;
    if (!rested && rules.counts(before))
      return fail(Errc::exists, "place {} of person {} was drawn for server {} in epoch {}: until epoch {} it is not "
                  "drawn anew", occasion.number, occasion.owner, before.server, before.epoch, made + rests_epochs);
    if (!same_server && rules.stands(before.server) && rules.counts(before))
      return fail(Errc::exists, "place {} of person {} is that of his server {}", occasion.number, occasion.owner,
                  before.server);
    promises_.erase(at);
  }
  if (promises_.size() >= promises_max)
    promises_.erase(std::ranges::min_element(promises_, {}, [](const auto& one) { return one.second.number; }));
  promises_.emplace(place, Promise{occasion, now, next_++});
  return {};
}

}  // namespace spatter
