// The subcommand `cycles` of spatter-sim.
#pragma once

#include <CLI/CLI.hpp>

namespace spatter::sim::cycles {

/// Adds the subcommand; `run_cycles_command` is to be called when it was parsed.
CLI::App* add_cycles_command(CLI::App& app);
/// 0 when the ledger equals the model for every seed and nobody gave more than he promised.
int run_cycles_command();

}  // namespace spatter::sim::cycles
