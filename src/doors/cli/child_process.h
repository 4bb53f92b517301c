// Other processes of this same program, as `try` runs them: they die with their parent.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "doors/control.h"

namespace spatter::doors {

/// From here on Ctrl-C, SIGTERM and SIGHUP kill all processes started below, call `clean` and then end
/// this process as they do by themselves. `clean` runs on a thread of its own while the others are
/// still under way. Signals that are ignored stay so. Call at most once, before there are threads.
void clean_up_when_stopped(std::function<void()> clean);

/// Runs this program with `arguments` to its end; what it printed, or its complaint as the error.
Result<std::string> run_self(const std::vector<std::string>& arguments);

/// A server in the background. Killed hard when the object dies.
class ChildServer {
 public:
  /// Starts `spatter --drive DRIVE up --listen 127.0.0.1:0`, its log in DRIVE.log, and waits for its
  /// "ready" line.
  static Result<ChildServer> start(const std::string& drive);
  ChildServer(ChildServer&& other) noexcept;
  ChildServer& operator=(ChildServer&& other) noexcept;
  ~ChildServer() { kill_hard(); }

  void kill_hard();  ///< SIGKILL, and waits until it is gone
  bool alive() const { return pid_ > 0; }
  const std::string& drive() const { return drive_; }
  const std::string& server() const { return server_; }

 private:
  ChildServer(pid_t pid, Descriptor output, std::string drive)
      : pid_(pid), output_(std::move(output)), drive_(std::move(drive)) {}
  pid_t pid_ = -1;
  Descriptor output_;
  std::string drive_, server_;
};

}  // namespace spatter::doors
