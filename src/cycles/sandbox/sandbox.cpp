#include "cycles/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <ctime>
#include <mutex>

#include "embedded.h"
#include "filter.h"
#include "launcher.h"

namespace spatter::cycles {

namespace {

constexpr std::size_t complaint_bytes_max = 64 << 10;
constexpr int first_free_descriptor = 16;  // below are those of the program
constexpr int status_descriptor = 3;       // confine.c's
constexpr int report_descriptor = 4;
constexpr int keeper_descriptor = 5;       // confine.c's
constexpr std::string_view confine_path = "/confine";

Result<std::pair<Descriptor, Descriptor>> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(from_errno(errno, "make a pipe"));
  return std::pair{Descriptor(ends[0]), Descriptor(ends[1])};
}

std::uint64_t size_of(int file) {
  struct stat info{};
  return ::fstat(file, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

Result<std::string> content_of(int file, std::uint64_t bytes_max) {
  std::string text(std::min(size_of(file), bytes_max), '\0');
  std::size_t at = 0;
  while (at < text.size()) {
    const auto n = ::pread(file, text.data() + at, text.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "read what a sandboxed program wrote"));
    if (n == 0) break;
    at += static_cast<std::size_t>(n);
  }
  text.resize(at);
  return text;
}

Result<void> check(const SandboxJob& job) {
  if (::access(job.bwrap.c_str(), X_OK) != 0)
    return fail(Errc::unavailable, "{} is missing: without it nothing foreign is run", job.bwrap);
  if (job.line.empty() || !job.line.front().starts_with('/'))
    return fail(Errc::invalid, "a sandboxed program needs its path inside");
  std::size_t bytes = 0;
  for (const auto& word : job.line) {
    if (word.contains('\0')) return fail(Errc::invalid, "an argument with a zero byte");
    bytes += word.size() + 1;
  }
  if (bytes > 1 << 20 || job.line.size() > 4000)
    return fail(Errc::invalid, "{} arguments of {} bytes are too many", job.line.size() - 1, bytes);
  for (const auto& file : job.files) {
    if (!file.inside.starts_with('/') || (file.fd >= 0) == !file.outside.empty())
      return fail(Errc::invalid, "the file '{}' of a sandbox has not one source", file.inside);
  }
  return {};
}

/// Duplicates of the job's descriptors for as long as the launch takes, out of the way of the numbers
/// that the program is to have.
class Handover {
 public:
  Result<int> take(int fd) {
    Descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, first_free_descriptor));
    if (!copy) return fail(from_errno(errno, "hand a file to a sandbox"));
    copies_.push_back(std::move(copy));
    return copies_.back().get();
  }
  Result<void> give(Launch& launch, int fd, int its) {
    TRY(const int copy, take(fd));
    launch.descriptors.emplace_back(copy, its);
    return {};
  }
  Result<std::string> name(Launch& launch, int fd) {
    TRY(const int copy, take(fd));
    launch.kept.push_back(copy);
    return std::to_string(copy);
  }

 private:
  std::vector<Descriptor> copies_;
};

