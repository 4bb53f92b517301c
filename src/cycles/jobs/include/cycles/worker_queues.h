// What each worker has of ours, in the order in which it took it, and since when it is at the first: how long it
// computed a piece, and how long a new one has to wait. A worker is taken to compute one after the other.
//
// All calls on one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "base/ids.h"
#include "base/time.h"

namespace spatter {

class WorkerQueues {
 public:
  using Ticket = std::uint64_t;

  /// The worker took a piece; `fuel` as far as it is known.
  Ticket took(const ServerId& worker, std::optional<std::uint64_t> fuel, TimePoint now);
  /// It has computed it: how long that took since it was free for it. 0 for a ticket that is not there.
  Duration computed(const ServerId& worker, Ticket ticket, TimePoint now);
  /// It will not compute it, or nobody waits for it.
  void dropped(const ServerId& worker, Ticket ticket, TimePoint now);

  /// Until it is free, at that speed; pieces of unknown fuel are taken to be like `fuel`.
  double wait_s(const ServerId& worker, double fuel_per_s, std::uint64_t fuel, TimePoint now) const;

 private:
  struct Piece {
    Ticket ticket = 0;
    std::optional<std::uint64_t> fuel;
  };
  struct Queue {
    std::deque<Piece> pieces;
    TimePoint since{};  ///< when the first one's turn came
  };
  bool leave(Queue& queue, Ticket ticket, TimePoint now);

  std::map<ServerId, Queue> queues_;
  Ticket next_ = 1;
};

}  // namespace spatter
