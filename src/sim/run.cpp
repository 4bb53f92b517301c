#include "run.h"

#include "checks.h"
#include "trust_play.h"
#include "work_play.h"

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;

constexpr unsigned clients_per_server = 2;
constexpr unsigned wrong_machine = 2;  // of workload work: computes wrongly
constexpr Duration run_limit = 48h;

FleetOptions fleet_options(const RunOptions& options) {
  FleetOptions fleet{.servers = options.servers};
  if (options.workload == Workload::trust) fleet.network = reviewed_network();
  if (options.workload == Workload::work) {
    fleet.network = quick_months();
    fleet.runner = [](Runtime& runtime, unsigned index) -> std::shared_ptr<WorkRunner> {
      constexpr double fuel_per_s = 500e6;
      return std::make_shared<SimRunner>(runtime, fuel_per_s * (1 + index % 3), index == wrong_machine);
    };
  }
  return fleet;
}

/// All that one run holds, in the order it must die in reverse.
struct Stage {
  explicit Stage(const RunOptions& options)
      : options(options),
        world(options.seed),
        network(world),
        fleet(world, network, fleet_options(options)),
        faults(world, network, fleet, problems, options.faults),
        trust(world, fleet, problems),
        jobs(world, fleet, problems),
        background(world.executor()) {}

  RunOptions options;
  World world;
  Network network;
  Problems problems;
  Fleet fleet;
  Faults faults;
  std::vector<std::unique_ptr<Client>> clients;
  TrustPlay trust;
  WorkPlay jobs;
  TaskGroup background;

  void add_clients(unsigned server) {
    ClientOptions client;
    client.on_safe = [this](unsigned index) { faults.acknowledged(index); };
    for (unsigned i = 0; i < clients_per_server; ++i)
      clients.push_back(std::make_unique<Client>(world, fleet, problems, server, i, client));
  }
};

Task<void> watch_budgets(Stage& stage) {
  for (;;) {
    co_await stage.world.sleep(3s);
    co_await check_budgets(stage.fleet, stage.problems);
  }
}

Task<bool> add_servers(Stage& stage, unsigned up_to) {
  while (stage.fleet.size() < up_to) {
    const auto added =
        stage.fleet.size() == 0 ? co_await stage.fleet.found() : co_await stage.fleet.join();
    if (!added) {
      stage.problems.add("setting up: {}", added.error().message);
      co_return false;
    }
    stage.add_clients(stage.fleet.size() - 1);
  }
  co_return true;
}

Task<void> work(Stage& stage, std::size_t first_client, unsigned operations) {
  TaskGroup workers(stage.world.executor());
  for (std::size_t i = first_client; i < stage.clients.size(); ++i)
    workers.spawn(stage.clients[i]->work(operations));
  co_await workers.drain();
}

