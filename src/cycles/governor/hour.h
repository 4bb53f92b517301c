// What was used and granted in the whole minutes of the last hour.
#pragma once

#include <deque>

#include "cycles/share_keeper.h"

namespace spatter::cycles {

class Hour {
 public:
  explicit Hour(TimePoint now) : ends_(now + minute) {}

  /// To be called several times a minute.
  void count(ShareLaw& law, TimePoint now) {
    if (now < ends_) return;
    minutes_.push_back({law.used() - used_before_, law.granted_within(now, minute)});
    if (minutes_.size() > 60) minutes_.pop_front();
    used_before_ = law.used();
    ends_ = now + minute;
  }
  void report(ShareReport& report) const {
    for (const Minute& one : minutes_) {
      report.used_hour += one.used;
      report.granted_hour += one.granted;
    }
  }

 private:
  static constexpr Duration minute = std::chrono::seconds(60);
  struct Minute {
    Duration used, granted;
  };
  std::deque<Minute> minutes_;
  TimePoint ends_;
  Duration used_before_{0};
};

}  // namespace spatter::cycles
