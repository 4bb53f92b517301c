// The real world of one drive on this machine: its lock, Runtime and Transport.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/posix_disk.h"
#include "base/real_runtime.h"
#include "base/transport.h"
#include "cli/context.h"
#include "node/drive.h"

namespace spatter::doors {

/// A drive's folder taken for this process. Destroyed in the order that ends cleanly.
class Machine {
 public:
  /// The folder must exist. Errc::busy names the process that serves it already.
  static Result<Machine> take(const std::string& folder, LogLevel log_least = LogLevel::info);
  /// The same, making the folder first; refuses one that holds anything but a drive.
  static Result<Machine> take_new(const std::string& folder, LogLevel log_least = LogLevel::warning);

  RealRuntime& runtime() { return *runtime_; }
  Transport& connect_as(const SigningKey& server_key);  ///< made at the first call
  Result<Drive> open(const std::optional<std::string>& passphrase_file);
  ~Machine();
  Machine(Machine&&) = default;

 private:
  Machine(std::string folder, DriveLock lock, std::unique_ptr<RealRuntime> runtime)
      : folder_(std::move(folder)), lock_(std::move(lock)), runtime_(std::move(runtime)) {}
  std::string folder_;
  DriveLock lock_;
  std::unique_ptr<RealRuntime> runtime_;
  std::unique_ptr<Transport> transport_;
};

/// A passphrase file's first line.
Result<std::optional<std::string>> passphrase_from(const std::optional<std::string>& file);

/// From the terminal, unseen.
std::string ask_passphrase();

/// The IP addresses of this machine, loopback last.
std::vector<std::string> local_hosts();

}  // namespace spatter::doors
