// The subcommand `jobs` of spatter-sim.
#pragma once

#include <CLI/CLI.hpp>

namespace spatter::sim::jobs {

/// Adds the subcommand; `run_jobs_command` is to be called when it was parsed.
CLI::App* add_jobs_command(CLI::App& app);
int run_jobs_command();

}  // namespace spatter::sim::jobs
