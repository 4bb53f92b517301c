// Messages to whoever listens on the local network: multicast in production.
#pragma once

#include "base/bytes.h"
#include "base/task.h"

namespace spatter {

struct Datagram {
  Buffer bytes;
  std::string host;  ///< of the sender; a link-local one with its interface, "fe80::1%eth0"
};

/// All calls on the executor.
class Datagrams {
 public:
  virtual ~Datagrams() = default;
  /// To everybody on every link, as far as possible; nobody can tell whether it arrives.
  virtual void send(Bytes bytes) = 0;
  /// The next one that came, our own included; an error once it is stopped.
  virtual Task<Result<Datagram>> receive() = 0;
  virtual void stop() = 0;  ///< idempotent
};

}  // namespace spatter
