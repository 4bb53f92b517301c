#include "miner_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "doors/control.h"

namespace spatter::doors {
namespace {

constexpr auto again_after = std::chrono::seconds(10);
constexpr std::size_t line_bytes_max = 64 * 1024;

Duration of(const timeval& time) { return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec); }

}  // namespace

struct MinerProcess::State {
  State(MinerSetup setup, Watch watch, Log& log) : setup(std::move(setup)), watch(std::move(watch)), log(log) {}

  void run();
  void live();
  void listen(int reports);

  const MinerSetup setup;
  const Watch watch;
  Log& log;
  mutable std::mutex mutex;
  std::condition_variable stopped;
  bool stopping = false;
  pid_t pid = -1;
  std::string report;
  std::thread thread;
};

MinerProcess::MinerProcess(MinerSetup setup, Watch watch, Log& log)
    : state_(std::make_unique<State>(std::move(setup), std::move(watch), log)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

MinerProcess::~MinerProcess() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    // It has nothing to lose; stopped or not, this reaches it.
    if (state_->pid > 0) ::kill(-state_->pid, SIGKILL);
  }
  state_->stopped.notify_all();
  state_->thread.join();
}

const MinerSetup& MinerProcess::setup() const { return state_->setup; }

std::string MinerProcess::report() const {
  const std::lock_guard lock(state_->mutex);
  return state_->report;
}

void MinerProcess::State::run() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    lock.unlock();
    live();
    lock.lock();
    report.clear();
    stopped.wait_for(lock, again_after, [&] { return stopping; });
  }
}

void MinerProcess::State::listen(int reports) {
  std::string line;
  char buffer[4096];
  while (true) {
    const auto got = ::read(reports, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    for (const char one : std::string_view(buffer, static_cast<std::size_t>(got))) {
      if (one != '\n') {
        if (line.size() < line_bytes_max) line += one;
        continue;
      }
      const std::lock_guard lock(mutex);
      report = std::exchange(line, {});
    }
  }
}

/// One life of it, from fork to its end.
void MinerProcess::State::live() {
  int control[2], reports[2];
  if (::pipe2(control, O_CLOEXEC) != 0) return log.error("miner: no pipe");
  const Descriptor control_read(control[0]), control_write(control[1]);
  if (::pipe2(reports, O_CLOEXEC) != 0) return log.error("miner: no pipe");
  Descriptor reports_read(reports[0]), reports_write(reports[1]);
  const auto threads = std::to_string(setup.threads);
  const char* line[] = {"spatter", "miner-process", "--pool", setup.pool.c_str(), "--user", setup.user.c_str(),
                        "--threads", threads.c_str(), nullptr};
  const auto parent = ::getpid();
  std::unique_lock lock(mutex);
  if (stopping) return;
  const auto child = ::fork();
  if (child < 0) return log.error("miner: {}", from_errno(errno, "start a process").message);
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::dup2(control[0], STDIN_FILENO);
    ::dup2(reports[1], STDOUT_FILENO);
    ::execv("/proc/self/exe", const_cast<char* const*>(line));
    ::_exit(127);
  }
  ::setpgid(child, child);
  pid = child;
  lock.unlock();
  reports_write.reset();
  watch.started(child);
  listen(reports_read.get());
  int status = 0;
  rusage used{};
  while (::wait4(child, &status, 0, &used) < 0 && errno == EINTR) {
  }
  lock.lock();
  pid = -1;
  const bool wanted = stopping;
  lock.unlock();
  watch.ended(child, of(used.ru_utime) + of(used.ru_stime));
  if (!wanted) log.warning("the miner ended by itself ({}); it is started again", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

}  // namespace spatter::doors
