#include "command.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "scenario.h"

namespace spatter::sim::cycles {
namespace {

struct Arguments {
  CyclesScenario scenario;
  std::uint64_t seeds = 1;
  bool json = false;
};

Arguments& arguments() {
  static Arguments instance;
  return instance;
}

std::string replay_command(const CyclesScenario& scenario) {
  return fmt::format("spatter-sim cycles --servers {} --months {} --seed {} --month-epochs {} --asks-per-epoch {} --dishonest-refusals {} "
                     "--failures {} --denials {} --lying-witnesses {} --lying-clocks {} --deaths-per-month {}",
                     scenario.servers, scenario.months, scenario.seed, scenario.month_epochs, scenario.asks_per_epoch,
                     scenario.dishonest_refusals, scenario.failures, scenario.denials, scenario.lying_witnesses, scenario.lying_clocks,
                     scenario.deaths_per_month);
}

nlohmann::ordered_json to_json(const CyclesScenario& scenario, const CyclesFigures& figures, double seconds) {
  return {
      {"servers", scenario.servers},
      {"persons", figures.persons},
      {"months", scenario.months},
      {"seed", scenario.seed},
      {"ok", figures.problems.empty()},
      {"problems", figures.problems},
      {"person_months_equal_to_the_model", figures.problems.empty() ? figures.months_compared : 0},
      {"leases", figures.leases},
      {"best_effort", figures.best_effort},
      {"bursts", figures.bursts},
      {"accepted", figures.accepted},
      {"not_entitled", figures.not_entitled},
      {"time_taken", figures.time_taken},
      {"clocks_differ", figures.clocks_differ},
      {"dishonest_refusals", figures.dishonest_refusals},
      {"silent", figures.silent},
      {"denials", figures.denials},
      {"false_accusations", figures.false_accusations},
      {"verdicts", figures.verdicts},
      {"verdicts_of_not_drawn", figures.not_drawn},
      {"misdated", figures.misdated},
      {"replays", figures.replays},
      {"doubled_receipts", figures.doubled},
      {"forks", figures.forks},
      {"late_entries", figures.late},
      {"deaths", figures.deaths},
      {"over_month_ends", figures.over_month_ends},
      {"judged_otherwise", figures.judged_otherwise},
      {"entries", figures.entries},
      {"fuel_promised", figures.promised},
      {"fuel_delivered", figures.delivered},
      {"fuel_owed", figures.owed},
      {"fuel_repaid", figures.repaid},
      {"fuel_docked", figures.docked},
      {"seconds", std::round(seconds * 10) / 10},
      {"replay", replay_command(scenario)},
  };
}

}  // namespace

CLI::App* add_cycles_command(CLI::App& app) {
  Arguments& given = arguments();
  CyclesScenario& scenario = given.scenario;
  CLI::App* command = app.add_subcommand("cycles", "Months of spare cycles: the ledger beside a model of it");
  const auto share = CLI::Range(0.0, 1.0);
  command->add_option("--servers", scenario.servers, "How many")->check(CLI::Range(8, 10'000));
  command->add_option("--months", scenario.months, "Of virtual time")->check(CLI::Range(1, 120));
  command->add_option("--seed", scenario.seed, "The (first) seed; everything follows from it");
  command->add_option("--seeds", given.seeds, "Run so many seeds, counting up")->check(CLI::Range(1, 1'000'000));
  command->add_option("--month-epochs", scenario.month_epochs, "Hours that a month has")->check(CLI::Range(24, 10'000));
  command->add_option("--asks-per-epoch", scenario.asks_per_epoch, "Of all together, besides bursts")->check(CLI::Range(0.0, 10'000.0));
  command->add_option("--dishonest-refusals", scenario.dishonest_refusals, "Share of what a server should do")->check(share);
  command->add_option("--failures", scenario.failures, "Share of what was accepted and comes not, or late")->check(share);
  command->add_option("--denials", scenario.denials, "Share of deliveries that are denied")->check(share);
  command->add_option("--lying-witnesses", scenario.lying_witnesses, "Share of persons")->check(share);
  command->add_option("--lying-clocks", scenario.lying_clocks, "Share of servers")->check(share);
  command->add_option("--deaths-per-month", scenario.deaths_per_month, "Share of servers")->check(share);
  command->add_flag("--json", given.json, "One JSON object for each seed");
  return command;
}

int run_cycles_command() {
  const Arguments& given = arguments();
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < given.seeds; ++i) {
    CyclesScenario scenario = given.scenario;
    scenario.seed += i;
    // Said first on a failed assertion, which ends the process.
    fmt::print(stderr, "running: {}\n", replay_command(scenario));
    const auto began = std::chrono::steady_clock::now();
    const CyclesFigures figures = run_cycles(scenario);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    failed += !figures.problems.empty();
    const auto json = to_json(scenario, figures, took.count());
    if (given.json) {
      fmt::print("{}\n", json.dump());
    } else {
      for (const auto& [name, value] : json.items()) fmt::print("{:<34} {}\n", name, value.is_string() ? value.get<std::string>() : value.dump());
    }
    std::fflush(stdout);
  }
  if (given.seeds > 1) fmt::print(stderr, "{} of {} seeds failed\n", failed, given.seeds);
  return failed == 0 ? 0 : 1;
}

}  // namespace spatter::sim::cycles
