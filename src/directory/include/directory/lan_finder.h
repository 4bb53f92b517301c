// Members on the same local network find each other's present addresses without any server: each
// sends its sealed presence about now and then, and when it hears of one that it is not connected to.
#pragma once

#include <memory>

#include "base/datagrams.h"
#include "base/runtime.h"
#include "base/sync.h"
#include "directory/members.h"
#include "directory/presence.h"
#include "net/rpc.h"

namespace spatter {

struct LanOptions {
  Duration announce_every = std::chrono::seconds(60);    ///< jittered
  Duration announce_interval_min = std::chrono::seconds(3);
  Duration age_max = std::chrono::minutes(2);
  /// Datagrams looked at in a second; more are dropped unread.
  std::size_t datagrams_per_s = 100;
};

class LanFinder {
 public:
  /// References outlive it; `datagrams` is stopped by stop().
  LanFinder(Runtime& runtime, Rpc& rpc, Members& members, const Identity& identity,
            std::shared_ptr<Datagrams> datagrams, std::uint16_t port, LanOptions options = {});

  void start();
  Task<void> stop();

 private:
  void announce_soon() { wanted_.set(); }
  Task<void> announce_loop();
  Task<void> listen_loop();
  void hear(const Datagram& datagram);
  bool take_allowance();

  Runtime& runtime_;
  Rpc& rpc_;
  Members& members_;
  const Identity& identity_;
  std::shared_ptr<Datagrams> datagrams_;
  const std::uint16_t port_;
  const LanOptions options_;
  const Key key_;
  PresenceJudge judge_;
  Event wanted_;
  std::vector<Address> told_;
  Members::Subscription subscription_ = 0;
  std::uint64_t version_ = 0;
  TimePoint second_{};
  std::size_t heard_this_second_ = 0;
  TaskGroup tasks_;
};

}  // namespace spatter
