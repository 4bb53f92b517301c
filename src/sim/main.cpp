// spatter-sim: runs the whole node code for many servers in virtual time, with faults, and checks
// that nothing acknowledged is lost; or the directory alone for very many, under attack; or stripes
// and their repair alone, for years; or months of spare cycles. A run is told by its seed.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cycles/command.h"
#include "directory/command.h"
#include "jobs/command.h"
#include "mend/command.h"
#include "run.h"

namespace {

using spatter::sim::RunOptions;
using spatter::sim::RunReport;

std::string replay_command(const RunOptions& options) {
  return fmt::format("spatter-sim run {} --servers {} --seed {} --faults {} --operations {}",
                     to_text(options.workload), options.servers, options.seed,
                     to_text(options.faults), options.operations);
}

void print_text(const RunOptions& options, const RunReport& report, double seconds) {
  fmt::print("seed {:<6} {}: {} operations ({} acknowledged), {} files, {} faults, {} crashes, "
             "{:.0f} s of virtual time in {:.1f} s, record {:016x}\n",
             options.seed, report.problems.empty() ? "ok" : "FAILED", report.operations,
             report.acknowledged, report.files, report.faults, report.crashes,
             report.virtual_seconds, seconds, report.record_hash);
  if (report.problems.empty()) return;
  constexpr std::size_t events_shown = 40;
  const std::size_t count = report.last_events.size();
  for (std::size_t i = count - std::min(count, events_shown); i < count; ++i)
    fmt::print("    {}\n", report.last_events[i]);
  for (const std::string& problem : report.problems) fmt::print("  {}\n", problem);
  fmt::print("  replay: {}\n", replay_command(options));
}

void print_json(const RunOptions& options, const RunReport& report, double seconds) {
  const nlohmann::json line = {
      {"workload", to_text(options.workload)},
      {"servers", options.servers},
      {"seed", options.seed},
      {"faults", to_text(options.faults)},
      {"ok", report.problems.empty()},
      {"problems", report.problems},
      {"operations", report.operations},
      {"acknowledged", report.acknowledged},
      {"files", report.files},
      {"faults_struck", report.faults},
      {"crashes", report.crashes},
      {"virtual_seconds", report.virtual_seconds},
      {"seconds", seconds},
      {"record", fmt::format("{:016x}", report.record_hash)},
      {"replay", replay_command(options)},
  };
  fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs whole Spatter servers in virtual time, with faults, replayable by seed.");
  app.require_subcommand(1);
  CLI::App* run = app.add_subcommand("run", "Run a workload");
  std::string workload, faults = "all";
  std::uint64_t first_seed = 1, seeds = 1;
  RunOptions options;
  bool json = false, verbose = false, twice = false;
  run->add_option("workload", workload, "mix, loss, grow, trust or work")->required();
  run->add_option("--servers", options.servers, "How many")->check(CLI::Range(1, 64));
  run->add_option("--seed", first_seed, "The (first) seed");
  run->add_option("--seeds", seeds, "Run so many seeds, counting up");
  run->add_option("--faults", faults,
                  "all, none, or a list of cuts, delay, partitions, stalls, crashes, kills, full, "
                  "rot, clock, garbage");
  run->add_option("--operations", options.operations, "Of each client; each server has two");
  run->add_flag("--json", json, "One JSON object a line");
  run->add_flag("--verbose", verbose, "Print every event");
  run->add_flag("--twice", twice, "Run every seed twice and compare the records");
  const CLI::App* directory = spatter::sim::directory::add_directory_command(app);
  const CLI::App* mend = spatter::sim::mend::add_mend_command(app);
  const CLI::App* cycles = spatter::sim::cycles::add_cycles_command(app);
  const CLI::App* jobs = spatter::sim::jobs::add_jobs_command(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (*directory) return spatter::sim::directory::run_directory_command();
  if (*mend) return spatter::sim::mend::run_mend_command();
  if (*cycles) return spatter::sim::cycles::run_cycles_command();
  if (*jobs) return spatter::sim::jobs::run_jobs_command();

  const auto parsed_workload = spatter::sim::parse_workload(workload);
  const auto parsed_faults = spatter::sim::parse_faults(faults);
  if (!parsed_workload || !parsed_faults) {
    const auto& error = parsed_workload ? parsed_faults.error() : parsed_workload.error();
    fmt::print(stderr, "spatter-sim: {}\n", error.message);
    return 2;
  }
  options.workload = *parsed_workload;
  options.faults = *parsed_faults;
  if (verbose) options.print = [](std::string_view line) { fmt::print("{}\n", line); };

  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < seeds; ++i) {
    options.seed = first_seed + i;
    // Said first on a failed assertion, which ends the process.
    fmt::print(stderr, "running: {}\n", replay_command(options));
    const auto began = std::chrono::steady_clock::now();
    RunReport report = spatter::sim::run(options);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (twice && spatter::sim::run(options).record_hash != report.record_hash)
      report.problems.push_back("a second run of the same seed went another way");
    if (!report.problems.empty()) ++failed;
    (json ? print_json : print_text)(options, report, took.count());
    std::fflush(stdout);
  }
  if (!json && seeds > 1) fmt::print("{} of {} seeds failed\n", failed, seeds);
  return failed == 0 ? 0 : 1;
}
