#include "launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "cycles/descriptor.h"

namespace spatter::cycles {

namespace {

class LauncherThread {
 public:
  /// Never destroyed: the thread has to outlast every process it started.
  static LauncherThread& instance() {
    static auto* thread = new LauncherThread;
    return *thread;
  }

  Result<pid_t> run(std::function<Result<pid_t>()> work) {
    std::packaged_task<Result<pid_t>()> task(std::move(work));
    auto done = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    there_is_work_.notify_one();
    return done.get();
  }

 private:
  LauncherThread() {
    // What the system asks of this process is for its other threads to answer.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([this] { loop(); }).detach();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void loop() {
    for (;;) {
      std::unique_lock lock(mutex_);
      there_is_work_.wait(lock, [this] { return !tasks_.empty(); });
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable there_is_work_;
  std::deque<std::packaged_task<Result<pid_t>()>> tasks_;
};

/// Only what may be called between fork and exec.
[[noreturn]] void become(char* const* line, const Launch& launch, int trouble, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  const rlimit file{launch.file_bytes_max, launch.file_bytes_max}, core{0, 0};
  ::setrlimit(RLIMIT_FSIZE, &file);
  ::setrlimit(RLIMIT_CORE, &core);
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  for (const auto& [ours, its] : launch.descriptors) {
    if (::dup2(ours, its) < 0) ::_exit(127);
  }
  if (launch.own_handle >= 0) {
    const auto handle = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
    if (handle < 0 || (handle != launch.own_handle && ::dup2(handle, launch.own_handle) < 0)) ::_exit(127);
    ::fcntl(launch.own_handle, F_SETFD, 0);
  }
  for (const int fd : launch.kept) ::fcntl(fd, F_SETFD, 0);
  ::execv(line[0], line);
  const int number = errno;
  (void)!::write(trouble, &number, sizeof number);
  ::_exit(127);
}

Result<pid_t> fork_and_become(const Launch& launch) {
  std::vector<char*> line;
  for (const auto& word : launch.line) line.push_back(const_cast<char*>(word.c_str()));
  line.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(from_errno(errno, "make a pipe"));
  const Descriptor trouble(ends[0]);
  Descriptor theirs(ends[1]);
  // Out of the way of the numbers that are given to it.
  Descriptor high(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 16));
  theirs.reset();
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid < 0) return fail(from_errno(errno, "start a process"));
  if (pid == 0) become(line.data(), launch, high.get(), parent);
  high.reset();
  int number = 0;
  ssize_t n = 0;
  do n = ::read(trouble.get(), &number, sizeof number);
  while (n < 0 && errno == EINTR);
  if (n != sizeof number) return pid;
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return fail(from_errno(number, "start " + launch.line.front()));
}

}  // namespace

Result<pid_t> launch(const Launch& launch) {
  return LauncherThread::instance().run([&launch] { return fork_and_become(launch); });
}

}  // namespace spatter::cycles
