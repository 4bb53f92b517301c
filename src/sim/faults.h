// What goes wrong while a workload runs. Each fault is a coroutine of its own that strikes at random
// moments; all are undone before the checks.
#pragma once

#include <set>
#include <string_view>

#include "client.h"

namespace spatter::sim {

enum class Fault { cuts, delay, partitions, stalls, crashes, kills, full, rot, clock, garbage, acks };

Result<std::set<Fault>> parse_faults(std::string_view list);  ///< "cuts,crashes", "all", "none"
std::string to_text(const std::set<Fault>& faults);

class Faults {
 public:
  Faults(World& world, Network& network, Fleet& fleet, Problems& problems, std::set<Fault> kinds);

  void begin();
  /// Ends all faults, heals links, clocks and disks, and starts every server that is down.
  Task<void> end();
  std::uint64_t struck() const { return struck_; }

  /// A server has just told its client that what it wrote is as safe as asked: now and then that is
  /// the moment when its power fails, or its process is killed.
  void acknowledged(unsigned index);

  /// Flips `bits` bits in shard files of one machine: all damage a stripe must bear at once.
  void rot_now(unsigned bits);

 private:
  Task<void> repeat(Fault fault, Duration mean);
  Task<void> strike(Fault fault);
  Task<void> crash(unsigned index, bool power);
  Task<void> revive(unsigned index);
  Task<void> revive_then(unsigned index, std::shared_ptr<Event> done);
  Duration random_duration(Duration mean);
  std::optional<unsigned> victim();

  World& world_;
  Network& network_;
  Fleet& fleet_;
  Problems& problems_;
  const std::set<Fault> kinds_;
  TaskGroup tasks_;
  /// Starts of servers: never cancelled, for one that is left half done would look like one that serves.
  TaskGroup reviving_;
  std::uint64_t struck_ = 0;
};

}  // namespace spatter::sim
