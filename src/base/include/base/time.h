// Time as node logic sees it. Both clocks come from the Runtime, never from the system directly.
#pragma once

#include <chrono>
#include <cstdint>

namespace spatter {

using Duration = std::chrono::nanoseconds;

/// Monotonic, starts anywhere, never jumps: for deadlines and measurements.
struct MonotonicClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using TimePoint = MonotonicClock::time_point;

/// Milliseconds since 1970 UTC. May jump, and differs between machines: for records that people
/// or other servers read, never for measuring.
using WallMs = std::int64_t;

}  // namespace spatter
