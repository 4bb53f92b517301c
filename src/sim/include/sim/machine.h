// A simulated machine: a disk, clocks and a place in the network, which outlive the crashes of what
// runs on it.
//
// Each start of the machine is an incarnation with a Runtime of its own. After a crash the old
// incarnation is cut off: its disk fails every call, its connections are over and new ones fail.
// What ran there cannot touch the world any more, so it may be stopped at leisure, in the ordinary
// way, while the new incarnation is already at work. Its Runtime lives as long as the Machine.
#pragma once

#include "base/memory_disk.h"
#include "base/runtime.h"
#include "sim/network.h"
#include "sim/world.h"

namespace spatter::sim {

/// How long disk calls take.
struct DiskSpeed {
  Duration call = std::chrono::microseconds(30);
  Duration sync = std::chrono::milliseconds(2);
  double bytes_per_second = 200e6;
};

class Machine;

class SimRuntime final : public Runtime {
 public:
  SimRuntime(Machine& machine, unsigned incarnation, std::shared_ptr<MemoryDisk> disk);

  asio::any_io_executor executor() override;
  TimePoint now() const override;
  WallMs wall_ms() const override;
  Task<void> sleep_until(TimePoint when) override;
  Random& entropy() override { return entropy_; }
  Random& chance() override { return chance_; }
  Disk& disk() override { return *disk_; }
  Log& log() override { return log_; }
  unsigned blocking_threads() const override { return 2; }
  /// Runs `work` at once, a moment of virtual time after the call, and returns when the disk would
  /// have done what it was asked.
  Task<void> run_blocking(std::function<void()> work) override;

 private:
  Duration cost(const MemoryDisk::Work& done) const;

  Machine& machine_;
  std::shared_ptr<MemoryDisk> disk_;
  SeededRandom entropy_;
  SeededRandom chance_;
  Log log_;
};

class Machine {
 public:
  Machine(World& world, Network& network, MachineId id, std::uint64_t disk_bytes);
  Machine(const Machine&) = delete;

  MachineId id() const { return id_; }
  /// One /24 network per machine, "10.0.7.1" for machine 7.
  const std::string& host() const { return host_; }
  std::string name() const { return fmt::format("m{}", id_); }
  World& world() { return world_; }

  SimRuntime& runtime() { return *incarnations_.back(); }
  MemoryDisk& disk() { return *disk_; }
  unsigned incarnation() const { return static_cast<unsigned>(incarnations_.size()); }

  /// A transport of the present incarnation for the server of this key. It lives as long as the
  /// machine.
  SimTransport& make_transport(Bytes key);

  /// Power fails, or (`power` false) the process alone dies: then the operating system still writes
  /// what it was given, and tells the peers.
  void crash(bool power = true);

  void set_wall_offset_ms(std::int64_t offset) { wall_offset_ms_ = offset; }
  std::int64_t wall_offset_ms() const { return wall_offset_ms_; }
  void set_disk_speed(DiskSpeed speed) { disk_speed_ = speed; }
  void set_log_least(LogLevel least) { log_least_ = least; }

 private:
  friend class SimRuntime;
  void begin_incarnation();

  World& world_;
  Network& network_;
  const MachineId id_;
  const std::string host_;
  const std::uint64_t seed_;
  LogLevel log_least_ = LogLevel::info;
  DiskSpeed disk_speed_;
  std::int64_t wall_offset_ms_ = 0;
  Duration clock_offset_;  // of the monotonic clock: it starts anywhere
  std::shared_ptr<MemoryDisk> disk_;
  std::vector<std::unique_ptr<SimRuntime>> incarnations_;
  std::vector<std::unique_ptr<SimTransport>> transports_;  // of the present incarnation: those at or
  std::size_t transports_present_ = 0;                     // after this index
};

}  // namespace spatter::sim
