// The subcommand `directory` of spatter-sim.
#pragma once

#include <CLI/CLI.hpp>

namespace spatter::sim::directory {

/// Adds the subcommand; `run_directory_command` is to be called when it was parsed.
CLI::App* add_directory_command(CLI::App& app);
int run_directory_command();

}  // namespace spatter::sim::directory
