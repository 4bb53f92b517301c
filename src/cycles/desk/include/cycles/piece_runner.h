// Computes one piece: in a sandbox under the machine's share in a real server, in virtual time in the simulator.
#pragma once

#include <optional>
#include <string>

#include "base/runtime.h"
#include "cycles/job.h"
#include "wire/proto/jobs.pb.h"

namespace spatter {

/// Where the piece's bytes are, as paths on the Runtime's disk.
struct PieceFiles {
  std::string module;
  std::vector<std::string> inputs;  ///< in the order of the work's
  std::string output;               ///< to be made; there already: replaced
};

struct PieceDone {
  WorkEnd end = WorkEnd::exited;
  std::int32_t exit_code = 0;
  std::uint64_t fuel = 0;
  std::string log;           ///< standard error; cut at piece_log_bytes_max
  double processor_s = 0;    ///< for the own records; nobody else is told
};
inline constexpr std::size_t piece_log_bytes_max = 64 * 1024;

class PieceRunner {
 public:
  virtual ~PieceRunner() = default;
  /// Whether it knows how; the error says what it does not.
  virtual Result<void> can_run(const wire::WorkOrder& order) const = 0;
  /// Cancelled (asio's cancellation): nothing of it runs any more when it has ended. Errors are of this
  /// machine or of an order that cannot be done, never of the computation, whose end is a result.
  virtual Task<Result<PieceDone>> run(wire::WorkOrder order, PieceFiles files) = 0;
};

}  // namespace spatter
