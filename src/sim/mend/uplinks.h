// What repair may send: the servers' upload, in two classes (quick and home), and what one rebuild
// needs of each.
//
// Stripes are drawn over all servers, so what many rebuilds take is spread evenly over the servers of
// a class: a class is one pool, filled anew every step by those of it that are on. What a single
// rebuild cannot do is outrun its own holders.
#pragma once

#include <algorithm>
#include <array>

namespace spatter::sim::mend {

inline constexpr std::size_t uplink_classes = 2;
using PerClass = std::array<double, uplink_classes>;  ///< quick, home

/// One rebuild: `fetched` shards from different holders, `sent` shards from any of them, who take turns
/// at coordinating. Everything goes at the rate of the slowest part, quick ones doing more than slow ones.
struct Flow {
  double seconds = 0;  ///< it takes, at the full upload of its holders
  PerClass shards{};   ///< that each class sends
};

/// `holders`: those on, per class; `rate`: shards a second of one. fetched <= holders in all, and not none.
Flow flow_of(const PerClass& holders, const PerClass& rate, double fetched, double sent);

/// The bytes that may still go in the present step: all of the upload for urgent rebuilds, a share
/// (the dial) for the others.
class UplinkPools {
 public:
  void refill(const PerClass& bytes, double dial) {
    all_ = bytes;
    for (std::size_t i = 0; i < uplink_classes; ++i) background_[i] = bytes[i] * dial;
  }
  /// The share of `wanted` that there is room for, at most `most`; it is taken.
  double take(const PerClass& wanted, double most, bool urgent) {
    double share = most;
    for (std::size_t i = 0; i < uplink_classes; ++i) {
      const double left = urgent ? all_[i] : std::min(all_[i], background_[i]);
      if (wanted[i] > 0) share = std::min(share, left / wanted[i]);
    }
    for (std::size_t i = 0; i < uplink_classes; ++i) {
      all_[i] = std::max(0.0, all_[i] - share * wanted[i]);
      if (!urgent) background_[i] = std::max(0.0, background_[i] - share * wanted[i]);
    }
    return share;
  }

 private:
  PerClass all_{}, background_{};
};

}  // namespace spatter::sim::mend
