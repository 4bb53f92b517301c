#include "sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "doors/control.h"
#include "sandbox_filter.h"

namespace spatter::doors {

namespace {

constexpr rlim_t memory_bytes_max = 1ULL << 30;
constexpr rlim_t processor_seconds_max = 10;
constexpr rlim_t file_bytes_max = 64ULL << 20;  // the sandbox holds a copy of the file
constexpr std::size_t complaint_bytes_max = 2000;

std::vector<std::string> whole_line(const SandboxJob& job, int filter) {
  std::vector<std::string> line = {
      job.bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv",
      "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib",
      "--symlink", "usr/lib64", "/lib64"};
  // Where Debian's alternatives and the loader's cache are; libraries are found through them.
  for (const auto* path : {"/etc/alternatives", "/etc/ld.so.cache"})
    line.insert(line.end(), {"--ro-bind-try", path, path});
  line.insert(line.end(), {"--ro-bind-data", std::to_string(job.file), "/input", "--remount-ro", "/",
                           "--chdir", "/"});
  if (filter >= 0) line.insert(line.end(), {"--seccomp", std::to_string(filter)});
  line.push_back("--");
  line.insert(line.end(), job.line.begin(), job.line.end());
  return line;
}

/// Only what may be called between fork and exec.
[[noreturn]] void become(char* const* line, int output, int errors, std::initializer_list<int> keep,
                         pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  const auto limit = [](auto which, rlim_t value) {
    const rlimit both{value, value};
    ::setrlimit(which, &both);
  };
  limit(RLIMIT_AS, memory_bytes_max);
  limit(RLIMIT_CPU, processor_seconds_max);
  limit(RLIMIT_FSIZE, file_bytes_max);
  limit(RLIMIT_NOFILE, 64);
  limit(RLIMIT_CORE, 0);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  for (const int fd : keep) {
    if (fd >= 0) ::fcntl(fd, F_SETFD, 0);
  }
  ::execv(line[0], line);
  ::_exit(127);
}

class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

struct Said {
  std::string output;
  std::string complaint;
};

/// Reads both pipes to their ends, at most as much as is any use.
Result<Said> listen_to(const Descriptor& output, const Descriptor& errors, const SandboxJob& job) {
  const auto until = std::chrono::steady_clock::now() + job.timeout;
  Said said;
  pollfd pipes[] = {{output.get(), POLLIN, 0}, {errors.get(), POLLIN, 0}};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    const int ready = left.count() <= 0 ? 0 : ::poll(pipes, 2, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return fail(Errc::timeout, "{} took too long", job.line.front());
    for (auto& pipe : pipes) {
      if (pipe.fd < 0 || pipe.revents == 0) continue;
      char buffer[65536];
      const auto n = ::read(pipe.fd, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        pipe.fd = -1;
        continue;
      }
      const bool is_output = pipe.fd == output.get();
      auto& text = is_output ? said.output : said.complaint;
      text.append(buffer, static_cast<std::size_t>(n));
      if (is_output && text.size() > job.output_bytes_max)
        return fail(Errc::invalid, "{} says more than {} bytes", job.line.front(),
                    job.output_bytes_max);
      if (!is_output && text.size() > complaint_bytes_max) text.resize(complaint_bytes_max);
    }
  }
  return said;
}

Result<std::pair<Descriptor, Descriptor>> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(from_errno(errno, "make a pipe"));
  return std::pair{Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace

Result<SandboxResult> run_sandboxed(const SandboxJob& job) {
  if (::access(job.bwrap.c_str(), X_OK) != 0)
    return fail(Errc::unavailable, "{} is missing", job.bwrap);
  TRY(auto filter, sandbox_filter());
  TRY(auto output, make_pipe());
  TRY(auto errors, make_pipe());
  auto words = whole_line(job, filter ? filter.get() : -1);
  std::vector<char*> line;
  for (auto& word : words) line.push_back(word.data());
  line.push_back(nullptr);

  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid < 0) return fail(from_errno(errno, "start a process"));
  if (pid == 0)
    become(line.data(), output.second.get(), errors.second.get(), {job.file, filter.get()}, parent);
  Child child(pid);
  output.second.reset();
  errors.second.reset();
  TRY(auto said, listen_to(output.first, errors.first, job));
  const int status = child.wait();
  const bool ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!ended_well && said.complaint.starts_with("bwrap:"))
    return fail(Errc::unavailable, "no sandbox can be made ({})",
                said.complaint.substr(0, said.complaint.find('\n')));
  return SandboxResult{ended_well, std::move(said.output)};
}

}  // namespace spatter::doors
