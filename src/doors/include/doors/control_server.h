// Answers the control socket of a running server (doors/control.h): one coroutine a caller.
#pragma once

#include <memory>

#include "base/sync.h"
#include "doors/control.h"
#include "node/server.h"

namespace spatter::doors {

class ControlServer {
 public:
  /// Everything outlives the ControlServer. `socket` comes from listen_control().
  ControlServer(Runtime& runtime, Server& server, Descriptor socket);
  ~ControlServer();

  void start();
  /// Hangs up on everybody and returns when the last request has ended. What a caller was told is
  /// done stays done; what was under way is given up whole.
  Task<void> stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What `spatter status --json` prints, and what the control socket answers.
Json status_json(const ServerStatus& status, const Members& members);

/// What `spatter fsck --json` prints.
Json checkup_json(const ServerCheckup& checkup);

}  // namespace spatter::doors
