// Months of spare cycles in small: whatever the actors do, the ledger is the model, to the unit. And
// that the comparison can fail.
#include <gtest/gtest.h>

#include "compare.h"
#include "scenario.h"

namespace spatter::sim::cycles {
namespace {

CyclesScenario small(std::uint64_t seed) {
  CyclesScenario scenario;
  scenario.servers = 24;
  scenario.months = 4;
  scenario.month_epochs = 60;
  scenario.asks_per_epoch = 8;
  scenario.seed = seed;
  scenario.dishonest_refusals = 0.1;
  scenario.lying_clocks = 0.15;
  scenario.deaths_per_month = 0.05;
  return scenario;
}

TEST(CyclesRun, TheLedgerIsTheModelAndNobodyGaveMoreThanPromised) {
  std::map<std::string, std::uint64_t> sums;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto figures = run_cycles(small(seed));
    EXPECT_EQ(figures.problems, std::vector<std::string>())
        << "replay: spatter-sim cycles --servers 24 --months 4 --month-epochs 60 --asks-per-epoch 8 --dishonest-refusals 0.1 --lying-clocks 0.15"
           " --seed " << seed;
    sums["accepted"] += figures.accepted;
    sums["not entitled"] += figures.not_entitled;
    sums["time taken"] += figures.time_taken;
    sums["clocks differ"] += figures.clocks_differ;
    sums["refused dishonestly"] += figures.dishonest_refusals;
    sums["silent"] += figures.silent;
    sums["denied"] += figures.denials;
    sums["verdicts"] += figures.verdicts;
    sums["verdicts of others"] += figures.not_drawn;
    sums["misdated"] += figures.misdated;
    sums["replays"] += figures.replays;
    sums["doubled"] += figures.doubled;
    sums["forks"] += figures.forks;
    sums["late"] += figures.late;
    sums["over a month's end"] += figures.over_month_ends;
    sums["delivered"] += figures.delivered;
    sums["owed"] += figures.owed;
    sums["repaid"] += figures.repaid;
    sums["docked"] += figures.docked;
  }
  for (const auto& [what, count] : sums) EXPECT_GT(count, 0u) << what << " did not happen";
}

TEST(CyclesRun, TheSameSeedGivesTheSameRun) {
  auto scenario = small(3);
  scenario.months = 1;
  const auto once = run_cycles(scenario), again = run_cycles(scenario);
  scenario.seed = 4;
  const auto other = run_cycles(scenario);
  EXPECT_EQ(once.entries, again.entries);
  EXPECT_EQ(once.delivered, again.delivered);
  EXPECT_EQ(once.owed, again.owed);
  EXPECT_NE(once.delivered, other.delivered);
}

TEST(CyclesRun, WhereNobodyRefusesNothingIsOwed) {
  auto scenario = small(5);
  scenario.months = 2;
  scenario.dishonest_refusals = scenario.failures = scenario.denials = scenario.false_accusations = 0;
  scenario.lying_witnesses = scenario.lying_clocks = scenario.deaths_per_month = 0;
  const auto honest = run_cycles(scenario);
  EXPECT_EQ(honest.problems, std::vector<std::string>());
  EXPECT_GT(honest.delivered, 0u);
  EXPECT_EQ(honest.owed, 0u);
  EXPECT_EQ(honest.docked, 0u);
  scenario.dishonest_refusals = 0.1;
  EXPECT_GT(run_cycles(scenario).owed, 0u);
}

TEST(CyclesRun, AModelThatWasToldSomethingElseDiffers) {
  namespace ledger_room = spatter::cycles;
  const ledger_room::LedgerRules rules{.founded_ms = 0, .month_epochs = 24};
  ledger_room::Ledger ledger({}, rules);
  ledger.close_until(60);
  LedgerModel model(rules, {0, 1}, 2);
  model.pledge(0, 5, 1, 500'000, 0);
  const auto lease = model.lease(1, 10, 1, 0, 3'600'000, true);
  model.answer(lease, 10, 2, true);
  model.delivery(lease, rules.start_of(4), 3'600'000);
  model.receipt(lease, rules.start_of(4) + 5, 2, 3'600'000, 1000);
  model.run(60);
  EXPECT_GT(model.month(0, 0).promised, 0u);
  CyclesFigures figures;
  compare_with_model(ledger, model, {PersonId{}, PersonId{{1}}}, 1, figures);
  EXPECT_FALSE(figures.problems.empty());
}

}  // namespace
}  // namespace spatter::sim::cycles