Task<void> grow(Stage& stage) {
  // Each newcomer comes while those before it are writing.
  TaskGroup working(stage.world.executor());
  std::size_t first_new = 0;
  for (unsigned servers = 1; servers <= stage.options.servers; ++servers) {
    if (!co_await add_servers(stage, servers)) break;
    working.spawn(work(stage, first_new, stage.options.operations));
    first_new = stage.clients.size();
    co_await stage.world.sleep(Duration(stage.world.random().below(40'000'000'000)));
  }
  co_await working.drain();
}

Task<void> verify(Stage& stage, ReadFrom from) {
  for (const auto& client : stage.clients)
    if (stage.fleet.server(client->server()) != nullptr) co_await client->verify(from);
}

/// Two thirds of the others of one server die for good; the others' files are gone with them, but
/// its own must all be read from the network.
Task<void> lose_two_thirds(Stage& stage) {
  const auto survivor = static_cast<unsigned>(stage.world.random().below(stage.fleet.size()));
  std::vector<unsigned> others;
  for (unsigned index = 0; index < stage.fleet.size(); ++index)
    if (index != survivor) others.push_back(index);
  for (std::size_t deaths = others.size() * 2 / 3; deaths > 0; --deaths) {
    const std::size_t chosen = stage.world.random().below(others.size());
    stage.fleet.crash(others[chosen], true);
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  stage.world.note(fmt::format("m{} reads what it wrote, after the loss", survivor));
  for (const auto& client : stage.clients)
    if (client->server() == survivor) co_await client->verify(ReadFrom::network);
}

/// Reads find some of the rot only; all that one machine keeps may have rotted, which together with the
/// loss of two thirds of the others would be more than a stripe has to bear.
Task<void> mend_everything(Stage& stage) {
  for (unsigned index = 0; index < stage.fleet.size(); ++index)
    co_await stage.fleet.run_on(index, [&stage, index](Server& server) -> Task<void> {
      if (auto checked = co_await server.fsck(true, true); !checked)
        stage.problems.add("m{}: fsck: {}", index, checked.error().message);
    });
  co_await await_rest(stage.world, stage.fleet, stage.problems, 20min);
}

Task<void> play_trust(Stage& stage) {
  auto& fleet = stage.fleet;
  bool begun = false;
  while (fleet.size() < stage.options.servers) {
    const auto added = fleet.size() == 0 ? co_await fleet.found() : co_await fleet.join();
    if (!added) {
      stage.problems.add("setting up: {}", added.error().message);
      co_return;
    }
    stage.background.spawn(stage.trust.member(fleet.size() - 1));
    if (!std::exchange(begun, true)) stage.faults.begin();
    co_await stage.world.sleep(Duration(stage.world.random().below(600'000'000'000)));
  }
  co_await stage.world.sleep(30min);
  stage.world.note("faults end");
  co_await stage.faults.end();
  co_await stage.trust.check(12h);
}

Task<void> play_work(Stage& stage) {
  auto& fleet = stage.fleet;
  while (fleet.size() < stage.options.servers) {
    const auto added = fleet.size() == 0 ? co_await fleet.found() : co_await fleet.join();
    if (!added) {
      stage.problems.add("setting up: {}", added.error().message);
      co_return;
    }
  }
  stage.faults.begin();
  TaskGroup members(stage.world.executor());
  for (unsigned index = 0; index < fleet.size(); ++index)
    members.spawn(stage.jobs.member(index, index == wrong_machine ? 0 : std::max(1u, stage.options.operations / 5)));
  co_await members.drain();
  stage.world.note("faults end");
  co_await stage.faults.end();
  co_await stage.jobs.check(6h);
  co_await stage.jobs.check_ledgers();
}

Task<void> play(Stage& stage) {
  if (stage.options.workload == Workload::work) co_return co_await play_work(stage);
  if (stage.options.workload == Workload::trust) co_return co_await play_trust(stage);
  const bool growing = stage.options.workload == Workload::grow;
  if (!co_await add_servers(stage, growing ? 1 : stage.options.servers)) co_return;
  stage.background.spawn(watch_budgets(stage));
  stage.faults.begin();
  if (growing)
    co_await grow(stage);
  else
    co_await work(stage, 0, stage.options.operations);
  stage.world.note("faults end");
  co_await stage.faults.end();
  co_await await_rest(stage.world, stage.fleet, stage.problems, 20min);
  stage.world.note("checks begin");
  co_await verify(stage, ReadFrom::anywhere);
  co_await verify(stage, ReadFrom::network);
  co_await check_contracts(stage.fleet, stage.problems);
  if (stage.options.faults.contains(Fault::rot)) {
    stage.faults.rot_now(20);
    co_await verify(stage, ReadFrom::network);
    co_await mend_everything(stage);
  }
  if (stage.options.workload != Workload::mix) co_await lose_two_thirds(stage);
}

Task<void> end(Stage& stage) {
  co_await stage.background.stop();
  co_await stage.fleet.stop();
}

void fill_report(Stage& stage, RunReport& report) {
  for (const auto& client : stage.clients) {
    report.operations += client->operations();
    report.acknowledged += client->acknowledged();
    report.files += client->model().paths().size();
  }
  report.jobs = stage.jobs.done();
  report.trust_records = stage.trust.announced() + stage.trust.judged();
  report.problems = stage.problems.list;
  if (!report.problems.empty()) report.last_events = stage.world.newest_notes();
  report.faults = stage.faults.struck();
  report.crashes = stage.fleet.crashes();
  report.events = stage.world.events();
  report.record_hash = stage.world.record_hash();
  report.virtual_seconds =
      std::chrono::duration<double>(stage.world.now().time_since_epoch()).count();
}

}  // namespace

Result<Workload> parse_workload(std::string_view name) {
  for (const Workload workload : {Workload::mix, Workload::loss, Workload::grow, Workload::trust, Workload::work})
    if (name == to_text(workload)) return workload;
  return fail(Errc::invalid, "no such workload: \"{}\" (there are mix, loss, grow, trust, work)", name);
}

std::string_view to_text(Workload workload) {
  switch (workload) {
    case Workload::mix: return "mix";
    case Workload::loss: return "loss";
    case Workload::work: return "work";
    case Workload::grow: return "grow";
    case Workload::trust: return "trust";
  }
  return "?";
}

RunReport run(const RunOptions& options) {
  auto stage = std::make_unique<Stage>(options);
  if (options.print) stage->world.set_print(options.print);
  RunReport report;
  if (!stage->world.wait_for(play(*stage), run_limit))
    stage->problems.add("the run did not end within {} h of virtual time: something waits for ever",
                        std::chrono::duration_cast<std::chrono::hours>(run_limit).count());
  const bool played = stage->problems.list.empty();
  bool ended = false;
  if (played || stage->world.now() < TimePoint(run_limit))
    ended = stage->world.wait_for(end(*stage), 1h);
  if (!ended) stage->problems.add("not every server could be stopped");
  fill_report(*stage, report);
  // What hangs refers to the stage for good: better a leak than a crash that hides the report.
  if (!ended) (void)stage.release();
  return report;
}

}  // namespace spatter::sim
