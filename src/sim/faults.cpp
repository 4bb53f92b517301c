#include "faults.h"

#include <cmath>

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;

struct Kind {
  Fault fault;
  std::string_view name;
  Duration mean;  // between two strikes
};
constexpr Kind kinds[] = {
    {Fault::cuts, "cuts", 5s},        {Fault::delay, "delay", 15s},
    {Fault::partitions, "partitions", 40s}, {Fault::stalls, "stalls", 30s},
    {Fault::crashes, "crashes", 25s}, {Fault::kills, "kills", 25s},
    {Fault::full, "full", 40s},       {Fault::rot, "rot", 60s},
    {Fault::clock, "clock", 30s},     {Fault::garbage, "garbage", 30s},
    {Fault::acks, "acks", 0s},  // struck by what clients are told
};

}  // namespace

Result<std::set<Fault>> parse_faults(std::string_view list) {
  std::set<Fault> result;
  if (list == "none" || list.empty()) return result;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view name = list.substr(begin, end - begin);
    begin = end + 1;
    bool known = name == "all";
    for (const Kind& kind : kinds) {
      if (name != "all" && name != kind.name) continue;
      result.insert(kind.fault);
      known = true;
    }
    if (!known) {
      std::string names = "all, none";
      for (const Kind& kind : kinds) names += fmt::format(", {}", kind.name);
      return fail(Errc::invalid, "no such fault: \"{}\" (there are {})", name, names);
    }
  }
  return result;
}

std::string to_text(const std::set<Fault>& faults) {
  std::string text;
  for (const Kind& kind : kinds)
    if (faults.contains(kind.fault)) text += fmt::format("{}{}", text.empty() ? "" : ",", kind.name);
  return text.empty() ? "none" : text;
}

Faults::Faults(World& world, Network& network, Fleet& fleet, Problems& problems,
               std::set<Fault> kinds)
    : world_(world),
      network_(network),
      fleet_(fleet),
      problems_(problems),
      kinds_(std::move(kinds)),
      tasks_(world.executor()), reviving_(world.executor()) {}

void Faults::begin() {
  for (const Kind& kind : kinds)
    if (kinds_.contains(kind.fault) && kind.mean > 0s) tasks_.spawn(repeat(kind.fault, kind.mean));
}

Duration Faults::random_duration(Duration mean) {
  // Exponential: strikes come in clusters as well as far apart.
  const double factor = -std::log(1.0 - world_.random().unit());
  return Duration(static_cast<std::int64_t>(static_cast<double>(mean.count()) * factor));
}

std::optional<unsigned> Faults::victim() {
  const auto running = fleet_.running();
  if (running.empty()) return std::nullopt;
  return running[world_.random().below(running.size())];
}

Task<void> Faults::repeat(Fault fault, Duration mean) {
  for (;;) {
    co_await world_.sleep(random_duration(mean));
    ++struck_;
    co_await strike(fault);
  }
}

Task<void> Faults::revive(unsigned index) {
  // A server that cannot start for lack of room or company is tried again, as its person would.
  for (int attempt = 0;; ++attempt) {
    const auto started = co_await fleet_.start(index);
    if (started) co_return;
    if (started.error().code != Errc::no_space && started.error().code != Errc::unavailable) {
      problems_.add("m{} does not start again: {}", index, started.error().message);
      co_return;
    }
    if (attempt == 20) {
      problems_.add("m{} still does not start: {}", index, started.error().message);
      co_return;
    }
    co_await world_.sleep(30s);
  }
}

