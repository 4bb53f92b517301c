// Months of promising, asking and giving among persons of whom some cheat, by the real entries, decisions and
// ledger, beside a model that was only told what happened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spatter::sim::cycles {

struct CyclesScenario {
  std::uint32_t servers = 200;
  std::uint32_t months = 3;
  std::uint64_t seed = 1;
  std::uint64_t month_epochs = 720;
  double asks_per_epoch = 24;        ///< of all together, besides bursts
  double dishonest_refusals = 0.04;  ///< of what a server should do
  double failures = 0.02;            ///< of what was accepted comes not at all, and as much perhaps too late
  double denials = 0.03;             ///< of what was delivered, by any asker
  double false_accusations = 0.01;   ///< of what was delivered, likewise
  double lying_witnesses = 0.15;     ///< share of persons who say the opposite
  double lying_clocks = 0.05;        ///< share of servers whose clocks are off by up to four epochs, at times
  double deaths_per_month = 0.05;    ///< share of servers
};

struct CyclesFigures {
  std::uint64_t persons = 0, entries = 0, leases = 0, best_effort = 0, bursts = 0;
  std::uint64_t accepted = 0, not_entitled = 0, time_taken = 0, clocks_differ = 0;
  std::uint64_t dishonest_refusals = 0, silent = 0, denials = 0, false_accusations = 0, verdicts = 0, not_drawn = 0;
  std::uint64_t misdated = 0;        ///< entries that were not taken from their makers
  std::uint64_t replays = 0, doubled = 0, forks = 0, late = 0, deaths = 0, over_month_ends = 0;
  std::uint64_t judged_otherwise = 0;  ///< leases that their worker took as promised and the ledger did not
  std::uint64_t promised = 0, delivered = 0, owed = 0, repaid = 0, docked = 0;  ///< of all persons and months
  std::uint64_t months_compared = 0;
  std::vector<std::string> problems;   ///< where the ledger is not the model, or somebody gave too much
};

CyclesFigures run_cycles(const CyclesScenario& scenario);

}  // namespace spatter::sim::cycles
