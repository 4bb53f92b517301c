#include "sim/machine.h"

#include <sqlite3.h>

#include <asio/async_result.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

namespace spatter::sim {
namespace {

// 2026-01-01 UTC: where the wall clocks of every world begin.
constexpr WallMs world_began_ms = 1'767'225'600'000;

std::string_view letter_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "?";
}

Duration scaled(Duration duration, double factor) {
  return Duration(static_cast<std::int64_t>(static_cast<double>(duration.count()) * factor));
}

}  // namespace

SimRuntime::SimRuntime(Machine& machine, unsigned incarnation, std::shared_ptr<MemoryDisk> disk)
    : machine_(machine),
      disk_(std::move(disk)),
      entropy_(machine.seed_ + 2 * incarnation),
      chance_(machine.seed_ + 2 * incarnation + 1),
      log_(LogLevel::debug, [&machine, incarnation](LogLevel level, std::string_view text) {
        if (level < machine.log_least_) return;
        machine.world_.note(
            fmt::format("{}.{} {} {}", machine.name(), incarnation, letter_of(level), text));
      }) {}

asio::any_io_executor SimRuntime::executor() { return machine_.world_.executor(); }

TimePoint SimRuntime::now() const { return machine_.world_.now() + machine_.clock_offset_; }

WallMs SimRuntime::wall_ms() const {
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
      machine_.world_.now().time_since_epoch());
  return world_began_ms + passed.count() + machine_.wall_offset_ms_;
}

Task<void> SimRuntime::sleep_until(TimePoint when) {
  return machine_.world_.sleep_until(when - machine_.clock_offset_);
}

Duration SimRuntime::cost(const MemoryDisk::Work& done) const {
  const DiskSpeed& speed = machine_.disk_speed_;
  const double transfer_ns = static_cast<double>(done.bytes_read + done.bytes_written) * 1e9 /
                             speed.bytes_per_second;
  return Duration(static_cast<std::int64_t>(transfer_ns)) +
         scaled(speed.sync, static_cast<double>(done.syncs));
}

Task<void> SimRuntime::run_blocking(std::function<void()> work) {
  // One operation, not a coroutine: a cancellation on the way must not show before its end.
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(
      [this](auto handler, std::function<void()> call) {
        World& world = machine_.world_;
        const Duration begin = scaled(machine_.disk_speed_.call, 2 * world.random().unit());
        world.after(begin, [this, &world, handler = std::move(handler),
                            call = std::move(call)]() mutable {
          std::exception_ptr thrown;
          try {
            call();
          } catch (...) {
            thrown = std::current_exception();
          }
          call = nullptr;
          const Duration rest = scaled(cost(disk_->take_work()), 0.5 + world.random().unit());
          world.after(rest, [executor = world.executor(), handler = std::move(handler),
                             thrown]() mutable {
            asio::post(executor, [handler = std::move(handler), thrown]() mutable {
              std::move(handler)(thrown);
            });
          });
        });
      },
      asio::use_awaitable, std::move(work));
}

Machine::Machine(World& world, Network& network, MachineId id, std::uint64_t disk_bytes)
    : world_(world),
      network_(network),
      id_(id),
      host_(fmt::format("10.{}.{}.1", id >> 8 & 255, id & 255)),
      seed_(world.random().next_u64()),
      clock_offset_(std::chrono::milliseconds(world.random().below(1'000'000'000))),
      disk_(std::make_shared<MemoryDisk>(disk_bytes)) {
  // SQLite's own generator is shared by the process: start it anew with every world.
  if (id == 0) sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(world.seed() | 1), nullptr);
  begin_incarnation();
}

void Machine::begin_incarnation() {
  incarnations_.push_back(std::make_unique<SimRuntime>(*this, incarnation() + 1, disk_));
}

SimTransport& Machine::make_transport(Bytes key) {
  return *transports_.emplace_back(
      std::make_unique<SimTransport>(world_, network_, id_, host_, std::move(key), clock_offset_));
}

void Machine::crash(bool power) {
  world_.note(fmt::format("{} {}", name(), power ? "loses power" : "has its process killed"));
  const bool silent = power && world_.random().below(2) == 0;
  for (std::size_t i = transports_present_; i < transports_.size(); ++i)
    transports_[i]->vanish(silent);
  transports_present_ = transports_.size();
  disk_ = power ? disk_->crash(world_.random()) : disk_->restart();
  begin_incarnation();
}

}  // namespace spatter::sim