/// What the program may see and how it is confined: bubblewrap's words, then confine's, then its own.
Result<void> write_line(const SandboxJob& job, int filter, int confine, int info, Handover& handover,
                        Launch& launch) {
  auto& line = launch.line;
  const auto add = [&line](std::initializer_list<std::string> words) {
    line.insert(line.end(), words);
  };
  add({job.bwrap, "--unshare-all", "--die-with-parent", "--as-pid-1", "--clearenv", "--cap-drop", "ALL"});
  for (const auto& [key, value] : job.environment) add({"--setenv", key, value});
  std::vector<std::string> rules;
  if (job.system_files) {
    add({"--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"});
    // Where Debian's alternatives and the loader's cache are; libraries are found through them.
    for (const auto* path : {"/etc/alternatives", "/etc/ld.so.cache"}) add({"--ro-bind-try", path, path});
    rules = {"r/usr", "r/etc"};
  }
  if (job.scratch_bytes_max > 0) {
    add({"--size", std::to_string(job.scratch_bytes_max), "--tmpfs", "/tmp"});
    rules.push_back("w/tmp");
  }
  TRY(const auto confine_name, handover.name(launch, confine));
  add({"--perms", "0555", "--ro-bind-data", confine_name, std::string(confine_path)});
  for (const auto& file : job.files) {
    rules.push_back((file.writable ? "w" : "r") + file.inside);
    if (file.fd < 0) {
      add({file.writable ? "--bind" : "--ro-bind", file.outside, file.inside});
      continue;
    }
    launch.file_bytes_max = std::max(launch.file_bytes_max, size_of(file.fd));  // bubblewrap's copy
    TRY(const auto name, handover.name(launch, file.fd));
    add({"--perms", file.executable ? "0555" : "0444", "--ro-bind-data", name, file.inside});
  }
  add({"--remount-ro", "/", "--chdir", "/"});
  if (filter >= 0) {
    TRY(const auto name, handover.name(launch, filter));
    add({"--seccomp", name});
  }
  TRY(const auto info_name, handover.name(launch, info));
  add({"--info-fd", info_name, "--", std::string(confine_path)});
  const auto& limits = job.limits;
  add({limits.data_bytes ? fmt::format("d{}", *limits.data_bytes) : fmt::format("a{}", limits.memory_bytes),
       fmt::format("f{}", limits.file_bytes_max), fmt::format("c{}", limits.cpu_seconds),
       fmt::format("n{}", limits.open_files_max)});
  if (limits.processes_max > 1) add({fmt::format("p{}", limits.processes_max)});
  line.insert(line.end(), rules.begin(), rules.end());
  line.push_back("--");
  line.insert(line.end(), job.line.begin(), job.line.end());
  return {};
}

