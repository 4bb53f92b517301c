#include "command.h"

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "scenario.h"

namespace spatter::sim::jobs {
namespace {

struct Arguments {
  Scenario scenario;
  bool json = false;
};

Arguments& arguments() {
  static Arguments instance;
  return instance;
}

}  // namespace

CLI::App* add_jobs_command(CLI::App& app) {
  Arguments& given = arguments();
  Scenario& scenario = given.scenario;
  CLI::App* command = app.add_subcommand("jobs", "Jobs in pieces at workers of whom some cheat");
  const auto share = CLI::Range(0.0, 1.0);
  command->add_option("--servers", scenario.servers, "How many")->check(CLI::Range(2, 100'000));
  command->add_option("--pieces", scenario.pieces, "In all")->check(CLI::Range(1, 100'000'000));
  command->add_option("--jobs", scenario.jobs, "One after another, the pieces divided among them")->check(CLI::Range(1, 100'000));
  command->add_option("--cheats", scenario.cheats, "Share of the persons that cheat")->check(share);
  command->add_option("--cheat-rate", scenario.cheat_rate, "Share of a cheat's results that are wrong")->check(share);
  command->add_option("--deaths", scenario.deaths, "Chance that a worker goes away in mid-piece")->check(share);
  command->add_option("--seed", scenario.seed, "Everything follows from it");
  command->add_flag("!--impatient", scenario.patient, "Cheats don't wait until they are trusted");
  command->add_flag("--collude", scenario.collude, "All cheats agree on their wrong results, and know of one another");
  command->add_flag("--trusted", scenario.trusted, "Everybody honest is trusted from the start");
  command->add_flag("--json", given.json, "One JSON object");
  return command;
}

int run_jobs_command() {
  const Arguments& given = arguments();
  const auto began = std::chrono::steady_clock::now();
  const Outcome outcome = run(given.scenario);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (given.json) {
    const nlohmann::ordered_json line = {
        {"servers", given.scenario.servers}, {"pieces", outcome.pieces}, {"seed", given.scenario.seed},
        {"cheats", given.scenario.cheats}, {"cheat_rate", given.scenario.cheat_rate},
        {"collude", given.scenario.collude}, {"wrong_computed", outcome.wrong_computed},
        {"wrong_accepted", outcome.wrong_accepted}, {"hopeless", outcome.hopeless},
        {"copies", outcome.copies}, {"overhead", outcome.overhead()}, {"cheats_caught", outcome.caught},
        {"honest_caught", outcome.honest_caught}, {"virtual_seconds", outcome.seconds}, {"seconds", took.count()}};
    fmt::print("{}\n", line.dump());
  } else {
    fmt::print("seed {}: {} pieces, {} results computed ({:.1f} % more), {} of them wrong, {} wrong ones accepted, {} "
               "pieces hopeless, cheats caught {} times, honest ones {} times, {:.1f} s\n",
               given.scenario.seed, outcome.pieces, outcome.copies, 100 * outcome.overhead(), outcome.wrong_computed,
               outcome.wrong_accepted, outcome.hopeless, outcome.caught, outcome.honest_caught, took.count());
  }
  return 0;
}

}  // namespace spatter::sim::jobs
