// The wire to a pool, injected into the Stratum client: TCP in production, a pipe in tests.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/runtime.h"
#include "base/transport.h"

namespace spatter::mining {

/// On the executor only. Dropping it closes it.
class PoolLink {
 public:
  virtual ~PoolLink() = default;
  /// What has come, at least one byte; Errc::unavailable when the other side has closed or is gone.
  virtual Task<Result<std::string>> receive() = 0;
  virtual Task<Result<void>> send(std::string bytes) = 0;
};

using PoolDial = std::function<Task<Result<std::unique_ptr<PoolLink>>>(Address address)>;

/// Plain TCP on `executor`, names resolved by the system.
PoolDial tcp_pool_dial(asio::any_io_executor executor);

/// Returns after so much time in which this process ran. A process that is stopped by signals for an hour
/// and continued has not waited for an hour: each half second of waiting counts as one second at most.
Task<void> awake_sleep(Runtime& runtime, Duration duration);

}  // namespace spatter::mining
