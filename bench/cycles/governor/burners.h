// Child processes that burn CPU and write down, in memory shared with the bench, when they did: the truth that
// the bench judges by is the workers' own, not the governor's.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/error.h"

namespace spatter::cycles {

inline std::int64_t clock_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

class Burners {
 public:
  struct alignas(64) Thread {
    std::atomic<std::int64_t> last_ns{0};  ///< when it last ran
    std::atomic<std::uint64_t> work{0};
    std::atomic<std::int64_t> longest_turn_ns{0};  ///< CPU time of its longest turn; one takes some microseconds
  };

  /// `processes` of them, of `threads` threads each, whose CPU time is kept for each ms of `record`; `asleep` more
  /// threads of each only wait.
  Burners(unsigned processes, unsigned threads, std::chrono::milliseconds record, int nice = 0, unsigned asleep = 0)
      : threads_(processes * threads), slots_(static_cast<std::size_t>(record.count()) + 1) {
    const std::size_t size = sizeof(Thread) * threads_ + sizeof(std::uint32_t) * slots_ * threads_;
    void* shared = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SPATTER_ASSERT(shared != MAP_FAILED);
    state_ = new (shared) Thread[threads_];
    used_ = reinterpret_cast<std::uint32_t*>(state_ + threads_);
    start_ns_ = clock_ns(CLOCK_MONOTONIC);
    const pid_t parent = ::getpid();
    for (unsigned p = 0; p < processes; ++p) {
      const pid_t pid = ::fork();
      SPATTER_ASSERT(pid >= 0);
      if (pid == 0) {
        ::setpgid(0, 0);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        ::setpriority(PRIO_PROCESS, 0, nice);  // as work is, however nicely the bench was started
        std::vector<std::thread> others;
        for (unsigned t = 0; t < asleep; ++t) others.emplace_back([] { for (;;) ::pause(); });
        for (unsigned t = 1; t < threads; ++t) others.emplace_back([&, t] { burn(p * threads + t); });
        burn(p * threads);
      }
      ::setpgid(pid, pid);
      pids_.push_back(pid);
    }
  }
  ~Burners() {
    for (const pid_t pid : pids_) ::kill(-pid, SIGKILL);
    for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
    ::munmap(state_, sizeof(Thread) * threads_ + sizeof(std::uint32_t) * slots_ * threads_);
  }
  Burners(const Burners&) = delete;
  Burners& operator=(const Burners&) = delete;

  const std::vector<pid_t>& pids() const { return pids_; }
  std::int64_t last_ns() const {
    std::int64_t last = 0;
    for (unsigned t = 0; t < threads_; ++t) last = std::max(last, state_[t].last_ns.load());
    return last;
  }
  std::uint64_t work() const {
    std::uint64_t sum = 0;
    for (unsigned t = 0; t < threads_; ++t) sum += state_[t].work.load();
    return sum;
  }
  std::int64_t longest_turn_ns() const {
    std::int64_t longest = 0;
    for (unsigned t = 0; t < threads_; ++t) longest = std::max(longest, state_[t].longest_turn_ns.load());
    return longest;
  }
  std::int64_t start_ns() const { return start_ns_; }

  /// CPU time used by all in each ms since the start, in ns, added up.
  std::vector<std::int64_t> course() const {
    std::vector<std::int64_t> sum(slots_ + 1, 0);
    for (std::size_t slot = 0; slot < slots_; ++slot) {
      sum[slot + 1] = sum[slot];
      for (unsigned t = 0; t < threads_; ++t) sum[slot + 1] += used_[t * slots_ + slot];
    }
    return sum;
  }

 private:
  [[noreturn]] void burn(unsigned index) {
    Thread& state = state_[index];
    std::uint32_t* used = used_ + index * slots_;
    std::int64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (std::uint64_t work = 0;; ++work) {
      volatile std::uint64_t x = work;
      for (int i = 0; i < 1000; ++i) x = x * 6364136223846793005ULL + 1;
      const std::int64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
      const std::int64_t now = clock_ns(CLOCK_MONOTONIC);
      const auto slot = static_cast<std::size_t>((now - start_ns_) / 1'000'000);
      if (slot < slots_) used[slot] += static_cast<std::uint32_t>(cpu - before);
      if (cpu - before > state.longest_turn_ns.load(std::memory_order_relaxed))
        state.longest_turn_ns.store(cpu - before, std::memory_order_relaxed);
      before = cpu;
      state.last_ns.store(now, std::memory_order_relaxed);
      state.work.store(work, std::memory_order_relaxed);
    }
  }

  const unsigned threads_;
  const std::size_t slots_;
  std::int64_t start_ns_ = 0;
  Thread* state_ = nullptr;
  std::uint32_t* used_ = nullptr;
  std::vector<pid_t> pids_;
};

}  // namespace spatter::cycles
