#include "fleet.h"

#include "directory/invite.h"
#include "node/join.h"

namespace spatter::sim {

struct Fleet::Life {
  explicit Life(asio::any_io_executor executor) : work(std::move(executor)) {}
  std::unique_ptr<Server> server;
  TaskGroup work;
  bool serving = false;
  bool crashed = false;
};

namespace {

Bytes public_key_of(const Drive& drive) {
  const auto& key = drive.keyring.server_key.public_key();
  return {key.begin(), key.end()};
}

}  // namespace

Fleet::Fleet(World& world, Network& network, FleetOptions options)
    : world_(world), network_(network), options_(std::move(options)), retiring_(world.executor()) {}

Fleet::~Fleet() = default;

unsigned Fleet::add_machine() {
  const unsigned index = size();
  auto slot = std::make_unique<Slot>();
  // Room beyond the drive, so that the halves' budgets are what limits first.
  slot->machine = std::make_unique<Machine>(world_, network_, index, options_.drive_bytes * 2);
  slots_.push_back(std::move(slot));
  return index;
}

Task<Result<void>> Fleet::found() {
  const unsigned index = add_machine();
  Runtime& runtime = machine(index).runtime();
  NewDrive wanted;
  wanted.size_bytes = options_.drive_bytes;
  CO_TRY(auto drive, co_await prepare_drive(runtime, wanted));
  CO_TRY_VOID(co_await found_network(runtime, drive, options_.network));
  SimTransport& transport = machine(index).make_transport(public_key_of(drive));
  co_return co_await bring_up(index, transport, std::move(drive));
}

Task<Result<void>> Fleet::join() {
  const unsigned index = add_machine();
  Runtime& runtime = machine(index).runtime();
  NewDrive wanted;
  wanted.size_bytes = options_.drive_bytes;
  CO_TRY(auto drive, co_await prepare_drive(runtime, wanted));
  SimTransport& transport = machine(index).make_transport(public_key_of(drive));
  // The inviter may be down, or go down on the way: again, until it works.
  Result<void> joined = fail(Errc::unavailable, "nobody invited");
  for (int attempt = 0; attempt < 100 && !joined; ++attempt) {
    if (attempt > 0) co_await world_.sleep(std::chrono::seconds(10));
    std::optional<std::string> link;
    co_await run_on(0, [&link](Server& server) -> Task<void> {
      if (auto made = co_await server.invite()) link = std::move(*made);
    });
    if (!link) continue;
    CO_TRY(auto invite, parse_link(*link));
    auto network = co_await join_with_drive(runtime, transport, drive, std::move(invite));
    joined = network ? Result<void>() : fail(network.error());
  }
  if (!joined) co_return joined;
  co_return co_await bring_up(index, transport, std::move(drive));
}

Task<Result<void>> Fleet::start(unsigned index) {
  Slot& slot = *slots_[index];
  if (slot.life) co_return Result<void>();
  const unsigned incarnation = slot.machine->incarnation();
  auto drive = co_await open_drive(slot.machine->runtime(), std::nullopt);
  if (slot.machine->incarnation() != incarnation || slot.life) co_return Result<void>();
  if (!drive) co_return fail(std::move(drive).error());
  SimTransport& transport = slot.machine->make_transport(public_key_of(*drive));
  co_return co_await bring_up(index, transport, std::move(*drive));
}

Task<Result<void>> Fleet::bring_up(unsigned index, SimTransport& transport, Drive drive) {
  Slot& slot = *slots_[index];
  const auto life = std::make_shared<Life>(world_.executor());
  slot.life = life;
  slot.member = true;
  ServerOptions options = options_.server;
  options.local_hosts = {slot.machine->host()};
  if (options_.runner) options.runner = options_.runner(slot.machine->runtime(), index);
  life->server = std::make_unique<Server>(slot.machine->runtime(), transport, std::move(drive),
                                          std::move(options));
  auto started = co_await life->server->start();
  life->serving = started.has_value();
  if (life->crashed) {
    // It went down while it came up; retire() has left the rest to us.
    if (started) co_await life->server->stop();
    life->server.reset();
    co_return Result<void>();
  }
  if (!started) {
    life->server.reset();
    slot.life = nullptr;
    co_await transport.stop();
    co_return fail(started.error().during(fmt::format("start m{}", index)));
  }
  world_.note(fmt::format("m{} serves", index));
  co_return Result<void>();
}

Server* Fleet::server(unsigned index) {
  const auto& life = slots_[index]->life;
  return life && life->serving ? life->server.get() : nullptr;
}

std::vector<unsigned> Fleet::running() {
  std::vector<unsigned> result;
  for (unsigned index = 0; index < size(); ++index)
    if (server(index) != nullptr) result.push_back(index);
  return result;
}

Task<bool> Fleet::run_on(unsigned index, std::function<Task<void>(Server&)> work) {
  const auto life = slots_[index]->life;
  if (!life || !life->serving || life->crashed) co_return false;
  struct Outcome {
    explicit Outcome(asio::any_io_executor executor) : ended(std::move(executor)) {}
    Event ended;
    bool done = false;
  };
  const auto outcome = std::make_shared<Outcome>(world_.executor());
  const auto run = [](std::shared_ptr<Life> life, std::shared_ptr<Outcome> outcome,
                      std::function<Task<void>(Server&)> work) -> Task<void> {
    struct Tell {
      Outcome& outcome;
      ~Tell() { outcome.ended.set(); }
    } tell{*outcome};
    co_await work(*life->server);
    outcome->done = true;
  };
  life->work.spawn(run(life, outcome, std::move(work)));
  co_await outcome->ended.wait();
  co_return outcome->done && !life->crashed;
}

Task<void> Fleet::retire(std::shared_ptr<Life> life) {
  if (!life->serving) co_return;  // still starting: bring_up sees to it
  life->serving = false;
  co_await life->work.stop();
  co_await life->server->stop();
  life->server.reset();
}

void Fleet::crash(unsigned index, bool power) {
  ++crashes_;
  Slot& slot = *slots_[index];
  slot.machine->crash(power);
  const auto life = std::exchange(slot.life, nullptr);
  if (!life) return;
  life->crashed = true;
  retiring_.spawn(retire(life));
}

Task<void> Fleet::stop() {
  for (const auto& slot : slots_)
    if (const auto life = std::exchange(slot->life, nullptr)) retiring_.spawn(retire(life));
  co_await retiring_.drain();
}

}  // namespace spatter::sim
