#include "cycles/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <thread>

namespace spatter::cycles {

namespace {

// As the kernel lays it out; Debian 12's C library does not have it.
struct SchedAttributes {
  std::uint32_t size = sizeof(SchedAttributes);
  std::uint32_t policy = SCHED_OTHER;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
};

std::string read_small(const std::string& path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  ::close(fd);
  return text;
}

std::vector<pid_t> numbered_entries(const std::string& folder) {
  std::vector<pid_t> numbers;
  DIR* dir = ::opendir(folder.c_str());
  if (!dir) return numbers;
  while (const dirent* entry = ::readdir(dir)) {
    pid_t number = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (const auto read = std::from_chars(entry->d_name, end, number); read.ec == std::errc() && read.ptr == end)
      numbers.push_back(number);
  }
  ::closedir(dir);
  return numbers;
}

class HeldProcess {
 public:
  HeldProcess(int fd, clockid_t clock) : fd_(fd), clock_(clock) {}
  HeldProcess(HeldProcess&& other) noexcept
      : tasks(std::move(other.tasks)),
        leads_group(other.leads_group),
        fd_(std::exchange(other.fd_, -1)),
        clock_(other.clock_) {}
  ~HeldProcess() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool signal(int number) const { return ::syscall(SYS_pidfd_send_signal, fd_, number, nullptr, 0) == 0; }
  clockid_t clock() const { return clock_; }

  std::vector<pid_t> tasks;  ///< its threads, when last looked at
  bool leads_group = false;

 private:
  int fd_;
  clockid_t clock_;
};

class SystemProcesses : public Processes {
 public:
  explicit SystemProcesses(std::string proc) : proc_(std::move(proc)) {}

  TimePoint now() const override {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return TimePoint(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
  }
  unsigned cores() const override { return cores_; }

  Result<void> hold(pid_t pid) override {
    if (pid <= 1 || pid == ::getpid())
      return fail(Errc::invalid, "process {} cannot be governed", pid);
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0 && errno == ESRCH) return fail(Errc::not_found, "there is no process {}", pid);
    if (fd < 0) return fail(from_errno(errno, fmt::format("hold process {}", pid)));
    clockid_t clock = 0;
    if (const int error = ::clock_getcpuclockid(pid, &clock); error != 0) {
      ::close(fd);
      return fail(Errc::not_found, "there is no process {}", pid);
    }
    HeldProcess process(fd, clock);
    if (!process.signal(0) && errno == EPERM)
      return fail(Errc::denied, "process {} belongs to another user and cannot be stopped", pid);
    held_.erase(pid);
    held_.emplace(pid, std::move(process));
    threads(pid);
    return {};
  }
  void let_go(pid_t pid) override { held_.erase(pid); }

  std::optional<Duration> cpu_time(pid_t pid) override {
    const auto process = held_.find(pid);
    if (process == held_.end()) return std::nullopt;
    timespec time{};
    if (::clock_gettime(process->second.clock(), &time) != 0) return std::nullopt;
    return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
  }

  Duration clock_lag() const override {
    timespec tick{};
    ::clock_getres(CLOCK_MONOTONIC_COARSE, &tick);  // that clock goes by the tick
    return std::chrono::seconds(tick.tv_sec) + Duration(tick.tv_nsec);
  }

  void stop(pid_t pid) override {
    const auto process = held_.find(pid);
    if (process == held_.end() || !process->second.signal(SIGSTOP)) return;
    // A stop that is sent to a process is taken by one of its threads, which may be waiting for a core
    // while the others run on. Sent to each thread, it is taken by one that runs, and that stops all at once.
    if (process->second.tasks.size() > 1)
      for (const pid_t task : process->second.tasks) ::syscall(SYS_tgkill, pid, task, SIGSTOP);
    if (process->second.leads_group) ::kill(-pid, SIGSTOP);
  }
  void resume(pid_t pid) override { signal(pid, SIGCONT); }
  void end(pid_t pid) override { signal(pid, SIGKILL); }

  std::vector<pid_t> children(pid_t pid) override {
    std::vector<pid_t> found;
    const std::string tasks = fmt::format("{}/{}/task", proc_, pid);
    for (const pid_t task : numbered_entries(tasks)) {
      const std::string text = read_small(fmt::format("{}/{}/children", tasks, task));
      const char* at = text.data();
      const char* end = at + text.size();
      for (pid_t child = 0; at < end;) {
        const auto read = std::from_chars(at, end, child);
        if (read.ec == std::errc()) found.push_back(child);
        at = read.ec == std::errc() ? read.ptr : at + 1;
      }
    }
    return found;
  }

  unsigned threads(pid_t pid) override {
    const auto process = held_.find(pid);
    if (process == held_.end() || !process->second.signal(0)) return 0;
    process->second.tasks = numbered_entries(fmt::format("{}/{}/task", proc_, pid));
    process->second.leads_group = ::getpgid(pid) == pid;
    return static_cast<unsigned>(process->second.tasks.size());
  }

  Result<void> make_idle(pid_t pid) override {
    const sched_param none{};
    // Threads that start meanwhile inherit it from those that have it, so two rounds see all.
    for (int round = 0; round < 2; ++round) {
      for (const pid_t task : numbered_entries(fmt::format("{}/{}/task", proc_, pid)))
        if (::sched_setscheduler(task, SCHED_IDLE, &none) != 0 && errno != ESRCH)
          return fail(from_errno(errno, fmt::format("put process {} into the idle class", pid)));
    }
    // Sessions compete as groups where the kernel groups them so, whatever class their members have.
    if (const int fd = ::open(fmt::format("{}/{}/autogroup", proc_, pid).c_str(), O_WRONLY | O_CLOEXEC); fd >= 0) {
      const bool own_session = ::getsid(pid) != ::getsid(0);
      if (own_session && ::write(fd, "19", 2) < 0) { /* nice is what counts without it */ }
      ::close(fd);
    }
    return {};
  }

  std::uint64_t births() override {
    // The last field is the number given out last.
    const std::string text = read_small(proc_ + "/loadavg");
    const auto at = text.rfind(' ');
    std::uint64_t last = 0;
    if (at != std::string::npos) std::from_chars(text.data() + at + 1, text.data() + text.size(), last);
    return last;
  }

 private:
  void signal(pid_t pid, int number) {
    const auto process = held_.find(pid);
    if (process == held_.end() || !process->second.signal(number)) return;
    // It was there a moment ago, so the group of its number is its own.
    if (process->second.leads_group) ::kill(-pid, number);
  }

  const std::string proc_;
  const unsigned cores_ = std::max(1U, std::thread::hardware_concurrency());  // asks the system each time
  std::map<pid_t, HeldProcess> held_;
};

}  // namespace

std::unique_ptr<Processes> make_processes(std::string proc) {
  return std::make_unique<SystemProcesses>(std::move(proc));
}

std::string make_punctual() {
  ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  const sched_param lowest{.sched_priority = 1};
  if (::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest) == 0) return "real-time priority 1";
  SchedAttributes attributes;
  attributes.nice = ::getpriority(PRIO_PROCESS, 0);
  attributes.runtime = 100'000;  // ns: the least that the scheduler takes
  if (::syscall(SYS_sched_setattr, 0, &attributes, 0) == 0) return "a scheduler slice of 0.1 ms";
  return "no priority";
}

}  // namespace spatter::cycles
