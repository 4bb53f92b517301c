// The machines of a long run: when each is on, when its disk fails and when it leaves for good. All
// of it follows from a machine's own seed, never from what is stored there: every scheme meets the
// same machines on the same days.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/random.h"

namespace spatter::sim::mend {

/// Virtual time of a long run, since its beginning.
using Seconds = std::int64_t;
inline constexpr Seconds minute = 60, hour = 3600, day = 24 * hour;
inline constexpr double year = 365.25 * day, month = year / 12;
inline constexpr Seconds never = std::int64_t{1} << 60;

enum class Habit : std::uint8_t {
  always,    ///< a server or NAS: never off
  evenings,  ///< a home PC: on from about 17:00 to about 23:00 of its time zone
  erratic,   ///< on and off for exponential times
};
inline constexpr std::size_t habits = 3;
std::string_view to_string(Habit habit);

struct MachineOptions {
  double always_share = 1.0 / 3, evenings_share = 1.0 / 3;  ///< the rest is erratic
  double leave_per_month = 0.02;          ///< share that leaves for good, saying nothing
  double disk_failures_per_year = 0.02;   ///< share that loses all it holds, and stays
  double erratic_on_hours = 12, erratic_off_hours = 8;  ///< means
  double skipped_evenings = 0;            ///< share of the evenings at which a home PC stays off
  unsigned zones = 24;                    ///< time zones the evenings are spread over, evenly
  double always_mbit = 100, home_mbit = 10;  ///< upload; `home` is for evenings and erratic
};

/// Exponential waiting time of a rate per second; `never` when the rate is 0.
Seconds waiting_time(Random& random, double rate);

/// When one machine is on.
class Presence {
 public:
  Presence(Habit habit, const MachineOptions& options, std::uint64_t seed, Seconds now);
  bool on() const { return on_; }
  Seconds next_change() const { return next_; }  ///< `never` for one that is always on
  /// At next_change().
  void change();

 private:
  void plan_evening();

  Habit habit_;
  MachineOptions options_;
  SeededRandom random_;
  bool on_ = true;
  Seconds next_ = never;
  Seconds zone_ = 0;             // what its clock is ahead
  Seconds date_ = 0;             // of the evening planned, in days of its own
  Seconds evening_ends_ = 0;
};

}  // namespace spatter::sim::mend
