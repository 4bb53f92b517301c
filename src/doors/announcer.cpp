#include "doors/announcer.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "doors/control.h"
#include "hook.h"
#include "popup.h"

namespace spatter::doors {

class Announcer::Worker {
 public:
  Worker(Log& log, Options options)
      : log_(log), options_(std::move(options)), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        thread_([this] { run(); }) {}

  ~Worker() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    if (stop_) ::eventfd_write(stop_.get(), 1);
    changed_.notify_one();
    thread_.join();
  }

  void add(Announcement announcement) {
    std::optional<Announcement> dropped;
    {
      std::lock_guard lock(mutex_);
      if (waiting_.size() == announcements_max) {
        dropped = std::move(waiting_.front());
        waiting_.pop_front();
      }
      waiting_.push_back(std::move(announcement));
    }
    changed_.notify_one();
    if (dropped) log_.warning("too much to announce: \"{}\" is dropped", dropped->title);
  }

 private:
  std::optional<Announcement> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return std::nullopt;
    auto announcement = std::move(waiting_.front());
    waiting_.pop_front();
    return announcement;
  }

  void run() {
    // The process's signals are for its other threads: none cuts a wait short here.
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (auto announcement = next()) {
      if (options_.popups) show(*announcement);
      if (!options_.command.empty()) tell_command(*announcement);
    }
  }

  void show(const Announcement& announcement) {
    const PopupText text{announcement.title, announcement.text, announcement.event == event_repair_only};
    const auto shown = popup_.show(text, options_.popup_within, stop_.get());
    if (shown) {
      complained_ = false;
    } else if (shown.error().code == Errc::not_found || shown.error().code == Errc::cancelled) {
      log_.debug("no popup for \"{}\": {}", announcement.title, shown.error().message);
    } else if (!std::exchange(complained_, true)) {
      log_.info("no popup for \"{}\": {}", announcement.title, shown.error().message);
    }
  }

  void tell_command(const Announcement& announcement) {
    HookJob job;
    job.command = options_.command;
    job.environment = {{"SPATTER_EVENT", announcement.event},
                       {"SPATTER_TITLE", announcement.title},
                       {"SPATTER_TEXT", announcement.text}};
    job.timeout = options_.command_within;
    const auto done = run_hook(job, stop_.get());
    if (!done)
      log_.warning("notify_command \"{}\" failed at \"{}\": {}", options_.command, announcement.event,
                   done.error().message);
  }

  Log& log_;
  const Options options_;
  const Descriptor stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Announcement> waiting_;
  bool stopping_ = false;
  Popup popup_;              ///< the thread's alone
  bool complained_ = false;  ///< the thread's alone
  std::thread thread_;       ///< last: it uses all of the above
};

Announcer::Announcer(Log& log, Options options) : worker_(std::make_unique<Worker>(log, std::move(options))) {}
Announcer::~Announcer() = default;
void Announcer::announce(Announcement announcement) { worker_->add(std::move(announcement)); }

}  // namespace spatter::doors
