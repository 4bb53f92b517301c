#include "command.h"

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "scenario.h"

namespace spatter::sim::directory {
namespace {

struct Arguments {
  DirectoryScenario scenario;
  std::string attack = "mix";
  bool json = false;
};

Arguments& arguments() {
  static Arguments instance;
  return instance;
}

nlohmann::ordered_json to_json(const DirectoryScenario& scenario, const DirectoryFigures& figures) {
  const auto round = [](double value) { return std::round(value * 1e4) / 1e4; };
  return {
      {"servers", scenario.servers},
      {"hostile", scenario.hostile},
      {"bad_persons", scenario.bad_persons},
      {"churn_per_hour", scenario.churn_per_hour},
      {"attack", arguments().attack},
      {"plain", scenario.plain},
      {"seed", scenario.seed},
      {"lookups", figures.lookups},
      {"success", round(figures.success)},
      {"stale", figures.stale},
      {"missed", figures.missed},
      {"hops_mean", round(figures.hops_mean)},
      {"hops_p50", figures.hops_p50},
      {"hops_p99", figures.hops_p99},
      {"queries_mean", round(figures.queries_mean)},
      {"queries_p50", figures.queries_p50},
      {"queries_p99", figures.queries_p99},
      {"rounds_mean", round(figures.rounds_mean)},
      {"bytes_per_server_s", round(figures.bytes_per_server_s)},
      {"upkeep_bytes_s", round(figures.upkeep_bytes_s)},
      {"republish_bytes_s", round(figures.republish_bytes_s)},
      {"bytes_per_lookup", std::round(figures.bytes_per_lookup)},
      {"memory_per_server", std::round(figures.memory_per_server)},
      {"memory_per_record", figures.memory_per_record},
      {"contacts_per_server", round(figures.contacts_per_server)},
      {"hostile_contacts", round(figures.hostile_contacts)},
      {"gone_contacts", round(figures.gone_contacts)},
      {"network_size_p5", std::round(figures.network_size_p5)},
      {"network_size_p50", std::round(figures.network_size_p50)},
      {"network_size_p95", std::round(figures.network_size_p95)},
      {"check_minutes_p50", round(figures.check_minutes_p50)},
      {"holders_mean", round(figures.holders_mean)},
      {"holders_least", figures.holders_least},
      {"attackers", figures.attackers},
      {"ground_places", figures.ground_places},
      {"ground_servers", figures.ground_servers},
      {"sybil_places_max", figures.sybil_places_max},
      {"questions", figures.questions},
  };
}

}  // namespace

CLI::App* add_directory_command(CLI::App& app) {
  Arguments& given = arguments();
  DirectoryScenario& scenario = given.scenario;
  CLI::App* command = app.add_subcommand("directory", "The directory alone, in a large network");
  command->add_option("--servers", scenario.servers, "Up at any time")->check(CLI::Range(4, 200'000));
  command->add_option("--hostile", scenario.hostile, "Share of the servers")->check(CLI::Range(0.0, 0.9));
  command->add_option("--bad-persons", scenario.bad_persons, "Share of the persons, who own the hostile servers")
      ->check(CLI::Range(0.0001, 0.9));
  command->add_option("--churn-per-hour", scenario.churn_per_hour, "Share of honest servers replaced")
      ->check(CLI::Range(0.0, 10.0));
  command->add_option("--lookups", scenario.lookups, "How many");
  command->add_option("--seed", scenario.seed, "Everything follows from it");
  command->add_flag("--plain", scenario.plain, "Kademlia without defences, for comparison");
  command->add_option("--attack", given.attack, "mix, drop, lie, collude or eclipse (of one record)");
  command->add_option("--attackers", scenario.attackers, "Servers that eclipse");
  command->add_option("--attacker-persons", scenario.attacker_persons, "Whose they are");
  command->add_flag("--grind", scenario.grind, "Attackers' persons choose the places that they can draw for each other");
  command->add_option("--sybils", scenario.sybils, "Servers of one person beside");
  command->add_flag("--json", given.json, "One JSON object");
  return command;
}

int run_directory_command() {
  Arguments& given = arguments();
  const auto attack = parse_attack(given.attack);
  if (!attack) {
    fmt::print(stderr, "spatter-sim: {}\n", attack.error().message);
    return 2;
  }
  given.scenario.attack = *attack;
  const auto began = std::chrono::steady_clock::now();
  const DirectoryFigures figures = run_directory(given.scenario);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const auto json = to_json(given.scenario, figures);
  if (given.json) {
    fmt::print("{}\n", json.dump());
  } else {
    for (const auto& [name, value] : json.items()) fmt::print("{:<22} {}\n", name, value.dump());
  }
  fmt::print(stderr, "{:.1f} s\n", took.count());
  return 0;
}

}  // namespace spatter::sim::directory
