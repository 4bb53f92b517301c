// What a server promises, and how it is taken. Its promise is a line that rises from epoch to epoch: by the
// share that it pledged of the speed that its receipts show. A lease takes an interval of that line, the
// first that is free and not over yet: virtual scheduling (ITU-T I.371), with the theoretical arrival time
// counted in promised fuel instead of seconds, so that it stays exact when the rate changes. Intervals
// are disjoint and none is taken once its time is over. So over no window is more taken than promised.
//
// Plain values, moved on by one caller.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "cycles/entry.h"

namespace spatter::cycles {

/// An interval of a server's promise: [begin, end).
struct Span {
  Mark begin = 0, end = 0;
  bool operator==(const Span&) const = default;
};

class Promise {
 public:
  /// Of a server first heard of in `epoch`: nothing yet.
  explicit Promise(std::uint64_t epoch = 0) : epoch_(epoch) {}

  /// The next epoch begins: none may be left out.
  void begin(const LedgerRules& rules, std::uint64_t epoch);

  std::uint64_t epoch() const { return epoch_; }
  std::uint32_t share_ppm() const { return share_ppm_; }
  /// Fuel per second with all of its cores: the lower median of what the persons who had results have
  /// measured, each over all his receipts, of which older months count half as much as the next. 0: nobody has.
  Fuel speed() const { return speed_; }
  Fuel in_epoch() const { return in_epoch_; }      ///< promised in this epoch
  Mark before() const { return before_; }          ///< promised before this epoch
  Mark after() const { return before_ + in_epoch_; }
  /// Promised up to a moment, which counts as within this epoch.
  Mark at(const LedgerRules& rules, WallMs moment) const;

  /// A pledge made in this epoch. More than now counts after learning_epochs, less from the next
  /// month: this month's promise is kept.
  void pledge(const LedgerRules& rules, const Pledge& pledge);
  /// A receipt of this epoch, by that person. It counts after learning_epochs.
  void learn(const PersonId& receiver, Fuel fuel, std::uint64_t elapsed_ms);
  /// What will change when, for people; nothing when nothing will.
  struct Coming {
    std::uint64_t epoch = 0;
    std::uint32_t share_ppm = 0;
  };
  const std::optional<Coming>& coming() const { return coming_; }
  /// The share in an epoch from this one on, as far as is known.
  std::uint32_t share_in(std::uint64_t epoch) const {
    return coming_ && epoch >= coming_->epoch ? coming_->share_ppm : share_ppm_;
  }

  /// What a lease of `fuel` at `moment` would take, when all before `taken` is taken.
  Span next(const LedgerRules& rules, Mark taken, Fuel fuel, WallMs moment) const;
  /// Whether it ends within the guard.
  bool conforms(const LedgerRules& rules, const Span& span, WallMs moment) const;

 private:
  struct Measured {
    Mark fuel = 0;
    Mark time = 0;  ///< milliseconds times the share in millionths
  };
  struct Fresh {
    std::uint64_t epoch = 0;
    PersonId receiver;
    Measured measured;
  };
  Fuel measured_speed() const;

  std::uint64_t epoch_;
  std::uint32_t share_ppm_ = 0;
  std::optional<Coming> coming_;
  std::map<PersonId, Measured> measured_;
  std::vector<Fresh> fresh_;  ///< not counting yet
  Fuel speed_ = 0;
  Fuel in_epoch_ = 0;
  Mark before_ = 0;
};

}  // namespace spatter::cycles
