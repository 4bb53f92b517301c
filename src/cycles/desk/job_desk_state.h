// What the parts of JobDesk share.
#pragma once

#include "base/sync.h"
#include "crypto/vrf.h"
#include "cycles/job_desk.h"
#include "cycles/worker_queues.h"
#include "job_store.h"

namespace spatter {

/// A job under way.
struct RunningJob {
  RunningJob(asio::any_io_executor executor) : changed(executor), inputs(executor), group(std::make_unique<TaskGroup>(executor)) {}

  JobId id;
  StoredJob stored;
  std::vector<StoredPiece> pieces;
  wire::WorkOrder order;                 ///< of every piece, but for what is the piece's own
  std::optional<Dispatcher> dispatcher;
  VrfOutput checks{};                    ///< which pieces of trusted workers are computed twice
  std::map<std::uint32_t, VrfOutput> draws;
  std::map<Digest, WorkResult> results;  ///< by their digest
  struct Copy {
    Digest commitment{};
    bool committed = false;
    std::string trouble;                 ///< the worker's, when it came to nothing
    bool may_reveal = false;
    std::optional<WorkerQueues::Ticket> ticket;  ///< while it is in the worker's queue
    TimePoint began{};
    double seconds = 0;                  ///< until it had committed
    std::optional<Forecast> forecast;
    std::optional<LedgerDesk::Asked> lease;
    bool watched = true;                 ///< from its beginning: else nothing is known of its speed
  };
  std::map<std::pair<std::uint32_t, ServerId>, std::shared_ptr<Copy>> copies;  ///< under way
  struct Timing {
    double seconds = 0, transfer_s = 0;  ///< of the worker alone
    std::optional<Forecast> forecast;
    double total = 0;                    ///< since the offer, as was foretold
  };
  std::map<std::pair<std::uint32_t, ServerId>, Timing> timings;  ///< of results that are not believed yet
  std::map<ServerId, std::uint32_t> votes;
  std::vector<PersonId> persons;
  std::set<std::uint32_t> counted;       ///< pieces whose fuel is in what the kind costs
  std::uint64_t change = 0;
  bool ending = false;
  std::map<std::uint32_t, std::string> given_up;  ///< pieces that nobody can compute, and why
  double done_fuel = 0, done_bytes = 0, done_pieces = 0;  ///< of those counted
  std::uint32_t written = 0;             ///< outputs, while it ends
  bool prepared = true;                  ///< nothing is left to do at home before the end
  std::optional<Result<std::vector<JobWorkshop::Made>>> made;  ///< by the workshop, of all outputs
  bool cancelled = false;                ///< while its output could not be written
  bool pumping = false, pump_again = false;
  WaitQueue changed;
  Mutex inputs;                          ///< one input is hashed at a time
  std::unique_ptr<TaskGroup> group;      ///< its copies
};

struct JobDesk::State : std::enable_shared_from_this<JobDesk::State> {
  State(Parts parts, JobOptions options)
      : parts(std::move(parts)), options(options), tasks(this->parts.runtime.executor()),
        store(this->parts.runtime) {}

  using JobPointer = std::shared_ptr<RunningJob>;

  // job_desk.cpp
  void begin(JobPointer job);
  void listen(RunningJob& job);
  void pump(const JobPointer& job);
  std::vector<JobWorker> workers() const;
  std::vector<std::size_t> order_of(RunningJob& job, std::uint32_t piece, const std::vector<JobWorker>& workers);
  bool is_checked(const RunningJob& job, std::uint32_t piece) const;
  void piece_changed(RunningJob& job, std::uint32_t piece);
  void touch(RunningJob& job);
  Task<void> look_loop();
  Task<Result<void>> take_up();
  Task<Result<void>> take_up(StoredJob stored);
  Result<void> usable() const;
  Task<Result<void>> remove_leftovers();
  Task<Result<RpcReply>> handle_fetch(Caller caller, RpcRequest request);
  Task<Result<RpcReply>> handle_commit(Caller caller, RpcRequest request);
  bool stopping() const { return tasks.stopping(); }

  // job_copy.cpp
  Task<void> run_copy(JobPointer job, CopyAssignment what);
  Task<Result<void>> copy_story(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy);
  Result<std::optional<wire::TranscodeWork>> transcoding(const RunningJob& job, std::uint32_t piece) const;
  Result<std::uint64_t> fuel_max(const RunningJob& job, std::uint32_t piece) const;
  Result<void> check_limits(const RunningJob& job, std::uint32_t piece, const WorkResult& result) const;
  Task<Result<wire::WorkOfferReply>> offer(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy);
  Task<Result<wire::WorkOfferReply>> ask(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy, std::optional<std::uint64_t> guess);
  bool needs_lease(const ServerId& worker) const;
  void receipt(const RunningJob& job, std::uint32_t piece, const ServerId& worker, std::uint64_t fuel, std::optional<double> seconds);
  void ask_absent(const RunningJob& job);
  Task<Result<void>> wait_commit(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy);
  Task<Result<WorkResult>> reveal(RunningJob& job, CopyAssignment what, RunningJob::Copy& copy, std::string& log);
  Task<Result<void>> fetch_output(RunningJob& job, CopyAssignment what, const WorkResult& result);
  Task<Result<void>> know_input(RunningJob& job, std::uint32_t piece);
  Task<Result<Buffer>> read_input(std::string path, std::uint64_t offset, std::size_t length);
  Task<Result<Buffer>> read_local(std::string path, std::uint64_t offset, std::size_t length);
  Task<void> release(JobId job, std::vector<std::uint32_t> pieces, ServerId worker);
  double transfer_seconds(const ServerId& worker, std::uint64_t bytes) const;
  double latency_seconds(const ServerId& worker) const;
  std::optional<std::uint64_t> fuel_guess(const RunningJob& job, std::uint32_t piece) const;

  // job_end.cpp
  Task<void> end(JobPointer job);
  Task<Result<void>> write_outputs(RunningJob& job);
  Task<Result<void>> write_output(const std::string& path, std::uint64_t bytes, const std::string& from);
  Task<void> stop_copies(RunningJob& job);
  Task<void> close(JobPointer job, JobState state, std::string trouble);
  JobReport report_of(const RunningJob& job) const;
  std::optional<Forecast> forecast_of(const RunningJob& job) const;

  // job_workshop.cpp
  Task<void> prepare(JobPointer job);
  Task<Result<void>> fetch_source(RunningJob& job);
  Task<Result<void>> split_source(const JobPointer& job);
  Task<void> join_outputs(JobPointer job);
  Task<Result<void>> make_whole(JobPointer job);
  Task<Result<void>> write_whole(RunningJob& job);

  Parts parts;
  JobOptions options;
  TaskGroup tasks;
  JobStore store;
  std::optional<Error> trouble;                ///< why there are no jobs here
  std::map<JobId, JobPointer> running;
  WorkerTrust trust;
  SpeedBook speeds;
  struct Away {
    TimePoint until{};
    std::string why;
  };
  std::map<ServerId, Away> away;               ///< who takes nothing now
  WorkerQueues queues;
};

inline std::string job_folder(const JobId& job) { return "jobs/" + job.hex(); }
inline std::string output_file(const JobId& job, const WorkResult& result) {
  return job_folder(job) + "/out/" + result.output.hex();
}

}  // namespace spatter
