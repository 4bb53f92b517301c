// The jobs that this server's person has given out: pieces to workers that chance names, results compared, what
// comes of them put into the volume. A job goes on after a restart where it was; results that were heard
// before are not asked for again.
//
// Inputs are read from the volume when a worker fetches them, so a file should stay as it is while its job runs:
// a worker that is given something else than was hashed says so, and the piece fails.
//
// All calls on the executor; the parts outlive it; await stop() before it dies. Durable: jobs when submit()
// completes, results before they count, what is known of workers soon after.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/database.h"
#include "cycles/dispatcher.h"
#include "cycles/job.h"
#include "cycles/ledger_desk.h"
#include "cycles/job_workshop.h"
#include "cycles/speed_book.h"
#include "cycles/work_wire.h"
#include "directory/members.h"
#include "userhalf/volume.h"
#include "wire/proto/jobs.pb.h"

namespace spatter {

inline constexpr std::size_t job_pieces_max = 100'000;
inline constexpr std::size_t job_module_bytes_max = 16 << 20;

struct JobSpec {
  std::string name;                ///< for people
  WorkKind kind;
  Bytes module;                    ///< admitted
  std::vector<std::string> args;
  std::vector<JobPiece> pieces;
  std::string output;              ///< a folder of the volume; made when the job ends
  std::uint64_t fuel_max = 0;      ///< of one piece
  std::uint64_t memory_bytes_max = 0;
  std::uint64_t output_bytes_max = 0;
  /// Instead of module, args, pieces and limits: one file, which the workshop splits and puts together.
  struct Whole {
    std::string source;              ///< in the volume
    std::uint64_t bytes = 0;
    std::string target;              ///< what JobWorkshop::can_make() takes
  };
  std::optional<Whole> whole;
};

enum class JobState : std::uint8_t { running = 0, done = 1, failed = 2, cancelled = 3 };
std::string_view to_string(JobState state);

struct JobReport {
  JobId id;
  std::string name;
  WorkKind kind;
  std::string output;
  JobState state = JobState::running;
  std::string trouble;          ///< why it failed, or waits
  std::uint32_t pieces = 0, agreed = 0, held = 0, hopeless = 0, under_way = 0, stuck = 0;
  std::uint32_t failed_pieces = 0;  ///< that ended otherwise than with exit code 0
  std::uint64_t copies = 0;     ///< results that came
  std::uint64_t fuel = 0;       ///< of believed results
  std::uint64_t fuel_computed = 0;
  WallMs created_ms = 0, ended_ms = 0;
  std::optional<Forecast> left;     ///< seconds from now
  std::optional<Forecast> quoted;   ///< seconds from `quoted_ms`, when it could first be told
  WallMs quoted_ms = 0;
  struct Worker {
    ServerId server;
    bool own = false, trusted = false, caught = false;
    std::uint32_t under_way = 0, results = 0;
    std::optional<double> fuel_per_s;
    std::string trouble;        ///< why it takes nothing now
  };
  std::vector<Worker> workers;
};

struct PieceReport {
  std::uint32_t piece = 0;
  std::string name;
  std::string state;            ///< "waiting", "held", "agreed", "hopeless"
  std::vector<ServerId> workers;
  std::optional<WorkResult> result;
  std::string log;
};

struct JobOptions {
  Duration poll = std::chrono::seconds(15);        ///< asks a worker how far it is
  Duration lost_after = std::chrono::seconds(30);  ///< of being unreachable
  unsigned slots = 2;                              ///< pieces that one worker may have
  unsigned at_once_max = 256;                      ///< copies under way of one job
};

class JobDesk {
 public:
  struct Parts {
    Runtime& runtime;
    WorkWire& wire;
    Rpc& rpc;               ///< for what it measured of others
    Members& members;
    const Identity& identity;
    Volume& volume;
    LedgerDesk* ledger;     ///< none: work is asked for without leases
    std::function<std::uint64_t()> epoch;
    std::function<Result<void>()> may_run;  ///< whether pieces may be given out now
    std::function<bool()> own_works;        ///< whether this server computes too
    JobWorkshop* workshop = nullptr;        ///< none: no job of one file is taken
  };
  explicit JobDesk(Parts parts, JobOptions options = {});
  ~JobDesk();

  /// Opens jobs.db, takes up the jobs that were running, serves work.fetch and work.commit. Where that is not
  /// possible the server goes on without jobs, nothing of them is touched, and all calls below say why.
  Task<void> start();
  Task<void> stop();

  /// Errors: invalid names what is wrong with the spec, exists: the output is there and not an empty folder.
  Task<Result<JobId>> submit(JobSpec spec);
  Task<Result<void>> cancel(JobId job);
  /// Forgets a job that has ended; what it wrote into the volume stays. Errors: busy, it is running.
  Task<Result<void>> remove(JobId job);
  /// All that have ended: how many.
  Task<Result<std::size_t>> remove_ended();
  /// Newest first.
  Task<Result<std::vector<JobReport>>> list();
  Task<Result<JobReport>> report(JobId job);
  /// Of a running job, or one that ended within the last days.
  Task<Result<std::vector<PieceReport>>> pieces(JobId job);
  /// The one job whose id begins so; not_found, or invalid when there are several.
  Task<Result<JobId>> find(std::string digits);
  /// Completes when the job has changed since `seen` (JobDesk::changes), or ended before.
  Task<void> wait_change(JobId job, std::uint64_t seen);
  std::uint64_t changes(JobId job) const;
  /// Looks again at who may work.
  void poke();

  const SpeedBook& speeds() const;
  const WorkerTrust& trust() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace spatter
