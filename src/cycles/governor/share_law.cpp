#include "cycles/share_law.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace spatter::cycles {

namespace {

constexpr std::int64_t ppm = 1'000'000;
constexpr Duration second = std::chrono::seconds(1);
constexpr Duration shortest_burst = std::chrono::microseconds(200);
constexpr Duration look_again = std::chrono::milliseconds(10);
/// How far a burst is taken to overrun at least and at most: wakes are late by that much now and then on any machine.
constexpr Duration least_overrun = std::chrono::milliseconds(8), most_overrun = std::chrono::milliseconds(50);
/// Within a burst use is taken to be even, and a stop to take effect at once: what that may hide, a core.
constexpr Duration rounding = std::chrono::milliseconds(2);
/// Bursts shorter than this cost more in stopping and starting than they are worth.
constexpr Duration worthwhile_burst = std::chrono::milliseconds(1);

Duration scaled(Duration time, SharePpm share) {
  return Duration(static_cast<std::int64_t>(static_cast<__int128>(time.count()) * share / ppm));
}
Duration scaled(Duration time, double by) {
  return Duration(static_cast<std::int64_t>(static_cast<double>(time.count()) * by));
}

/// How long it takes at that rate to have that much.
Duration later(Duration amount, SharePpm rate) {
  const auto time = static_cast<__int128>(amount.count()) * ppm / rate;
  return std::max(shortest_burst, Duration(static_cast<std::int64_t>(std::min<__int128>(time, second.count()))));
}

}  // namespace

void GrowingAmount::grow_until(TimePoint when, Duration by) {
  SPATTER_ASSERT(by >= Duration(0));
  if (points_.empty()) return points_.push_back({when, by});
  points_.push_back({std::max(when, points_.back().when), points_.back().amount + by});
}

void GrowingAmount::grow_evenly_until(TimePoint when, Duration by) {
  if (points_.size() < 2) return grow_until(when, by);
  SPATTER_ASSERT(by >= Duration(0));
  points_.back() = {std::max(when, points_.back().when), points_.back().amount + by};
}

Duration GrowingAmount::at(TimePoint when) const {
  if (points_.empty() || when < points_.front().when) return Duration(0);
  const auto after = std::ranges::upper_bound(points_, when, {}, &Point::when);
  if (after == points_.end()) return points_.back().amount;
  const auto before = std::prev(after);
  const double part = static_cast<double>((when - before->when).count()) /
                      static_cast<double>((after->when - before->when).count());
  return before->amount + scaled(after->amount - before->amount, part);
}

void GrowingAmount::forget_before(TimePoint when) {
  while (points_.size() > 2 && points_[1].when <= when) points_.pop_front();
}

ShareLaw::ShareLaw(SharePpm share, TimePoint now, ShareLawOptions options)
    : options_(options), share_(share), refreshed_(now), credit_(0) {
  granted_.grow_until(now, Duration(0));
  used_.grow_until(now, Duration(0));
  worst_overrun_ = least_overrun;
}

void ShareLaw::set_share(TimePoint now, SharePpm share) {
  refresh(now);
  if (share < share_) granted_ = used_;  // a smaller share holds for the coming minute: nothing is left to make up
  share_changed_ = share_changed_ || share != share_;
  share_ = share;
}

Duration ShareLaw::granted(Duration time) const { return scaled(time, share_); }

/// What a minute is aimed to stay below its share by, so that the bursts at its two ends and a late stop do
/// not lift it above.
Duration ShareLaw::margin() const { return burst_credit() + worst_overrun_ * 5 / 4 + scaled(rounding, cores_); }

Duration ShareLaw::burst_credit() const {
  return std::max(options_.burst_credit, scaled(worthwhile_burst, cores_ - static_cast<double>(share_) / ppm));
}

/// How much less than aimed at was used in the last minute, beyond what the rhythm of bursts explains.
Duration ShareLaw::shortfall(TimePoint now) const {
  const TimePoint since = now - options_.window;
  const Duration aim = granted_.total() - granted_.at(since) - margin() - burst_credit();
  return std::max(Duration(0), aim - (used_.total() - used_.at(since)));
}

void ShareLaw::refresh(TimePoint now) {
  if (now <= refreshed_) return;
  const Duration passed = now - refreshed_;
  refreshed_ = now;
  const Duration grant = granted(passed);
  if (std::exchange(share_changed_, false)) granted_.grow_until(now, grant);
  else granted_.grow_evenly_until(now, grant);
  granted_.forget_before(now - options_.window - second);
  used_.forget_before(now - options_.window - second);
  const Duration most = scaled(options_.catch_up_per_second, static_cast<double>(passed.count()) / 1e9);
  // The aim lies `margin` below the share in each minute; what falls short of that is made up within bounds.
  const double windows = static_cast<double>(passed.count()) / static_cast<double>(options_.window.count());
  const Duration pace = grant - scaled(margin(), windows);
  const Duration catch_up = std::min(most, shortfall(now));
  credit_ += pace + catch_up;
  worst_overrun_ = std::max(least_overrun, worst_overrun_ - scaled(worst_overrun_, std::min(1.0, windows / 2)));
}

