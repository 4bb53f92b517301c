// How many of something each of many callers may still have: a burst at once, and a rate in the long
// run (a token bucket each). Bounded: whoever has not been seen for longest is forgotten, and starts
// with a full burst. Pure.
#pragma once

#include <algorithm>
#include <unordered_map>

#include "base/time.h"

namespace spatter {

template <class IdType>
class Allowances {
 public:
  Allowances(double burst, double per_s) : burst_(burst), per_s_(per_s) {}

  /// Takes `count` from what `who` has left; false, and nothing is taken, when that is less.
  bool take(const IdType& who, double count, TimePoint now) {
    if (callers_.size() >= callers_max && !callers_.contains(who))
      callers_.erase(std::ranges::min_element(callers_, {}, [](const auto& one) { return one.second.at; }));
    One& one = callers_.try_emplace(who, One{burst_, now}).first->second;
    const double seconds = std::chrono::duration<double>(now - one.at).count();
    one.left = std::min(burst_, one.left + seconds * per_s_);
    one.at = now;
    if (one.left < count) return false;
    one.left -= count;
    return true;
  }

 private:
  static constexpr std::size_t callers_max = 4096;
  struct One {
    double left = 0;
    TimePoint at{};
  };
  double burst_, per_s_;
  std::unordered_map<IdType, One> callers_;
};

}  // namespace spatter
