// The workload `work`: everybody promises cycles and gives out jobs, while faults strike and one machine
// computes wrongly. Afterwards every job must have ended, and whatever a job says is done must be right.
#pragma once

#include "checks.h"
#include "fleet.h"

namespace spatter::sim {

/// Splits files as a transcoder does videos: into stretches of this disk, each made in two sizes. Here a hash is what
/// comes of a stretch, and all hashes in a row what comes of the file.
class SimWorkshop final : public JobWorkshop {
 public:
  explicit SimWorkshop(Runtime& runtime) : runtime_(runtime) {}
  Result<void> can_make(const std::string& target) const override;
  Task<Result<Split>> split(std::string target, std::string name, std::string folder) override;
  Task<Result<void>> beside(std::string folder, std::string plan) override;
  Task<Result<std::vector<Made>>> join(std::string folder, std::string plan, std::vector<Output> outputs) override;

 private:
  Task<void> take_a_while();
  Runtime& runtime_;
};

/// Computes in virtual time: a piece's output is a hash of all that it may depend on.
class SimRunner final : public WorkRunner {
 public:
  SimRunner(Runtime& runtime, double fuel_per_s, bool wrong)
      : runtime_(runtime), workshop_(runtime), fuel_per_s_(fuel_per_s), wrong_(wrong) {}
  Result<void> can_run(const wire::WorkOrder& order) const override;
  Task<Result<PieceDone>> run(wire::WorkOrder order, PieceFiles files) override;
  void set_policy(const CyclesSettings&) override {}
  unsigned parallel(std::uint32_t) const override { return 1; }
  JobWorkshop* workshop() override { return &workshop_; }

 private:
  Runtime& runtime_;
  SimWorkshop workshop_;
  double fuel_per_s_;
  bool wrong_;
};

/// A network whose months of cycles are half an hour.
NewNetwork quick_months();

class WorkPlay {
 public:
  WorkPlay(World& world, Fleet& fleet, Problems& problems) : world_(world), fleet_(fleet), problems_(problems) {}

  /// Promises, writes inputs and gives out so many jobs, one after the other. Not for the machine that computes
  /// wrongly: its person would believe it.
  Task<void> member(unsigned index, unsigned jobs);
  /// Every job must end within that time, and what is done be right.
  Task<void> check(Duration within);
  /// When all is settled everybody must have come to the same accounts, and nobody be taken for a cheat: the machine
  /// that computes wrongly tells everybody the same.
  Task<void> check_ledgers();
  std::uint64_t given() const { return jobs_.size(); }
  std::uint64_t done() const { return done_; }

 private:
  struct Given {
    unsigned index = 0;
    JobId id;
    std::string output;
    std::vector<std::pair<std::string, std::string>> expected;  ///< output file and what it must hold
  };
  Task<std::optional<Given>> give(unsigned index, unsigned number);
  Task<bool> write_pieces(Server& server, unsigned number, JobSpec& spec, Given& job);
  Task<bool> write_whole(Server& server, unsigned number, JobSpec& spec, Given& job);
  Task<bool> judge(Given& job);

  World& world_;
  Fleet& fleet_;
  Problems& problems_;
  std::vector<Given> jobs_;
  std::uint64_t done_ = 0;
};

}  // namespace spatter::sim