Task<void> Faults::strike(Fault fault) {
  SeededRandom& random = world_.random();
  const auto chosen = victim();
  if (!chosen) co_return;
  const unsigned index = *chosen;
  Machine& machine = fleet_.machine(index);
  switch (fault) {
    case Fault::cuts: network_.break_a_connection(); break;
    case Fault::delay: {
      const auto other = static_cast<MachineId>(random.below(fleet_.size()));
      network_.set_link(index, other, {.latency = random_duration(50ms), .jitter = 20ms});
      network_.set_uplink(index, 1e6 + 2e8 * random.unit());
      break;
    }
    case Fault::partitions: {
      std::vector<std::vector<MachineId>> groups(2);
      for (MachineId m = 0; m < fleet_.size(); ++m) groups[random.below(2)].push_back(m);
      network_.partition(groups);
      co_await world_.sleep(random_duration(20s));
      network_.mend_all_links();
      break;
    }
    case Fault::stalls: {
      std::vector<MachineId> others;
      for (MachineId m = 0; m < fleet_.size(); ++m)
        if (m != index) others.push_back(m);
      network_.partition({{index}, others});
      co_await world_.sleep(random_duration(8s));
      network_.mend_all_links();
      break;
    }
    case Fault::crashes:
    case Fault::kills:
      co_await crash(index, fault == Fault::crashes);
      break;
    case Fault::full:
      world_.note(fmt::format("m{} disk full", index));
      machine.disk().set_foreign_bytes(machine.disk().capacity_bytes() -
                                       machine.disk().used_bytes() - random.below(1 << 20));
      co_await world_.sleep(random_duration(20s));
      machine.disk().set_foreign_bytes(0);
      world_.note(fmt::format("m{} disk has room", index));
      break;
    case Fault::rot: rot_now(1); break;
    case Fault::clock: {
      const auto jump = static_cast<std::int64_t>(random.below(7'200'000)) - 3'600'000;
      machine.set_wall_offset_ms(machine.wall_offset_ms() + jump);
      world_.note(fmt::format("m{} clock jumps by {} ms", index, jump));
      break;
    }
    case Fault::garbage:
      network_.set_garbage(index, 0.02);
      co_await world_.sleep(random_duration(5s));
      network_.set_garbage(index, 0);
      break;
    case Fault::acks: break;
  }
}

Task<void> Faults::crash(unsigned index, bool power) {
  fleet_.crash(index, power);
  co_await world_.sleep(random_duration(10s));
  const auto done = std::make_shared<Event>(world_.executor());
  reviving_.spawn(revive_then(index, done));
  co_await done->wait();
}

Task<void> Faults::revive_then(unsigned index, std::shared_ptr<Event> done) {
  co_await revive(index);
  done->set();
}

void Faults::acknowledged(unsigned index) {
  if (!kinds_.contains(Fault::acks) || tasks_.stopping() || world_.random().below(8) != 0) return;
  ++struck_;
  tasks_.spawn(crash(index, world_.random().below(2) == 0));
}

void Faults::rot_now(unsigned bits) {
  // Always the same machine: nothing mends rot before it is read, so that damage in several places
  // would add up to more than three copies can bear.
  Machine& machine = fleet_.machine(fleet_.size() - 1);
  std::vector<std::string> shards;
  for (const std::string& path : machine.disk().files())
    if (path.starts_with("server/shards/")) shards.push_back(path);
  for (unsigned i = 0; i < bits && !shards.empty(); ++i) {
    const std::string& path = shards[world_.random().below(shards.size())];
    if (machine.disk().flip_bit(path, world_.random()))
      world_.note(fmt::format("{} rot in {}", machine.name(), path));
  }
}

Task<void> Faults::end() {
  co_await tasks_.stop();
  network_.mend_all_links();
  for (unsigned index = 0; index < fleet_.size(); ++index) {
    Machine& machine = fleet_.machine(index);
    machine.disk().set_foreign_bytes(0);
    machine.set_wall_offset_ms(0);
    network_.set_garbage(index, 0);
    network_.set_uplink(index, 125e6);
    for (MachineId other = 0; other < fleet_.size(); ++other) network_.set_link(index, other, {});
  }
  co_await reviving_.drain();
  for (unsigned index = 0; index < fleet_.size(); ++index)
    if (fleet_.is_member(index) && fleet_.server(index) == nullptr) co_await revive(index);
}

}  // namespace spatter::sim