Descriptor process_handle(pid_t pid) {
  return Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

/// What a program complains of: the first of it is kept, all of it is taken, so that it never waits.
class Complaints {
 public:
  Result<Descriptor> open() {
    TRY(auto pipe, make_pipe());
    ::fcntl(pipe.first.get(), F_SETFL, O_NONBLOCK);
    pipe_ = std::move(pipe.first);
    return std::move(pipe.second);
  }
  int descriptor() const { return pipe_ ? pipe_.get() : -1; }
  /// What is there now; false: nothing, and nothing more will come while nobody writes.
  bool take() {
    char bytes[16 << 10];
    const auto n = ::read(pipe_.get(), bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) return false;
    text_.append(bytes, std::min(static_cast<std::size_t>(n), complaint_bytes_max - text_.size()));
    return true;
  }
  /// Once all who could write are gone.
  std::string finish() {
    while (pipe_ && take()) {
    }
    return std::move(text_);
  }

 private:
  Descriptor pipe_;   ///< the reading end
  std::string text_;
};

/// Whether the process ended before `until`; what it complains of meanwhile is taken.
Result<bool> ended_before(int handle, Complaints& complaints, std::chrono::steady_clock::time_point until) {
  pollfd both[] = {{handle, POLLIN, 0}, {complaints.descriptor(), POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    const auto ms = std::clamp<std::int64_t>(left.count(), 0, 1 << 30);
    const int ready = ::poll(both, 2, static_cast<int>(ms));
    if (ready < 0 && errno != EINTR) return fail(from_errno(errno, "wait for a sandboxed program"));
    if (ready > 0 && both[0].revents != 0) return true;
    // Who complains without end is late all the same.
    if (left.count() <= 0) return false;
    if (ready > 0 && both[1].revents != 0 && !complaints.take()) both[1].fd = -1;
  }
}

Duration duration_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

std::string_view to_string(SandboxHow how) {
  switch (how) {
    case SandboxHow::exited: return "exited";
    case SandboxHow::signalled: return "died of a signal";
    case SandboxHow::cpu_time_out: return "used up its CPU time";
    case SandboxHow::wall_time_out: return "took too long";
    case SandboxHow::killed: return "was ended";
  }
  return "?";
}

struct Sandboxed::State {
  std::string program;
  SandboxLimits limits;
  pid_t group = -1;             ///< bubblewrap's process; -1 once it has been waited for
  Descriptor handle;            ///< of the same
  Descriptor status, info;
  Descriptor output;            ///< a file in memory, unless the job has its own
  Complaints complaints;        ///< likewise a pipe
  std::chrono::steady_clock::time_point until;
  std::mutex mutex;             ///< guards what follows, and group's becoming -1
  std::optional<pid_t> process;
  bool killed = false;

  std::string said_of_process;  ///< by bubblewrap
  std::optional<pid_t> find_process();
  void signal(int number);
  void end();
  int reap(rusage& used);
};

/// bubblewrap says {"child-pid": 123, ...} when it has made the process, in several writes: the pipe stays open, or a
/// later one of them would end it.
std::optional<pid_t> Sandboxed::State::find_process() {
  if (process) return process;
  char text[512];
  const auto n = ::read(info.get(), text, sizeof text);
  if (n <= 0) return process;
  said_of_process.append(text, static_cast<std::size_t>(n));
  constexpr std::string_view key = "\"child-pid\": ";
  const auto at = said_of_process.find(key);
  // The number is whole once something follows it.
  if (at == std::string::npos) return process;
  const auto end = said_of_process.find_first_not_of("0123456789", at + key.size());
  if (end == std::string::npos) return process;
  const auto pid = std::strtol(said_of_process.c_str() + at + key.size(), nullptr, 10);
  if (pid > 1) process = static_cast<pid_t>(pid);
  return process;
}

void Sandboxed::State::signal(int number) {
  const std::lock_guard lock(mutex);
  if (group > 0) ::kill(-group, number);
}

/// The program first, so that bubblewrap can still say what it used; all the rest dies with it.
void Sandboxed::State::end() {
  const std::lock_guard lock(mutex);
  if (group <= 0) return;
  if (const auto pid = find_process()) {
    ::kill(*pid, SIGKILL);
    ::kill(group, SIGCONT);
  } else {
    ::kill(-group, SIGKILL);
  }
}

int Sandboxed::State::reap(rusage& used) {
  // Whatever ended bubblewrap, nothing of its group stays behind; while it is not reaped the number is the group's.
  siginfo_t ended{};
  while (::waitid(P_PID, static_cast<id_t>(group), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  ::kill(-group, SIGKILL);
  int status = 0;
  while (::wait4(group, &status, 0, &used) < 0 && errno == EINTR) {
  }
  const std::lock_guard lock(mutex);
  group = -1;
  return status;
}

Sandboxed::Sandboxed(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sandboxed::Sandboxed(Sandboxed&&) noexcept = default;

Sandboxed::~Sandboxed() {
  if (!state_ || state_->group <= 0) return;
  ::kill(-state_->group, SIGKILL);
  rusage used{};
  state_->reap(used);
}

Result<Sandboxed> Sandboxed::start(const SandboxJob& job) {
  TRY_VOID(check(job));
  TRY(const auto filter, sandbox_filter(job.limits.processes_max > 1 ? MayFork::yes : MayFork::no));
  TRY(const auto confine, file_of(as_bytes(confine_program()), "confine"));
  TRY(auto status, make_pipe());
  TRY(auto info, make_pipe());
  auto state = std::make_unique<State>();
  state->program = job.line.front();
  state->limits = job.limits;
  Launch launch;
  launch.own_handle = keeper_descriptor;
  Handover handover;
  TRY_VOID(write_line(job, filter.get(), confine.get(), info.second.get(), handover, launch));
  launch.file_bytes_max = std::max({launch.file_bytes_max, job.limits.file_bytes_max,
                                    std::uint64_t{confine_program().size()}});
  Descriptor null;
  int input = job.input, output = job.output, complaints = job.complaints;
  if (input < 0) {
    null = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    input = null.get();
  }
  if (output < 0) {
    TRY(state->output, file_of({}, "output"));
    output = state->output.get();
  }
  Descriptor complaining;
  if (complaints < 0) {
    TRY(complaining, state->complaints.open());
    complaints = complaining.get();
  }
  TRY_VOID(handover.give(launch, input, STDIN_FILENO));
  TRY_VOID(handover.give(launch, output, STDOUT_FILENO));
  TRY_VOID(handover.give(launch, complaints, STDERR_FILENO));
  TRY_VOID(handover.give(launch, status.second.get(), status_descriptor));
  if (job.report >= 0) {
    TRY_VOID(handover.give(launch, job.report, report_descriptor));
  }
  ::fcntl(info.first.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(status.first.get(), F_SETFL, O_NONBLOCK);
  state->status = std::move(status.first);
  state->info = std::move(info.first);
  state->until = std::chrono::steady_clock::now() + job.limits.wall;
  TRY(state->group, cycles::launch(launch));
  state->handle = process_handle(state->group);
  Sandboxed sandboxed(std::move(state));  // whose end is the program's, from here on
  if (!sandboxed.state_->handle) return fail(from_errno(errno, "watch a sandboxed program"));
  return sandboxed;
}

pid_t Sandboxed::group() const { return state_->group; }

std::optional<pid_t> Sandboxed::process() {
  const std::lock_guard lock(state_->mutex);
  return state_->find_process();
}

std::optional<Duration> Sandboxed::cpu() {
  const auto pid = process();
  clockid_t clock{};
  timespec time{};
  if (!pid || ::clock_getcpuclockid(*pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

void Sandboxed::stop() { state_->signal(SIGSTOP); }
void Sandboxed::resume() { state_->signal(SIGCONT); }

void Sandboxed::kill() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->killed = true;
  }
  state_->end();
}

Result<SandboxEnd> Sandboxed::wait() {
  auto& state = *state_;
  SPATTER_ASSERT(state.group > 0);
  TRY(const bool in_time, ended_before(state.handle.get(), state.complaints, state.until));
  if (!in_time) state.end();
  rusage used{};
  const int status = state.reap(used);

  SandboxEnd end;
  end.cpu = duration_of(used.ru_utime) + duration_of(used.ru_stime);
  if (state.output) {
    if (size_of(state.output.get()) >= state.limits.file_bytes_max)
      return fail(Errc::invalid, "{} says more than {} bytes", state.program, state.limits.file_bytes_max);
    TRY(end.output, content_of(state.output.get(), state.limits.file_bytes_max));
  }
  end.complaints = state.complaints.finish();

  if (!in_time || state.killed) {
    end.how = state.killed ? SandboxHow::killed : SandboxHow::wall_time_out;
    end.code = SIGKILL;
    return end;
  }
  char said[2];
  const auto n = ::read(state.status.get(), said, sizeof said);
  if (n < 1 || said[0] != 'b')
    return fail(Errc::unavailable, "no sandbox can be made ({})",
                end.complaints.empty() ? fmt::format("bubblewrap ended with status {:#x}", status)
                                       : end.complaints.substr(0, end.complaints.find('\n')));
  if (n == 2) return fail(Errc::invalid, "{} cannot be run in a sandbox", state.program);
  // What killed the program, bubblewrap says as a shell does.
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  end.how = code > 128 ? SandboxHow::signalled : SandboxHow::exited;
  end.code = code > 128 ? code - 128 : code;
  // The kernel counts a limit in whole ticks and may be well off for what is stopped and resumed often.
  if (end.how == SandboxHow::signalled && end.code == SIGKILL &&
      2 * end.cpu >= std::chrono::seconds(state.limits.cpu_seconds))
    end.how = SandboxHow::cpu_time_out;
  return end;
}

Result<SandboxEnd> run_sandboxed(const SandboxJob& job) {
  TRY(auto sandboxed, Sandboxed::start(job));
  return sandboxed.wait();
}

Result<Descriptor> file_of(ByteView bytes, const char* name) {
  Descriptor file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) return fail(from_errno(errno, "make a file in memory"));
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto n = ::write(file.get(), bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "write a file in memory"));
    at += static_cast<std::size_t>(n);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

Result<Descriptor> open_again(int file) {
  Descriptor again(::open(fmt::format("/proc/self/fd/{}", file).c_str(), O_RDONLY | O_CLOEXEC));
  if (!again) return fail(from_errno(errno, "open a file again"));
  return again;
}

}  // namespace spatter::cycles
