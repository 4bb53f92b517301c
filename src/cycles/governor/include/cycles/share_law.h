// How a share of a CPU is held by letting work run and stopping it: the arithmetic alone. It knows no process
// and no clock; it is told what was used and says when the next burst may begin and how long it may last.
//
// Three rules are laid over each other (docs/shares.md has the sums):
//  - pace: a bucket fills at the share's rate; a burst begins when it holds `burst_credit` and lasts until it
//    would be empty;
//  - second: the bucket's depth and a bounded rate of catching up keep every second within
//    `burst_credit` + `credit_more` + `overdraft` + `catch_up_per_second` of its share;
//  - minute: a burst ends before any minute that it lies in would hold more than the share over that minute.
//
// Pure: no threads, no system calls. Times are the caller's, on a clock that does not count suspension.
#pragma once

#include <cstdint>
#include <deque>

#include "base/time.h"

namespace spatter::cycles {

/// A share in millionths of one core: 200'000 is 20 % of one core, 1'600'000 is 80 % of two.
using SharePpm = std::int64_t;

/// An amount that grows over time and is known at some points; between them it is taken to grow evenly.
class GrowingAmount {
 public:
  /// Earlier than the last point counts as at the last.
  void grow_until(TimePoint when, Duration by);
  /// The same at the pace of the stretch before: needs no point of its own.
  void grow_evenly_until(TimePoint when, Duration by);
  /// Before the first point: 0. After the last: the total.
  Duration at(TimePoint when) const;
  Duration total() const { return points_.empty() ? Duration(0) : points_.back().amount; }
  void forget_before(TimePoint when);

  struct Point {
    TimePoint when;
    Duration amount;
  };
  const std::deque<Point>& points() const { return points_; }

 private:
  std::deque<Point> points_;
};

struct ShareLawOptions {
  Duration burst_credit = std::chrono::milliseconds(5);  ///< more on many cores, where it would be gone too soon
  Duration credit_more = std::chrono::milliseconds(3);   ///< what may be saved up beyond that
  Duration overdraft = std::chrono::milliseconds(6);  ///< how far a burst may overdraw if all cores are used
  Duration catch_up_per_second = std::chrono::milliseconds(6);
  Duration window = std::chrono::seconds(60);
};

/// How long work may run without another look at what it uses.
struct ShareBurst {
  Duration length{0};
  /// It would be longer if it were certain that no more cores are used than expected. So it is worth asking again at its end.
  bool cautious = false;
};

class ShareLaw {
 public:
  ShareLaw(SharePpm share, TimePoint now, ShareLawOptions options = {});

  /// From `now` on. What was granted before stays granted.
  void set_share(TimePoint now, SharePpm share);
  SharePpm share() const { return share_; }

  /// `used` CPU time was used between the two times. Negative corrects what was charged too much before.
  void charge(TimePoint from, TimePoint to, Duration used);

  /// Other work of the same share took so much CPU time, all of it before `now`: bursts get that much less, and what
  /// is more than a window's share is forgiven.
  void charge_elsewhere(TimePoint now, Duration used);

  /// When a burst may begin: `now` if it may at once; TimePoint::max() while the share is 0.
  TimePoint may_begin(TimePoint now, double cores_possible);

  /// How long a burst that begins now, or goes on, may last; 0 when the minute has no room. `cores_expected` of them will be
  /// used, going by what was seen, and at most `cores_possible`. `unseen` may have been used and is not charged yet.
  ShareBurst burst(TimePoint now, double cores_expected, double cores_possible, Duration unseen = Duration(0));

  /// The last minute has no room: for a keeper that others pace.
  bool minute_full(TimePoint now);

  /// CPU time used since `age` ago, and what the share was over that time (less when the law is younger).
  Duration used_within(TimePoint now, Duration age) const;
  Duration granted_within(TimePoint now, Duration age);
  /// CPU time used in all. May lag behind by one burst.
  Duration used() const { return used_total_; }

 private:
  void refresh(TimePoint now);
  void cap();
  Duration shortfall(TimePoint now) const;
  Duration minute_room(TimePoint begin, TimePoint at) const;
  Duration granted(Duration time) const;
  Duration margin() const;
  Duration burst_credit() const;

  ShareLawOptions options_;
  SharePpm share_;
  bool share_changed_ = false;
  TimePoint refreshed_;
  double cores_ = 1;
  Duration credit_;
  Duration unpaid_{0};   ///< corrections that are yet to be set off against charges
  Duration used_total_{0};
  Duration worst_overrun_{0};  ///< fades over minutes
  GrowingAmount granted_, used_;
};

}  // namespace spatter::cycles
