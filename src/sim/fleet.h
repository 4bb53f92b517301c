// Whole servers on simulated machines: founding a network, joining it, crashing and starting again.
#pragma once

#include "base/sync.h"
#include "node/server.h"
#include "sim/machine.h"

namespace spatter::sim {

struct FleetOptions {
  unsigned servers = 7;
  std::uint64_t drive_bytes = std::uint64_t{1} << 30;  ///< half of it is the user half
  ServerOptions server;
  NewNetwork network{};
  /// What a machine computes with, made anew at each start; none: servers that compute for nobody.
  std::function<std::shared_ptr<WorkRunner>(Runtime&, unsigned index)> runner;
};

class Fleet {
 public:
  Fleet(World& world, Network& network, FleetOptions options);
  ~Fleet();

  /// Server 0 founds the network and serves.
  Task<Result<void>> found();
  /// One more machine joins by an invite of server 0, and serves.
  Task<Result<void>> join();

  unsigned size() const { return static_cast<unsigned>(slots_.size()); }
  unsigned planned() const { return options_.servers; }
  Machine& machine(unsigned index) { return *slots_[index]->machine; }
  /// None while it is down. Valid until the next suspension; work across suspensions goes through
  /// run_on.
  Server* server(unsigned index);
  std::vector<unsigned> running();
  bool is_member(unsigned index) const { return slots_[index]->member; }  ///< it has joined

  /// Runs `work` against a server; false when it is down, or went down before the work was done.
  /// Like a door of the server's own, the work is cancelled first when the server goes.
  Task<bool> run_on(unsigned index, std::function<Task<void>(Server&)> work);

  void crash(unsigned index, bool power);
  /// Starts a crashed server; nothing happens if it runs or is being started.
  Task<Result<void>> start(unsigned index);
  /// Ends every server cleanly, and what is left of crashed ones.
  Task<void> stop();

  unsigned crashes() const { return crashes_; }

 private:
  struct Life;  // one incarnation's Server, and the work that uses it
  struct Slot {
    std::unique_ptr<Machine> machine;
    std::shared_ptr<Life> life;
    bool member = false;
  };
  Task<Result<void>> bring_up(unsigned index, SimTransport& transport, Drive drive);
  Task<void> retire(std::shared_ptr<Life> life);
  unsigned add_machine();

  World& world_;
  Network& network_;
  FleetOptions options_;
  std::vector<std::unique_ptr<Slot>> slots_;
  TaskGroup retiring_;
  unsigned crashes_ = 0;
};

}  // namespace spatter::sim
