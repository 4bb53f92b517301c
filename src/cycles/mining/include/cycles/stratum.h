// A Stratum V1 client: keeps a connection to one pool, hands out its work, turns in shares and counts
// what the pool says to them. A pool is a stranger: whatever it sends or fails to send ends, at worst,
// in a log line and a new connection after a while; memory and log lines per connection are bounded.
//
// Time limits count only time in which this process ran, so one that is stopped and continued by
// signals blames no pool for it. All calls on the Runtime's executor.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/runtime.h"
#include "cycles/mining_work.h"
#include "cycles/pool_link.h"

namespace spatter::mining {

struct StratumOptions {
  Address pool;
  std::string user;
  std::string password = "x";
  std::string agent = "spatter/0.1";
  bool roll_versions = true;  ///< ask the pool for it; it need not grant it
};

/// A hash that meets its work's target.
struct Share {
  std::shared_ptr<const MiningWork> work;
  Bytes extranonce2;
  std::uint32_t time = 0, nonce = 0, version = 0;
  Digest hash;
};

enum class PoolState {
  connecting,   ///< dialling, or the subscription is not answered yet
  no_job,       ///< subscribed, but there is nothing to mine yet
  mining,
  waiting,      ///< the connection failed; the next attempt comes
  refused,      ///< the pool does not accept the user; attempts become rare
};
std::string_view to_string(PoolState state);

struct PoolStatus {
  PoolState state = PoolState::connecting;
  Address pool;                    ///< that is connected to, after a redirect to another port too
  std::uint64_t connections = 0;   ///< made, ever
  std::uint64_t accepted = 0, rejected = 0;
  std::uint64_t stale = 0;         ///< not submitted any more, or refused by the pool as too late
  std::uint64_t unanswered = 0;    ///< the connection ended or a minute passed before the answer
  std::uint64_t dropped = 0;       ///< found faster than the pool answers
  std::uint64_t blocks = 0;        ///< shares that met the network's own target
  double accepted_difficulty = 0;  ///< the sum over accepted shares: what pools pay by
  double best_difficulty = 0;      ///< of any share's hash
  double difficulty = 0;           ///< that shares are to have now; 0 before there is work
  std::optional<std::uint32_t> network_bits;  ///< of the newest job
  bool rolls_versions = false;
  std::string last_reason;         ///< the pool's, for the share rejected last
  std::string last_problem;        ///< why the last connection ended
};

class StratumClient {
 public:
  /// What is to be mined from now on; nothing (null) while there is no connection.
  using OnWork = std::function<void(std::shared_ptr<const MiningWork>)>;

  /// The Runtime must outlive it.
  StratumClient(Runtime& runtime, StratumOptions options, PoolDial dial, OnWork on_work);
  ~StratumClient();

  /// Connects, and again whenever the connection ends: after a second, doubling up to five minutes
  /// while nothing comes of it, less up to a half by chance. Ends by cancellation only.
  Task<void> run();

  /// Turns a share in, unless its job or connection is gone or the difficulty has risen above it
  /// meanwhile: it is then counted as stale.
  void submit(const Share& share);

  const PoolStatus& status() const { return status_; }

 private:
  class Session;
  void end_work();

  Runtime& runtime_;
  StratumOptions options_;
  PoolDial dial_;
  OnWork on_work_;
  PoolStatus status_;
  Session* session_ = nullptr;  ///< while there is one, on run()'s stack
  std::uint64_t next_serial_ = 1;
  bool ask_versions_;           ///< not where the last attempt ended right after the question
};

}  // namespace spatter::mining
