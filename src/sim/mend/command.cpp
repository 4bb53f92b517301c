#include "command.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "scenario.h"

namespace spatter::sim::mend {
namespace {

struct Arguments {
  MendScenario scenario;
  std::string scheme = "spatter";
  unsigned repair_at = 0;
  double grace_hours = 24;
  bool gather = false, no_gather = false;
  bool no_newcomers = false, json = false;
};

Arguments& arguments() {
  static Arguments instance;
  return instance;
}

nlohmann::ordered_json to_json(const MendScenario& scenario, const MendFigures& figures, double seconds) {
  const auto round = [](double value, double unit) { return std::round(value / unit) * unit; };
  return {
      {"scheme", scenario.scheme.name},
      {"k", scenario.scheme.k},
      {"n", scenario.scheme.n},
      {"repair_at", scenario.scheme.repair_at},
      {"servers", scenario.servers},
      {"years", scenario.years},
      {"seed", scenario.seed},
      {"stripes", scenario.stripes},
      {"mass_failure", scenario.mass_failure},
      {"gather", scenario.gather},
      {"server_years", std::round(figures.server_years)},
      {"stripes_lost", figures.stripes_lost},
      {"stripes_lost_in_mass_failure", figures.stripes_lost_in_mass_failure},
      {"repair_bytes_per_stored_gb_month", std::round(figures.repair_bytes_per_stored_gb_month)},
      {"repair_only_hours", figures.repair_only_hours},
      {"repair_only_times", figures.repair_only_times},
      {"read_availability", round(figures.read_availability, 1e-6)},
      {"urgent_stripe_hours", std::round(figures.urgent_stripe_hours)},
      {"shards_lost", figures.shards_lost},
      {"shards_missed", figures.shards_missed},
      {"taken_back", figures.taken_back},
      {"rebuilds", figures.rebuilds},
      {"shards_rebuilt", figures.shards_rebuilt},
      {"held_by_always", round(figures.held_by[0], 1e-3)},
      {"held_by_evenings", round(figures.held_by[1], 1e-3)},
      {"held_by_erratic", round(figures.held_by[2], 1e-3)},
      {"departures", figures.departures},
      {"events", figures.events},
      {"seconds", round(seconds, 0.1)},
  };
}

}  // namespace

CLI::App* add_mend_command(CLI::App& app) {
  Arguments& given = arguments();
  MendScenario& scenario = given.scenario;
  MachineOptions& machines = scenario.machines;
  CLI::App* command = app.add_subcommand("mend", "Durability and repair over years, stripes alone");
  const auto share = CLI::Range(0.0, 1.0);
  command->add_option("--servers", scenario.servers, "How many")->check(CLI::Range(3, 100'000));
  command->add_option("--years", scenario.years, "Of virtual time")->check(CLI::Range(0.01, 1000.0));
  command->add_option("--seed", scenario.seed, "Everything follows from it");
  command->add_option("--scheme", given.scheme, "spatter, copies, rs-10-30 or rs-29-80");
  command->add_option("--stripes", scenario.stripes, "Looked at")->check(CLI::Range(1, 10'000'000));
  command->add_option("--mass-failure", scenario.mass_failure, "Share of servers that go within an hour, half way; 0: none")
      ->check(CLI::Range(0.0, 0.99));
  command->add_option("--repair-at", given.repair_at, "Rebuild when so many shards stand (0: as the scheme has it)");
  command->add_option("--grace-hours", given.grace_hours, "Away for longer counts as lost")->check(CLI::Range(0.1, 8766.0));
  command->add_option("--dial", scenario.dial, "Share of the upload for what is not urgent")->check(CLI::Range(0.001, 1.0));
  command->add_option("--fill", scenario.fill, "Share of all room that is used")->check(CLI::Range(0.01, 0.99));
  command->add_option("--stored-gb-per-server", scenario.stored_gb_per_server, "User data")->check(CLI::Range(0.001, 1e6));
  auto* gather = command->add_flag("--gather", given.gather,
                                   "Rebuilds fetch each shard when its holder is on, not all at once: spatter's way");
  command->add_flag("--no-gather", given.no_gather, "All at once, as the other schemes do")->excludes(gather);
  command->add_flag("--no-newcomers", given.no_newcomers, "Nobody comes for those that leave");
  command->add_option("--always", machines.always_share, "Share of servers that are always on")->check(share);
  command->add_option("--evenings", machines.evenings_share, "Share of servers on in the evening; the rest is erratic")
      ->check(share);
  command->add_option("--leave-per-month", machines.leave_per_month, "Share that leaves for good")->check(CLI::Range(0.0, 0.99));
  command->add_option("--disk-failures-per-year", machines.disk_failures_per_year, "Share that loses all it holds")
      ->check(CLI::Range(0.0, 0.99));
  command->add_option("--rot-per-year", scenario.rot_per_year, "Share of shards")->check(CLI::Range(0.0, 0.99));
  command->add_option("--erratic-on-hours", machines.erratic_on_hours, "Mean")->check(CLI::Range(0.1, 8766.0));
  command->add_option("--erratic-off-hours", machines.erratic_off_hours, "Mean")->check(CLI::Range(0.1, 8766.0));
  command->add_option("--skipped-evenings", machines.skipped_evenings, "Share")->check(CLI::Range(0.0, 0.99));
  command->add_option("--zones", machines.zones, "Time zones the evenings are spread over")->check(CLI::Range(1, 24));
  command->add_option("--always-mbit", machines.always_mbit, "Upload of those always on")->check(CLI::Range(0.01, 1e6));
  command->add_option("--home-mbit", machines.home_mbit, "Upload of the others")->check(CLI::Range(0.01, 1e6));
  command->add_flag("--json", given.json, "One JSON object");
  return command;
}

namespace {

Result<void> complete(Arguments& given) {
  MendScenario& scenario = given.scenario;
  TRY(scenario.scheme, parse_scheme(given.scheme));
  Scheme& scheme = scenario.scheme;
  if (given.repair_at != 0) {
    if (given.repair_at < scheme.k || given.repair_at >= scheme.n)
      return fail(Errc::invalid, "--repair-at {}: from {} to {} with {}", given.repair_at, scheme.k, scheme.n - 1, scheme.name);
    scheme.repair_at = given.repair_at;
  }
  if (scenario.servers < scheme.n)
    return fail(Errc::invalid, "--servers {}: {} needs {} at least, one for each shard", scenario.servers, scheme.name, scheme.n);
  if (scenario.machines.always_share + scenario.machines.evenings_share > 1)
    return fail(Errc::invalid, "--always {} and --evenings {} are more than all", scenario.machines.always_share,
                scenario.machines.evenings_share);
  scenario.gather = given.gather || (scheme.gathers && !given.no_gather);
  scenario.grace = static_cast<Seconds>(given.grace_hours * hour);
  scenario.newcomers = !given.no_newcomers;
  return {};
}

}  // namespace

int run_mend_command() {
  Arguments& given = arguments();
  if (const auto completed = complete(given); !completed) {
    fmt::print(stderr, "spatter-sim: {}\n", completed.error().message);
    return 2;
  }
  const auto began = std::chrono::steady_clock::now();
  const MendFigures figures = run_mend(given.scenario);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const auto json = to_json(given.scenario, figures, took.count());
  if (given.json) {
    fmt::print("{}\n", json.dump());
  } else {
    for (const auto& [name, value] : json.items()) fmt::print("{:<34} {}\n", name, value.dump());
  }
  return 0;
}

}  // namespace spatter::sim::mend
