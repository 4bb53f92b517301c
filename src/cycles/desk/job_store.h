// jobs.db: jobs, their pieces and results, and what is known of workers.
#pragma once

#include "base/database.h"
#include "cycles/dispatcher.h"
#include "cycles/job.h"
#include "cycles/job_desk.h"
#include "cycles/speed_book.h"

namespace spatter {

struct StoredJob {
  JobId id;
  std::string name;
  WorkKind kind;
  std::string output;
  std::string order;   ///< a serialized wire::WorkOrder
  std::string source;  ///< of a job of one file: where in the volume
  std::uint64_t source_bytes = 0;
  std::string target;  ///< what of it is made; empty: a module's job
  std::optional<std::string> plan;  ///< once it is split
  std::uint64_t epoch = 0;
  JobState state = JobState::running;
  std::string trouble;
  WallMs created_ms = 0, ended_ms = 0;
  std::optional<Forecast> quoted;
  WallMs quoted_ms = 0;
  std::uint32_t pieces = 0;
};
struct StoredPiece {
  JobPiece piece;
  std::optional<Digest> digest;  ///< of its input
};
struct StoredVote {
  std::uint32_t piece = 0;
  ServerId worker;
  PersonId person;
  bool own = false;
  WorkResult result;
  std::string log;
};

class JobStore {
 public:
  explicit JobStore(Runtime& runtime) : runtime_(runtime) {}
  Task<Result<void>> open();
  Task<void> close();

  Task<Result<void>> add(StoredJob job, std::vector<JobPiece> pieces);
  /// The job's kind, order and plan, and its pieces: all or nothing.
  Task<Result<void>> set_split(StoredJob job, std::vector<JobPiece> pieces);
  Task<Result<std::vector<StoredJob>>> jobs();
  Task<Result<std::vector<StoredPiece>>> pieces(JobId job);
  Task<Result<std::vector<StoredVote>>> votes(JobId job);
  Task<Result<std::vector<ServerId>>> caught(JobId job);
  Task<Result<void>> set_digest(JobId job, std::uint32_t piece, Digest digest);
  Task<Result<void>> add_vote(JobId job, StoredVote vote);
  Task<Result<void>> add_caught(JobId job, ServerId worker);
  Task<Result<void>> set_quote(JobId job, Forecast quoted, WallMs at);
  /// All that is known of them, but for what was learnt of workers.
  Task<Result<void>> remove(std::vector<JobId> jobs);
  Task<Result<void>> set_ended(JobId job, JobState state, std::string trouble, WallMs at);
  Task<Result<void>> put_worker(ServerId worker, WorkerRecord record);
  Task<Result<void>> put_speed(ServerId worker, WorkKind kind, SpeedBook::Entry entry);
  Task<Result<void>> put_costs(WorkKind kind, SpeedBook::Costs costs);
  Task<Result<void>> add_error(ForecastError error);
  Task<Result<void>> load(WorkerTrust& trust, SpeedBook& speeds);

 private:
  Runtime& runtime_;
  std::unique_ptr<Database> database_;
};

}  // namespace spatter
