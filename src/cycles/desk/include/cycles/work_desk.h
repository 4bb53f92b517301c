// What this server computes for others: takes pieces, fetches what they need from who asks, has them computed,
// and shows results when the asker says so, never before it has committed to them.
//
// All calls on the executor; the parts outlive it; await stop() before it dies. Nothing outlives a
// restart: an asker that finds its piece unknown here offers it again.
#pragma once

#include <functional>
#include <memory>

#include "base/runtime.h"
#include "base/sync.h"
#include "cycles/ledger_desk.h"
#include "cycles/piece_runner.h"
#include "cycles/work_wire.h"
#include "directory/members.h"
#include "trust/certificate.h"

namespace spatter {

inline constexpr std::size_t work_fetch_bytes_max = 4 << 20;  ///< in one call

struct WorkOptions {
  unsigned parallel = 1;               ///< pieces computed at a time
  std::size_t per_asker_max = 8;       ///< pieces that wait or are computed
  std::size_t waiting_max = 64;        ///< of all askers
  std::size_t kept_max = 2048;         ///< pieces in all, computed ones that nobody has released included
  std::size_t kept_per_asker_max = 256;
  std::uint64_t disk_bytes_max = 8ULL << 30;    ///< inputs and outputs of all pieces; and a quarter of what is free
  std::uint64_t input_bytes_max = 1ULL << 30;   ///< of one piece
  std::uint64_t output_bytes_max = 1ULL << 30;
  std::uint64_t module_cache_bytes = 256ULL << 20;
  Duration keep_results = std::chrono::hours(24);
};

struct WorkReport {
  struct Piece {
    ServerId asker;
    JobId job;
    std::uint32_t piece = 0;
    std::string state;  ///< "waiting", "fetching", "computing", "committed", "shown"
  };
  std::vector<Piece> pieces;
  std::uint64_t taken = 0, computed = 0, failed = 0, refused = 0;
  std::uint64_t fuel = 0;
  double processor_s = 0;
};

class WorkDesk {
 public:
  struct Parts {
    Runtime& runtime;
    WorkWire& wire;
    Members& members;
    const Identity& identity;
    PieceRunner& runner;
    LedgerDesk* ledger = nullptr;  ///< none: nobody is held to a promise
    /// Whether this server computes for that person now; the error says why not.
    std::function<Result<void>(const PersonId&)> may_work;
  };
  explicit WorkDesk(Parts parts, WorkOptions options = {});
  ~WorkDesk();

  /// Empties the folder "work" and serves work.offer, reveal, output and release, cycles.ask and show.
  Task<Result<void>> start();
  Task<void> stop();

  void set_parallel(unsigned pieces);
  /// Stops what is computed and gives back what waits, so that the askers look for others.
  Task<void> drop_all();
  WorkReport report() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace spatter
