// The WorkRunner of a real machine: modules translated and run in the sandbox, stretches of video coded by its ffmpeg
// there, held to the share that was promised, silent when a person is at the machine and the settings say so.
//
// Each piece has a thread of its own, which waits for its process.
#pragma once

#include <memory>

#include "cycles/governor.h"
#include "node/work_runner.h"

namespace spatter::doors {

class WorkHost final : public WorkRunner {
 public:
  /// `drive`: the folder in which the Runtime's disk is rooted; translated programs are kept there. `runtime`
  /// outlives the host. Destroying it kills and awaits what still runs.
  WorkHost(Runtime& runtime, std::string drive);
  ~WorkHost() override;

  Result<void> can_run(const wire::WorkOrder& order) const override;
  Task<Result<PieceDone>> run(wire::WorkOrder order, PieceFiles files) override;
  void set_policy(const CyclesSettings& settings) override;
  unsigned parallel(std::uint32_t share_ppm) const override;
  Result<void> may_run() const override;

  JobWorkshop* workshop() override;
  std::optional<MachineReport> machine() const override;

  unsigned cores() const override;
  void hold(const std::string& reason) override;
  void let_go() override;
  void own_work(Duration cpu_time) override;
  Duration thread_time() const override;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace spatter::doors
