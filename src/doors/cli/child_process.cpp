#include "cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <mutex>
#include <set>
#include <thread>

namespace spatter::doors {

namespace {

constexpr std::chrono::seconds ready_within{60};

/// The processes that were started and not yet waited for. Who holds the mutex for good starts and
/// ends no others. Never destroyed: a thread may need it until the process is gone.
struct Children {
  std::mutex mutex;
  std::set<pid_t> pids;
};
Children& children() {
  static auto* all = new Children;
  return *all;
}

/// Waits until the process has ended. Its number stays taken until it is struck off the list, so that
/// nobody kills another by it.
int wait_for(pid_t pid) {
  siginfo_t ended{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  std::lock_guard lock(children().mutex);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  children().pids.erase(pid);
  return status;
}

/// Forks and runs this program. Its standard output goes to the returned pipe, its standard error to
/// `errors`.
Result<std::pair<pid_t, Descriptor>> spawn_self(std::vector<std::string> arguments, int errors) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(from_errno(errno, "make a pipe"));
  Descriptor reading(ends[0]), writing(ends[1]);
  arguments.insert(arguments.begin(), "spatter");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t parent = ::getpid();
  std::lock_guard lock(children().mutex);
  pid_t pid = ::fork();
  if (pid < 0) return fail(from_errno(errno, "start a process"));
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::setpgid(0, 0);  // Ctrl-C is the parent's to handle
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(writing.get(), STDOUT_FILENO);
    ::dup2(errors, STDERR_FILENO);
    ::execv("/proc/self/exe", argv.data());
    ::_exit(127);
  }
  children().pids.insert(pid);
  return std::pair{pid, std::move(reading)};
}

std::string read_to_end(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

/// One line from the pipe, or an error when it ends or nothing comes in time.
Result<std::string> read_line(int fd, std::chrono::steady_clock::time_point until) {
  std::string line;
  for (char c;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd wait{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0)
      return fail(Errc::timeout, "no line in time");
    ssize_t n = ::read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Errc::unavailable, "it ended");
    if (c == '\n') return line;
    line += c;
  }
}

}  // namespace

void clean_up_when_stopped(std::function<void()> clean) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) ::sigaddset(&signals, number);
  }
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, clean = std::move(clean)] {
    int number = 0;
    if (::sigwait(&signals, &number) != 0) return;
    children().mutex.lock();  // for good
    for (pid_t pid : children().pids) ::kill(pid, SIGKILL);
    for (pid_t pid : children().pids) ::waitpid(pid, nullptr, 0);
    clean();
    ::signal(number, SIG_DFL);
    ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    ::raise(number);
  }).detach();
}

Result<std::string> run_self(const std::vector<std::string>& arguments) {
  Descriptor errors(::memfd_create("errors", MFD_CLOEXEC));
  if (!errors) return fail(from_errno(errno, "make a temporary file"));
  TRY(auto child, spawn_self(arguments, errors.get()));
  std::string output = read_to_end(child.second.get());
  const int status = wait_for(child.first);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  ::lseek(errors.get(), 0, SEEK_SET);
  std::string complaint = read_to_end(errors.get());
  while (complaint.ends_with('\n')) complaint.pop_back();
  std::replace(complaint.begin(), complaint.end(), '\n', ';');
  return fail(Errc::unavailable, "{}", complaint.empty() ? "spatter ended with status " + std::to_string(status) : complaint);
}

Result<ChildServer> ChildServer::start(const std::string& drive) {
  std::string log = drive + ".log";
  Descriptor errors(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!errors) return fail(from_errno(errno, "write " + log));
  TRY(auto child, spawn_self({"--drive", drive, "up", "--listen", "127.0.0.1:0"}, errors.get()));
  ChildServer server(child.first, std::move(child.second), drive);
  auto until = std::chrono::steady_clock::now() + ready_within;
  for (;;) {
    auto line = read_line(server.output_.get(), until);
    if (!line) return fail(line.error().during("the server on " + drive + " did not get ready (see " + log + ")"));
    if (!line->starts_with("ready ")) continue;
    server.server_ = line->substr(6, line->find(' ', 6) - 6);
    return server;
  }
}

ChildServer::ChildServer(ChildServer&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), output_(std::move(other.output_)),
      drive_(std::move(other.drive_)), server_(std::move(other.server_)) {}

ChildServer& ChildServer::operator=(ChildServer&& other) noexcept {
  if (this != &other) {
    kill_hard();
    pid_ = std::exchange(other.pid_, -1);
    output_ = std::move(other.output_);
    drive_ = std::move(other.drive_);
    server_ = std::move(other.server_);
  }
  return *this;
}

void ChildServer::kill_hard() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait_for(pid_);
  pid_ = -1;
}

}  // namespace spatter::doors
