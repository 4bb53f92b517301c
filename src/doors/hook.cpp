#include "hook.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
extern "C" {  // the header of Debian 12 does not say so itself
#include <sys/pidfd.h>
}

#include "doors/control.h"

extern char** environ;

namespace spatter::doors {

namespace {

using Clock = std::chrono::steady_clock;
using Variables = std::vector<std::pair<std::string, std::string>>;

constexpr std::chrono::seconds grace{1};  // between SIGTERM and SIGKILL, and for the latter to work

std::vector<std::string> with_environment(const Variables& added) {
  std::vector<std::string> all;
  for (char** one = environ; one && *one; ++one) {
    const std::string_view text = *one;
    const bool replaced = std::ranges::any_of(
        added, [&](const auto& variable) { return text.starts_with(variable.first + "="); });
    if (!replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

Result<pid_t> spawn_shell(const HookJob& job, int output) {
  std::vector<std::string> words = {"/bin/sh", "-c", job.command};
  auto variables = with_environment(job.environment);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  // Libraries open some without close-on-exec.
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t signals;
  ::sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  ::sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, "/bin/sh", &actions, &attributes, pointers(words).data(),
                                   pointers(variables).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return fail(from_errno(failed, "start /bin/sh"));
  return pid;
}

/// The shell and its process group. Gone when this is, whatever happened in between.
class Shell {
 public:
  explicit Shell(pid_t pid) : pid_(pid), handle_(::pidfd_open(pid, 0)), error_(errno) {}
  Shell(const Shell&) = delete;
  ~Shell() {
    if (pid_ > 0) kill_group();
  }
  /// Becomes readable when the shell has ended.
  Result<int> handle() const {
    if (!handle_) return fail(from_errno(error_, "watch a process"));
    return handle_.get();
  }
  void ask_to_end() { ::kill(-pid_, SIGTERM); }
  /// The group's number stays taken until the shell was waited for, so nobody else is hit.
  void kill_group() {
    ::kill(-pid_, SIGKILL);
    pollfd ended{handle_.get(), POLLIN, 0};
    const auto ms = static_cast<int>(std::chrono::milliseconds(grace).count());
    if (handle_) ::poll(&ended, 1, ms);
    // One that the kernel does not let go of yet (a dead network disk) stays behind.
    ::waitpid(std::exchange(pid_, -1), nullptr, handle_ ? WNOHANG : 0);
  }
  int status() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
  Descriptor handle_;
  int error_;
};

/// Keeps the beginning of what comes out of the pipe, never blocks. False at its end.
bool read_some(int pipe, std::string& said, std::size_t bytes_max) {
  char buffer[4096];
  const auto n = ::read(pipe, buffer, sizeof buffer);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  said.append(buffer, std::min(static_cast<std::size_t>(n), bytes_max - said.size()));
  return n > 0;
}

/// Until the shell has ended by itself or has been asked to and had its time for it.
Result<void> attend(Shell& shell, int pipe, const HookJob& job, int stop, std::string& said) {
  TRY(const int ended, shell.handle());
  auto until = Clock::now() + job.timeout;
  std::optional<Error> why;
  pollfd watched[] = {{ended, POLLIN, 0}, {stop, POLLIN, 0}, {pipe, POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left > 0 && ::poll(watched, 3, static_cast<int>(std::min<std::int64_t>(left, 60'000))) < 0) {
      if (errno == EINTR) continue;
      return fail(from_errno(errno, "wait for a process"));
    }
    if (watched[2].revents != 0 && !read_some(pipe, said, job.output_bytes_max)) watched[2].fd = -1;
    if (watched[0].revents != 0) break;
    const bool over = Clock::now() >= until;
    if (!over && watched[1].revents == 0) continue;
    if (why) break;  // it was asked already
    why = over ? Error{Errc::timeout, fmt::format("it took longer than {} s", job.timeout.count() / 1000.0)}
               : Error{Errc::cancelled, "this server is stopping"};
    shell.ask_to_end();
    watched[1].fd = -1;
    until = Clock::now() + grace;
  }
  if (!why) return {};
  shell.kill_group();
  return fail(*why);
}

}  // namespace

Result<void> run_hook(const HookJob& job, int stop) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(from_errno(errno, "make a pipe"));
  const Descriptor reading(ends[0]);
  Descriptor writing(ends[1]);
  ::fcntl(reading.get(), F_SETFL, O_NONBLOCK);
  TRY(const auto pid, spawn_shell(job, writing.get()));
  Shell shell(pid);
  writing.reset();
  std::string said;
  TRY_VOID(attend(shell, reading.get(), job, stop, said));
  const int status = shell.status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  // A last word may still be in the pipe; something in the background may go on filling it.
  while (said.size() < job.output_bytes_max) {
    const auto before = said.size();
    if (!read_some(reading.get(), said, job.output_bytes_max) || said.size() == before) break;
  }
  while (said.ends_with('\n')) said.pop_back();
  const std::string how = WIFEXITED(status) ? fmt::format("status {}", WEXITSTATUS(status))
                                            : fmt::format("signal {}", WTERMSIG(status));
  return fail(Errc::unavailable, "it ended with {}{}{}", how, said.empty() ? "" : ": ", said);
}

}  // namespace spatter::doors
