// Runs a program that reads what strangers wrote, or was written by them, where it can do no harm:
// in bubblewrap (own user, process, network, IPC and host-name spaces, no capability), under a seccomp
// filter, under Landlock, under limits, with nothing of the file system but what it is given. It dies
// with the process that started it.
//
// A Sandboxed is a running sandbox. Starting takes about a millisecond and waits for nothing inside;
// wait() blocks: neither on the executor. One thread at a time, except stop(), resume() and kill(),
// which any thread may call until wait() has returned.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/time.h"
#include "cycles/descriptor.h"

namespace spatter::cycles {

struct SandboxLimits {
  std::uint64_t memory_bytes = 1ULL << 30;      ///< address space of each process
  std::optional<std::uint64_t> data_bytes;      ///< instead: only what it may write to counts
  unsigned cpu_seconds = 10;                    ///< of each process; counts only while it computes
  std::chrono::milliseconds wall = std::chrono::seconds(30);
  std::uint64_t file_bytes_max = 1 << 20;       ///< of each file written, and of the output kept in memory
  unsigned processes_max = 1;  ///< 1: it can start none (threads it can). More do not bind a superuser's.
  unsigned open_files_max = 64;
};

/// A file inside. Either an open descriptor, copied from its offset on (so no other run may read it at
/// the same time), or a path outside, mounted.
struct SandboxFile {
  std::string inside;   ///< "/input"
  int fd = -1;
  std::string outside;
  bool writable = false;   ///< only of a path
  bool executable = false; ///< only of a descriptor
};

struct SandboxJob {
  std::string bwrap = "/usr/bin/bwrap";
  std::vector<std::string> line;          ///< program (its path inside) and arguments
  std::vector<SandboxFile> files;
  bool system_files = true;               ///< /usr, and what finds libraries there
  std::uint64_t scratch_bytes_max = 0;    ///< of an empty folder /tmp in memory; 0: none
  std::vector<std::pair<std::string, std::string>> environment;  ///< all there is
  int input = -1;                         ///< descriptor 0; else /dev/null
  int output = -1;                        ///< descriptor 1; else kept in memory for SandboxEnd
  int complaints = -1;                    ///< descriptor 2; else taken from a pipe for SandboxEnd, while wait() waits
  int report = -1;                        ///< descriptor 4, if any
  SandboxLimits limits;
};

enum class SandboxHow {
  exited,        ///< by itself: `code` is its exit status
  signalled,     ///< `code` is the signal
  cpu_time_out,
  wall_time_out,
  killed,        ///< by kill()
};
std::string_view to_string(SandboxHow how);

struct SandboxEnd {
  SandboxHow how = SandboxHow::exited;
  int code = 0;
  Duration cpu{};           ///< of all its processes; short of the truth after a wall_time_out
  std::string output;       ///< when job.output was not given
  std::string complaints;   ///< the first 64 KiB, when job.complaints was not given
  bool ended_well() const { return how == SandboxHow::exited && code == 0; }
};

class Sandboxed {
 public:
  /// The descriptors of the job are the caller's and need to stay open only until this returns.
  /// Errors: unavailable (no bubblewrap), invalid (a job that makes no sense), io.
  static Result<Sandboxed> start(const SandboxJob& job);

  Sandboxed(Sandboxed&&) noexcept;
  Sandboxed& operator=(Sandboxed&&) = delete;
  /// Kills what still runs, and waits until it is gone.
  ~Sandboxed();

  /// The process group of everything in the sandbox, none of which can leave it. A signal to it
  /// (kill(-group, SIGSTOP)) reaches exactly what computes, and bubblewrap, which only waits.
  pid_t group() const;
  /// The program's own process, as this process sees it: whose CPU clock tells what it uses. None
  /// until bubblewrap has made it.
  std::optional<pid_t> process();
  /// CPU time used by that process so far.
  std::optional<Duration> cpu();

  void stop();
  void resume();
  void kill();   ///< stopped or not

  /// Until all of it is gone; kills it when its wall time is up. To be called once.
  /// Errors: unavailable (this system allows no sandbox), invalid (more output than asked for,
  /// no such program), io.
  Result<SandboxEnd> wait();

  struct State;

 private:
  explicit Sandboxed(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// start() and wait().
Result<SandboxEnd> run_sandboxed(const SandboxJob& job);

/// A file in memory that holds `bytes`, to be read from its beginning: what jobs take as inputs.
Result<Descriptor> file_of(ByteView bytes, const char* name);
/// A second descriptor of an open file, at its beginning, whose offset is its own.
Result<Descriptor> open_again(int file);

}  // namespace spatter::cycles
