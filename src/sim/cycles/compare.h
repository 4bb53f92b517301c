// What a run comes to: the ledger against the model, and whether anybody gave more than he promised.
#pragma once

#include "cycles/ledger.h"
#include "ledger_model.h"
#include "scenario.h"

namespace spatter::sim::cycles {

/// Every number of every person and month; sums go into the figures.
void compare_with_model(const spatter::cycles::Ledger& ledger, const LedgerModel& model, const std::vector<PersonId>& persons,
                        std::uint64_t months, CyclesFigures& figures);
/// Over no window of epochs was more of a server's promise taken than promised in it; nor was more asked
/// for and accepted in it than that and the guard.
void check_windows(const LedgerModel& model, const spatter::cycles::LedgerRules& rules, CyclesFigures& figures);

}  // namespace spatter::sim::cycles