/// A burst's credit grows while it runs and is charged when it is over: only then is the bucket's depth a bound.
void ShareLaw::cap() { credit_ = std::min(credit_, burst_credit() + options_.credit_more); }

void ShareLaw::charge(TimePoint from, TimePoint to, Duration used) {
  refresh(to);
  used_total_ += used;
  credit_ -= used;
  unpaid_ += used;  // what was corrected downwards is taken off what comes: the past is not rewritten
  const Duration now_used = std::max(Duration(0), unpaid_);
  unpaid_ -= now_used;
  used_.grow_until(from, Duration(0));
  used_.grow_until(to, now_used);
  const Duration overrun = std::max(Duration(0), -credit_);
  worst_overrun_ = std::max(std::min(overrun, most_overrun), worst_overrun_);
  cap();
}

void ShareLaw::charge_elsewhere(TimePoint now, Duration used) {
  refresh(now);
  used_total_ += used;
  credit_ = std::max(credit_ - used, std::min(credit_, -granted(options_.window)));
  used_.grow_until(now - used, Duration(0));
  used_.grow_until(now, used);
}

TimePoint ShareLaw::may_begin(TimePoint now, double cores_possible) {
  refresh(now);
  cores_ = cores_possible;
  cap();
  if (share_ <= 0) return TimePoint::max();
  if (credit_ >= burst_credit()) {
    const Duration lacking = shortest_burst - minute_room(now, now);
    if (lacking <= Duration(0)) return now;
    // The room grows at the share's rate at least, and sooner where old bursts leave the minute.
    return now + std::min(later(lacking, share_), look_again);
  }
  // Catching up can only make it earlier; who asks again then is let in then.
  const Duration missing = burst_credit() - credit_;
  const SharePpm rate = share_ + (shortfall(now) > Duration(0) ? options_.catch_up_per_second.count() / 1000 : 0);
  return now + later(missing, rate);
}

/// How much may still have been used by `at`, by a burst that began at `begin`, with the minute before `at` in mind.
Duration ShareLaw::minute_room(TimePoint begin, TimePoint at) const {
  const TimePoint since = at - options_.window;
  const Duration grant = granted_.total() + granted(at - begin) - granted_.at(since);
  return grant - (used_.total() - used_.at(since)) - worst_overrun_ * 5 / 4 - scaled(rounding, cores_);
}

ShareBurst ShareLaw::burst(TimePoint now, double cores_expected, double cores_possible, Duration unseen) {
  refresh(now);
  cores_ = cores_possible;
  cap();
  if (share_ <= 0) return {};
  const double rate = static_cast<double>(share_) / ppm;
  const auto until_empty = [&](Duration credit, double cores) {
    if (credit <= Duration(0)) return Duration(0);
    if (cores <= rate) return second;
    return std::min(second, scaled(credit, 1 / (cores - rate)));
  };
  cores_expected = std::min(cores_expected, cores_possible);
  const Duration credit = credit_ - unseen;
  const Duration as_expected = until_empty(credit, cores_expected);
  const Duration length = std::min(as_expected, until_empty(credit + options_.overdraft, cores_possible));
  // Between two points everything is a straight line, so the room can only run out at, or just before, a point.
  TimePoint good = now;
  Duration good_room = minute_room(now, now) - unseen;
  if (good_room <= Duration(0)) return {};
  const auto fits = [&](TimePoint at) {
    const Duration room = minute_room(now, at) - unseen - scaled(at - now, cores_expected);
    if (room >= Duration(0)) {
      good = at;
      good_room = room;
      return true;
    }
    const double part = static_cast<double>(good_room.count()) /
                        static_cast<double>((good_room - room).count());
    good += scaled(at - good, part);
    return false;
  };
  const TimePoint end = now + length;
  const auto& points = used_.points();
  auto point = std::ranges::upper_bound(points, now - options_.window, {}, &GrowingAmount::Point::when);
  for (; point != points.end() && point->when + options_.window < end; ++point)
    if (!fits(point->when + options_.window)) break;
  const bool cut = point != points.end() && point->when + options_.window < end;
  if (!cut) fits(end);
  const Duration allowed = good - now;
  if (allowed < shortest_burst) return {};
  return {.length = allowed, .cautious = allowed == length && length < as_expected};
}

bool ShareLaw::minute_full(TimePoint now) {
  refresh(now);
  return minute_room(now, now) <= Duration(0);
}

Duration ShareLaw::used_within(TimePoint now, Duration age) const {
  return used_.total() - used_.at(now - std::min(age, options_.window));
}

Duration ShareLaw::granted_within(TimePoint now, Duration age) {
  refresh(now);
  return granted_.total() - granted_.at(now - std::min(age, options_.window));
}

}  // namespace spatter::cycles
