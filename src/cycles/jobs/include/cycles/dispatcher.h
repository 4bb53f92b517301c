// Who computes which piece of a job, how often, and which result is believed: the decisions alone, as a
// state machine. It knows no clock and no network; whoever runs it tells it what happened and does what
// assign() says.
//
// Each piece has an order of workers, drawn. The first with room computes it; unless he is trusted, or when
// the draw wants this piece checked, another person's server does so too. Equal results of two persons are
// agreed. Different ones need more votes, until one has two and more than any other: then those who voted otherwise
// are wrong, none of their votes in this job counts any more, and what rested on them is computed again. A
// trusted worker's only vote makes a piece *held*: good when the job ends, unless he is caught before.
//
// The asker's own servers are trusted from the start and not checked.
//
// All calls on one thread. Pieces are numbered from 0.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/ids.h"
#include "cycles/worker_trust.h"

namespace spatter {

struct JobWorker {
  ServerId server;
  PersonId person;
  bool own = false;     ///< of the asker's person
  unsigned slots = 2;   ///< pieces it may have at a time: one it computes, one that waits
};

struct DispatchOptions {
  unsigned copies_max = 9;     ///< of one piece that end in a result, before the job gives up on it
  unsigned failures_max = 12;  ///< copies of one piece that end without one, likewise
};

struct CopyAssignment {
  std::uint32_t piece = 0;
  ServerId worker;
  bool operator==(const CopyAssignment&) const = default;
};

enum class PieceStanding : std::uint8_t {
  waiting,   ///< more results are needed
  held,      ///< one trusted worker's
  agreed,    ///< two persons', or an own server's that nobody contradicts
  hopeless,  ///< as many copies as may be, and no two agree, or nobody can compute it
};

/// Why a copy came to nothing.
enum class CopyFailure : std::uint8_t {
  refused,   ///< before it began: no mark against anybody
  lost,      ///< the worker went away, or was too late for good
  broken,    ///< it showed another result than it had committed to, or none
};

class Dispatcher {
 public:
  /// `order` gives a permutation of the workers' places in `workers` for a piece; `is_checked` whether
  /// a piece of a trusted worker is computed twice all the same: nobody but the asker may know it before.
  /// `trust` outlives the dispatcher.
  struct Chance {
    std::function<std::vector<std::size_t>(std::uint32_t piece, const std::vector<JobWorker>& workers)> order;
    std::function<bool(std::uint32_t piece)> is_checked;
  };
  Dispatcher(std::uint32_t pieces, WorkerTrust& trust, Chance chance, DispatchOptions options = {});

  /// Who may be given work now; takes the place of what was said before. Copies at others go on.
  void set_workers(std::vector<JobWorker> workers);

  /// What was heard before a restart: who was caught, then the votes. Told to nobody again.
  void restore_caught(const ServerId& worker) { caught_.insert(worker); }
  void restore_vote(std::uint32_t piece, const JobWorker& worker, const Digest& result, std::uint64_t fuel);

  /// What is to be offered now. Each is under way from here on, until it is revealed or failed.
  std::vector<CopyAssignment> assign();

  /// The worker has committed to a result.
  void committed(std::uint32_t piece, const ServerId& worker);
  /// Who may show the result that he has committed to: once nobody is still at the piece whose vote is needed.
  /// Each is said once; to be asked after whatever happens.
  std::vector<CopyAssignment> reveals();
  void revealed(std::uint32_t piece, const ServerId& worker, const Digest& result, std::uint64_t fuel);
  void failed(std::uint32_t piece, const ServerId& worker, CopyFailure why);
  /// The worker takes too long: another is asked as well. His vote counts if it still comes.
  void is_slow(std::uint32_t piece, const ServerId& worker);
  /// Nobody can compute it: its input is gone, say.
  void give_up(std::uint32_t piece);

  /// Looks at every piece again that is not agreed, because a worker may have lost his trust in another job. Before
  /// the end is believed.
  void review();

  PieceStanding standing(std::uint32_t piece) const { return pieces_[piece].standing; }
  /// The believed result, while agreed or held, and those whose it is.
  struct Believed {
    Digest result;
    std::uint64_t fuel = 0;
    std::vector<ServerId> workers;
  };
  std::optional<Believed> believed(std::uint32_t piece) const;
  bool is_under_way(std::uint32_t piece, const ServerId& worker) const;

  /// Every piece is agreed, held or hopeless.
  bool is_done() const { return waiting_ == 0; }
  std::uint32_t pieces() const { return static_cast<std::uint32_t>(pieces_.size()); }
  std::uint32_t count(PieceStanding standing) const;
  /// Pieces that want a copy and nobody there may be given it: too few persons, say.
  std::uint32_t stuck() const { return stuck_; }
  const std::set<ServerId>& caught() const { return caught_; }
  std::uint64_t copies_computed() const { return copies_computed_; }  ///< results that came
  std::uint64_t fuel_computed() const { return fuel_computed_; }

  /// The standing of a piece has changed; set before anything is told.
  std::function<void(std::uint32_t piece)> on_change;
  /// A vote was found right or wrong, at most once for each.
  std::function<void(std::uint32_t piece, ServerId worker, bool right)> on_verdict;

 private:
  struct Copy {
    ServerId worker;
    PersonId person;
    bool own = false;
    enum class State : std::uint8_t { running, committed, voted, failed } state = State::running;
    bool slow = false;
    bool asked = false;    ///< to show its result
    bool judged = false;   ///< its worker's record has been told
    Digest result{};
    std::uint64_t fuel = 0;
    bool is_live() const { return state == State::running || state == State::committed; }
  };
  struct Piece {
    std::vector<Copy> copies;
    PieceStanding standing = PieceStanding::waiting;
    bool given_up = false;
  };
  struct Slots {
    JobWorker worker;
    unsigned used = 0;
  };
  struct Tally {
    std::uint64_t best_persons = 0, second_persons = 0;
    const Copy* best = nullptr;
    bool contradicted = false;
  };

  Copy* find(std::uint32_t piece, const ServerId& worker);
  Tally tally(const Piece& piece) const;
  bool counts(const Copy& copy) const { return copy.state == Copy::State::voted && !caught_.contains(copy.worker); }
  bool is_believed_alone(const Copy& copy) const { return copy.own || trust_.is_trusted(copy.worker); }
  PieceStanding judge(std::uint32_t number, const Piece& piece) const;
  void settle(std::uint32_t number);
  unsigned copies_wanted(std::uint32_t number, const Piece& piece) const;
  void give_slot_back(const ServerId& worker);
  void catch_out(const ServerId& worker);
  void update_wanting(std::uint32_t number);

  WorkerTrust& trust_;
  Chance chance_;
  DispatchOptions options_;
  std::vector<Piece> pieces_;
  std::vector<JobWorker> workers_;
  std::map<ServerId, Slots> slots_;
  bool may_reveal(std::uint32_t number) const;

  std::set<std::uint32_t> committed_;  ///< pieces with copies in that state
  std::set<std::uint32_t> wanting_;  ///< pieces that need another copy
  std::map<ServerId, std::set<std::uint32_t>> given_;  ///< pieces by who has, or had, a copy of them
  std::set<ServerId> caught_;
  std::uint32_t waiting_ = 0;
  std::uint32_t stuck_ = 0;
  std::uint64_t copies_computed_ = 0;
  std::uint64_t fuel_computed_ = 0;
};

}  // namespace spatter
