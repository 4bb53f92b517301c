// The subcommand `mend` of spatter-sim.
#pragma once

#include <CLI/CLI.hpp>

namespace spatter::sim::mend {

/// Adds the subcommand; `run_mend_command` is to be called when it was parsed.
CLI::App* add_mend_command(CLI::App& app);
int run_mend_command();

}  // namespace spatter::sim::mend
