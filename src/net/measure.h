// Averages that forget: what we have seen of a peer lately.
#pragma once

#include <cmath>
#include <optional>

#include "base/time.h"
#include "net/rpc.h"

namespace spatter {

/// Each sample counts `weight`, all before it the rest.
class MovingAverage {
 public:
  explicit MovingAverage(double weight) : weight_(weight) {}
  void add(double sample) { value_ = value_ ? *value_ + weight_ * (sample - *value_) : sample; }
  std::optional<double> value() const { return value_; }

 private:
  double weight_;
  std::optional<double> value_;
};

/// A count that halves every five minutes.
class DecayingCount {
 public:
  void add(TimePoint now) {
    value_ = value(now) + 1;
    at_ = now;
  }
  double value(TimePoint now) const {
    const std::chrono::duration<double> passed = now - at_;
    return value_ * std::exp2(-passed.count() / half_life_s);
  }

 private:
  static constexpr double half_life_s = 300;
  double value_ = 0;
  TimePoint at_{};
};

struct Measures {
  MovingAverage round_trip_s{0.125};
  MovingAverage send_bytes_per_s{0.25};
  MovingAverage receive_bytes_per_s{0.25};
  DecayingCount failures;
};

}  // namespace spatter
