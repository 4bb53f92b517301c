#include "cycles/worker_queues.h"

#include <algorithm>

namespace spatter {

WorkerQueues::Ticket WorkerQueues::took(const ServerId& worker, std::optional<std::uint64_t> fuel, TimePoint now) {
  auto& queue = queues_[worker];
  if (queue.pieces.empty()) queue.since = now;
  queue.pieces.push_back({next_, fuel});
  return next_++;
}

bool WorkerQueues::leave(Queue& queue, Ticket ticket, TimePoint now) {
  const auto piece = std::ranges::find(queue.pieces, ticket, &Piece::ticket);
  if (piece == queue.pieces.end()) return false;
  if (piece == queue.pieces.begin()) queue.since = now;
  queue.pieces.erase(piece);
  return true;
}

Duration WorkerQueues::computed(const ServerId& worker, Ticket ticket, TimePoint now) {
  auto& queue = queues_[worker];
  const auto since = queue.since;
  if (!leave(queue, ticket, now)) return Duration(0);
  // Whatever its order was, it was at this one last.
  queue.since = now;
  return now - since;
}

void WorkerQueues::dropped(const ServerId& worker, Ticket ticket, TimePoint now) { leave(queues_[worker], ticket, now); }

double WorkerQueues::wait_s(const ServerId& worker, double fuel_per_s, std::uint64_t fuel, TimePoint now) const {
  const auto found = queues_.find(worker);
  if (found == queues_.end() || found->second.pieces.empty() || !(fuel_per_s > 0)) return 0;
  const auto& queue = found->second;
  const double passed = std::chrono::duration<double>(now - queue.since).count();
  double wait = 0;
  for (const auto& piece : queue.pieces) {
    const double one = static_cast<double>(piece.fuel.value_or(fuel)) / fuel_per_s;
    wait += &piece == &queue.pieces.front() ? std::max(0.0, one - passed) : one;
  }
  return wait;
}

}  // namespace spatter
