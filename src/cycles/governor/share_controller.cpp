#include "cycles/share_controller.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "share_engine.h"

namespace spatter::cycles {

namespace {

class ShareController : public ShareKeeper {
 public:
  ShareController(std::unique_ptr<Processes> processes, std::string why, ShareLawOptions options, int wake)
      : processes_(std::move(processes)), why_(std::move(why)), wake_(wake), engine_(*processes_, options) {}
  ~ShareController() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake();
    if (thread_.joinable()) thread_.join();
    ::close(wake_);
  }

  void start() {
    thread_ = std::thread([this] { run(); });
    std::unique_lock lock(mutex_);
    punctual_.wait(lock, [&] { return !how_punctual_.empty(); });
  }

  std::string describe() const override {
    return fmt::format("signals, timed with {}{}{}", how_punctual_, why_.empty() ? "" : ": ", why_);
  }
  Result<void> add(WorkClass work, pid_t pid) override {
    return then_wake([&] { return engine_.add(work, pid); });
  }
  void remove(pid_t pid, std::optional<Duration> cpu_time) override {
    const std::lock_guard lock(mutex_);
    engine_.remove(pid, cpu_time);
  }
  Result<void> set_share(WorkClass work, SharePpm share) override {
    return then_wake([&] { return engine_.set_share(work, share); });
  }
  void halt(WorkClass work) override {
    then_wake([&] { engine_.halt(work); });
  }
  void allow(WorkClass work) override {
    then_wake([&] { engine_.allow(work); });
  }
  void charge(WorkClass work, Duration used) override {
    then_wake([&] { engine_.charge(work, used); });
  }
  ShareReport report(WorkClass work) const override {
    const std::lock_guard lock(mutex_);
    return engine_.report(work);
  }

 private:
  template <class F>
  std::invoke_result_t<F> then_wake(F act) {
    struct Wake {
      ShareController* self;
      ~Wake() { self->wake(); }
    } after{this};
    const std::lock_guard lock(mutex_);
    return act();
  }
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_, &one, sizeof one);  // full means that it is awake
  }

  void run() {
    std::string how = make_punctual();
    std::unique_lock lock(mutex_);
    how_punctual_ = std::move(how);
    punctual_.notify_all();
    while (!ending_) {
      const TimePoint next = engine_.step();
      const Duration wait = std::max(Duration(0), next - processes_->now());
      lock.unlock();
      const timespec time{.tv_sec = wait.count() / 1'000'000'000, .tv_nsec = wait.count() % 1'000'000'000};
      pollfd woken{wake_, POLLIN, 0};
      if (::ppoll(&woken, 1, &time, nullptr) > 0) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto n = ::read(wake_, &count, sizeof count);
      }
      lock.lock();
    }
  }

  const std::unique_ptr<Processes> processes_;
  const std::string why_;
  const int wake_;
  mutable std::mutex mutex_;
  mutable ShareEngine engine_;
  std::condition_variable punctual_;
  std::string how_punctual_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<ShareKeeper>> make_share_controller(std::unique_ptr<Processes> processes, std::string why,
                                                           ShareLawOptions options) {
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) return fail(from_errno(errno, "make an event descriptor"));
  auto controller = std::make_unique<ShareController>(std::move(processes), std::move(why), options, wake);
  controller->start();
  return controller;
}

}  // namespace spatter::cycles
