#include "machines.h"

#include <cmath>

#include "base/error.h"

namespace spatter::sim::mend {
namespace {

constexpr Seconds evening_from = 17 * hour, evening_to = 23 * hour;
constexpr Seconds jitter = hour;  // earlier or later, evenly, each evening and end anew

Seconds jittered(Random& random, Seconds at) {
  return at - jitter + static_cast<Seconds>(random.below(2 * jitter));
}

}  // namespace

std::string_view to_string(Habit habit) {
  switch (habit) {
    case Habit::always: return "always";
    case Habit::evenings: return "evenings";
    case Habit::erratic: return "erratic";
  }
  return "unknown";
}

Seconds waiting_time(Random& random, double rate) {
  if (rate <= 0) return never;
  const double seconds = -std::log(1 - random.unit()) / rate;
  return seconds < static_cast<double>(never) ? 1 + static_cast<Seconds>(seconds) : never;
}

Presence::Presence(Habit habit, const MachineOptions& options, std::uint64_t seed, Seconds now)
    : habit_(habit), options_(options), random_(seed) {
  if (habit == Habit::evenings) {
    zone_ = static_cast<Seconds>(random_.below(options_.zones)) * day / options_.zones;
    date_ = (now + zone_) / day - 1;
    do plan_evening();
    while (evening_ends_ <= now);
    on_ = next_ <= now;
    if (on_) next_ = evening_ends_;
  } else if (habit == Habit::erratic) {
    const double on_share =
        options_.erratic_on_hours / (options_.erratic_on_hours + options_.erratic_off_hours);
    on_ = random_.unit() < on_share;
    next_ = now + waiting_time(random_, 1 / ((on_ ? options_.erratic_on_hours : options_.erratic_off_hours) * hour));
  }
}

void Presence::plan_evening() {
  do ++date_;
  while (options_.skipped_evenings > 0 && random_.unit() < options_.skipped_evenings);
  next_ = date_ * day - zone_ + jittered(random_, evening_from);
  evening_ends_ = date_ * day - zone_ + jittered(random_, evening_to);
}

void Presence::change() {
  SPATTER_ASSERT(habit_ != Habit::always);
  on_ = !on_;
  if (habit_ == Habit::erratic) {
    next_ += waiting_time(random_, 1 / ((on_ ? options_.erratic_on_hours : options_.erratic_off_hours) * hour));
  } else if (on_) {
    next_ = evening_ends_;
  } else {
    plan_evening();
  }
}

}  // namespace spatter::sim::mend
