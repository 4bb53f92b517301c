// One run of the simulator: a workload, the faults beside it, and the checks after it.
//
// Workloads: `mix` (puts, gets, renames, removals by several clients on every server), `loss` (the
// same, then two thirds of the others die for good and everything must still be read from the
// network), `grow` (the network grows from one server to all while files are written, and then
// suffers the same loss), `trust` (newcomers become trusted persons; see trust_play.h), `work` (jobs; see
// work_play.h).
#pragma once

#include "faults.h"

namespace spatter::sim {

enum class Workload { mix, loss, grow, trust, work };
Result<Workload> parse_workload(std::string_view name);
std::string_view to_text(Workload workload);

struct RunOptions {
  Workload workload = Workload::mix;
  unsigned servers = 7;
  std::uint64_t seed = 1;
  std::set<Fault> faults;
  unsigned operations = 30;   ///< of each client; two clients a server
  std::function<void(std::string_view line)> print;  ///< every event, as it happens
};

struct RunReport {
  std::vector<std::string> problems;
  std::vector<std::string> last_events;  ///< filled when there are problems
  std::uint64_t operations = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t files = 0;
  std::uint64_t jobs = 0;           ///< given out; all of them ended well, or there are problems
  std::uint64_t trust_records = 0;  ///< clips announced and judged
  std::uint64_t faults = 0;
  std::uint64_t crashes = 0;
  std::uint64_t events = 0;
  std::uint64_t record_hash = 0;
  double virtual_seconds = 0;
};

RunReport run(const RunOptions& options);

}  // namespace spatter::sim
