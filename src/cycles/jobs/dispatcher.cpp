#include "cycles/dispatcher.h"

#include <algorithm>

namespace spatter {

Dispatcher::Dispatcher(std::uint32_t pieces, WorkerTrust& trust, Chance chance, DispatchOptions options)
    : trust_(trust), chance_(std::move(chance)), options_(options), pieces_(pieces), waiting_(pieces) {
  for (std::uint32_t i = 0; i < pieces; ++i) wanting_.insert(wanting_.end(), i);
}

void Dispatcher::set_workers(std::vector<JobWorker> workers) {
  std::map<ServerId, Slots> slots;
  for (const auto& worker : workers) {
    const auto before = slots_.find(worker.server);
    slots[worker.server] = {worker, before == slots_.end() ? 0 : before->second.used};
  }
  // Those that are gone still have what they were given, until that has failed.
  for (const auto& [server, before] : slots_) {
    if (before.used == 0 || slots.contains(server)) continue;
    slots[server] = before;
    slots[server].worker.slots = 0;
  }
  slots_ = std::move(slots);
  workers_ = std::move(workers);
}

void Dispatcher::restore_vote(std::uint32_t number, const JobWorker& worker, const Digest& result, std::uint64_t fuel) {
  pieces_[number].copies.push_back({.worker = worker.server, .person = worker.person, .own = worker.own,
                                    .state = Copy::State::voted, .judged = true, .result = result, .fuel = fuel});
  given_[worker.server].insert(number);
  ++copies_computed_;
  fuel_computed_ += fuel;
  settle(number);
}

Dispatcher::Copy* Dispatcher::find(std::uint32_t piece, const ServerId& worker) {
  for (auto& copy : pieces_[piece].copies)
    if (copy.worker == worker && copy.state != Copy::State::failed) return &copy;
  return nullptr;
}

Dispatcher::Tally Dispatcher::tally(const Piece& piece) const {
  Tally tally;
  for (const auto& copy : piece.copies) {
    if (!counts(copy)) continue;
    std::set<PersonId> persons;
    for (const auto& other : piece.copies)
      if (counts(other) && other.result == copy.result) persons.insert(other.person);
    if (tally.best && tally.best->result == copy.result) continue;
    if (tally.best) tally.contradicted = true;
    if (persons.size() > tally.best_persons) {
      tally.second_persons = tally.best_persons;
      tally.best_persons = persons.size();
      tally.best = &copy;
    } else {
      tally.second_persons = std::max<std::uint64_t>(tally.second_persons, persons.size());
    }
  }
  return tally;
}

PieceStanding Dispatcher::judge(std::uint32_t number, const Piece& piece) const {
  if (piece.given_up) return PieceStanding::hopeless;
  const Tally votes = tally(piece);
  const auto had = std::ranges::count(piece.copies, Copy::State::voted, &Copy::state);
  const auto failures = std::ranges::count(piece.copies, Copy::State::failed, &Copy::state);
  if (votes.best && votes.best_persons >= 2 && votes.best_persons > votes.second_persons) return PieceStanding::agreed;
  if (votes.best && !votes.contradicted) {
    const auto mine = std::ranges::find_if(piece.copies, [&](const Copy& copy) { return counts(copy) && copy.own; });
    if (mine != piece.copies.end()) return PieceStanding::agreed;
    if (is_believed_alone(*votes.best) && !chance_.is_checked(number)) return PieceStanding::held;
  }
  const bool at_work = std::ranges::any_of(piece.copies, &Copy::is_live);
  if (votes.contradicted && !at_work) {
    // Nobody else is there to ask: one's own machine is believed.
    const bool somebody = std::ranges::any_of(workers_, [&](const JobWorker& worker) {
      return std::ranges::none_of(piece.copies, [&](const Copy& copy) { return copy.person == worker.person; });
    });
    const auto mine = std::ranges::find_if(piece.copies, [&](const Copy& copy) { return counts(copy) && copy.own; });
    if (!somebody && mine != piece.copies.end()) return PieceStanding::agreed;
  }
  if (!at_work && (had >= options_.copies_max || failures >= options_.failures_max)) return PieceStanding::hopeless;
  return PieceStanding::waiting;
}

unsigned Dispatcher::copies_wanted(std::uint32_t number, const Piece& piece) const {
  if (piece.standing != PieceStanding::waiting) return 0;
  const Tally votes = tally(piece);
  unsigned live = 0;
  const Copy* only = nullptr;
  for (const auto& copy : piece.copies) {
    if (!copy.is_live() || copy.slow) continue;
    ++live;
    only = &copy;
  }
  // One beside those that have voted; and one is enough of somebody who is believed: whether he is is only known
  // once he is chosen.
  const bool one_is_enough =
      votes.best || !only || (is_believed_alone(*only) && (only->own || !chance_.is_checked(number)));
  const unsigned wanted = one_is_enough ? 1 : 2;
  return wanted > live ? wanted - live : 0;
}

void Dispatcher::update_wanting(std::uint32_t number) {
  if (copies_wanted(number, pieces_[number]) > 0) wanting_.insert(number);
  else wanting_.erase(number);
}

std::vector<CopyAssignment> Dispatcher::assign() {
  std::vector<CopyAssignment> result;
  stuck_ = 0;
  std::size_t room = 0;
  for (const auto& [server, slots] : slots_)
    if (slots.used < slots.worker.slots && !caught_.contains(server)) room += slots.worker.slots - slots.used;
  std::vector<std::uint32_t> wanting;
  // Those with room may have had a part in a few of the first pieces; far beyond these, looking on is no use.
  const std::size_t looked_at_max = room + 16;
  for (const auto number : wanting_) {
    if (room == 0 || wanting.size() >= looked_at_max) break;
    wanting.push_back(number);
  }
  for (const auto number : wanting) {
    if (room == 0) break;
    auto& piece = pieces_[number];
    settle(number);  // whoever voted on it may have become trusted elsewhere
    bool anybody = true;
    while (room > 0 && anybody && copies_wanted(number, piece) > 0) {
      anybody = false;
      const auto order = chance_.order(number, workers_);
      const auto try_each = [&](bool again) {
        bool candidate = false;
        for (const auto place : order) {
          const auto& worker = workers_[place];
          if (caught_.contains(worker.server)) continue;
          bool excluded = false;
          unsigned lost = 0;
          for (const auto& copy : piece.copies) {
            if (copy.state == Copy::State::failed) lost += copy.worker == worker.server;
            else if (copy.person == worker.person && !caught_.contains(copy.worker)) excluded = true;
            else if (copy.worker == worker.server) excluded = true;
          }
          if (excluded || (again ? lost == 0 || lost > 3 : lost > 0)) continue;
          candidate = true;
          auto& slots = slots_[worker.server];
          if (slots.used >= worker.slots) continue;
          ++slots.used;
          --room;
          piece.copies.push_back({.worker = worker.server, .person = worker.person, .own = worker.own});
          given_[worker.server].insert(number);
          result.push_back({number, worker.server});
          anybody = true;
          return true;
        }
        return candidate;
      };
      // Who has failed at it is asked again only when there is nobody else, busy or not.
      if (!try_each(false) && !try_each(true)) ++stuck_;
    }
    update_wanting(number);
  }
  return result;
}

void Dispatcher::give_slot_back(const ServerId& worker) {
  if (const auto slots = slots_.find(worker); slots != slots_.end() && slots->second.used > 0) --slots->second.used;
}

void Dispatcher::committed(std::uint32_t piece, const ServerId& worker) {
  auto* copy = find(piece, worker);
  if (!copy || copy->state != Copy::State::running) return;
  copy->state = Copy::State::committed;
  committed_.insert(piece);
  give_slot_back(worker);  // it computes something else meanwhile
}

bool Dispatcher::may_reveal(std::uint32_t number) const {
  const auto& piece = pieces_[number];
  bool at_work = false;
  for (const auto& copy : piece.copies) {
    at_work |= copy.state == Copy::State::running && !copy.slow;
    if (copy.state == Copy::State::committed && is_believed_alone(copy) && (copy.own || !chance_.is_checked(number)))
      return true;
  }
  if (at_work) return false;
  // A second one that is only now to be chosen would see what the first has shown.
  return copies_wanted(number, piece) == 0 || tally(piece).best != nullptr;
}

std::vector<CopyAssignment> Dispatcher::reveals() {
  std::vector<CopyAssignment> result;
  for (auto it = committed_.begin(); it != committed_.end();) {
    auto& piece = pieces_[*it];
    const bool may = may_reveal(*it);
    bool waits = false;
    for (auto& copy : piece.copies) {
      if (copy.state != Copy::State::committed || copy.asked) continue;
      if (may) result.push_back({*it, copy.worker});
      copy.asked = may;
      waits |= !may;
    }
    it = waits ? std::next(it) : committed_.erase(it);
  }
  return result;
}

void Dispatcher::revealed(std::uint32_t piece, const ServerId& worker, const Digest& result, std::uint64_t fuel) {
  auto* copy = find(piece, worker);
  if (!copy || !copy->is_live()) return;
  if (copy->state == Copy::State::running) give_slot_back(worker);
  copy->state = Copy::State::voted;
  copy->result = result;
  copy->fuel = fuel;
  ++copies_computed_;
  fuel_computed_ += fuel;
  settle(piece);
}

void Dispatcher::failed(std::uint32_t number, const ServerId& worker, CopyFailure why) {
  auto& copies = pieces_[number].copies;
  const auto copy = std::ranges::find_if(copies, [&](const Copy& one) { return one.worker == worker && one.is_live(); });
  if (copy == copies.end()) return;
  if (copy->state == Copy::State::running) give_slot_back(worker);
  if (why == CopyFailure::refused) copies.erase(copy);
  else copy->state = Copy::State::failed;
  if (why == CopyFailure::broken) catch_out(worker);
  settle(number);
}

void Dispatcher::is_slow(std::uint32_t piece, const ServerId& worker) {
  auto* copy = find(piece, worker);
  if (!copy || !copy->is_live() || copy->slow) return;
  copy->slow = true;
  update_wanting(piece);
}

void Dispatcher::give_up(std::uint32_t piece) {
  pieces_[piece].given_up = true;
  settle(piece);
}

void Dispatcher::settle(std::uint32_t number) {
  auto& piece = pieces_[number];
  const auto before = piece.standing;
  piece.standing = judge(number, piece);
  if ((before == PieceStanding::waiting) != (piece.standing == PieceStanding::waiting))
    piece.standing == PieceStanding::waiting ? ++waiting_ : --waiting_;
  update_wanting(number);
  if (before != piece.standing && on_change) on_change(number);
  if (piece.standing != PieceStanding::agreed) return;
  const Tally votes = tally(piece);
  // Without a second opinion nothing is known of anybody.
  if (votes.best_persons < 2 && !votes.contradicted) return;
  Digest right{};
  if (const auto believed_now = believed(number)) right = believed_now->result;
  std::vector<ServerId> wrong;
  for (auto& copy : piece.copies) {
    if (!counts(copy) || copy.judged) continue;
    copy.judged = true;
    const bool is_right = copy.result == right;
    if (!copy.own) {
      if (is_right) trust_.right(copy.worker);
      else wrong.push_back(copy.worker);
    }
    if (on_verdict) on_verdict(number, copy.worker, is_right);
  }
  for (const auto& worker : wrong) catch_out(worker);
}

void Dispatcher::catch_out(const ServerId& worker) {
  if (!caught_.insert(worker).second) return;
  trust_.wrong(worker);
  // His votes count no more; what rested on them is open again, and what he is at is nothing to wait for.
  const auto given = given_[worker];
  for (const auto number : given) {
    for (auto& copy : pieces_[number].copies) {
      if (copy.worker != worker || !copy.is_live()) continue;
      if (copy.state == Copy::State::running) give_slot_back(worker);
      copy.state = Copy::State::failed;
    }
    settle(number);
  }
}

void Dispatcher::review() {
  for (std::uint32_t number = 0; number < pieces_.size(); ++number)
    if (pieces_[number].standing == PieceStanding::held || pieces_[number].standing == PieceStanding::waiting)
      settle(number);
}

std::optional<Dispatcher::Believed> Dispatcher::believed(std::uint32_t number) const {
  const auto& piece = pieces_[number];
  if (piece.standing != PieceStanding::agreed && piece.standing != PieceStanding::held) return std::nullopt;
  const Tally votes = tally(piece);
  const Copy* best = votes.best;
  if (votes.best_persons < 2) {
    for (const auto& copy : piece.copies)
      if (counts(copy) && copy.own) best = &copy;
  }
  if (!best) return std::nullopt;
  Believed result{best->result, best->fuel, {}};
  for (const auto& copy : piece.copies)
    if (counts(copy) && copy.result == best->result) result.workers.push_back(copy.worker);
  return result;
}

bool Dispatcher::is_under_way(std::uint32_t piece, const ServerId& worker) const {
  return std::ranges::any_of(pieces_[piece].copies,
                             [&](const Copy& copy) { return copy.worker == worker && copy.is_live(); });
}

std::uint32_t Dispatcher::count(PieceStanding standing) const {
  return static_cast<std::uint32_t>(std::ranges::count(pieces_, standing, &Piece::standing));
}

}  // namespace spatter
