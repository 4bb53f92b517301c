#include "cycles/user_presence.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <thread>

#include "cycles/processes.h"

namespace spatter::cycles {

namespace {

constexpr Duration open_again_after = std::chrono::seconds(5);

TimePoint boot_time() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return TimePoint(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

std::int64_t in_seconds(Duration time) { return std::chrono::duration_cast<std::chrono::seconds>(time).count(); }

}  // namespace

struct PresenceJudge::Watched {
  std::unique_ptr<PresenceSource> source;
  PresenceSource::Sighting last;
  std::vector<int> descriptors;
  TimePoint look_at, open_at;
};

PresenceJudge::PresenceJudge(std::vector<std::unique_ptr<PresenceSource>> sources, Duration quiet, TimePoint now)
    : quiet_(quiet), last_seen_(now), last_what_("nothing is known yet") {
  for (auto& source : sources) {
    source->open(now);
    sources_.push_back({std::move(source), {}, {}, now, now + open_again_after});
  }
  watched();
}

PresenceJudge::~PresenceJudge() = default;

std::vector<pollfd> PresenceJudge::watched() {
  std::vector<pollfd> all;
  for (Watched& one : sources_) {
    one.descriptors.clear();
    for (const pollfd& watched : one.source->watched()) {
      one.descriptors.push_back(watched.fd);
      all.push_back(watched);
    }
  }
  return all;
}

void PresenceJudge::look(TimePoint now, const std::vector<pollfd>& events) {
  const auto has_event = [&](const Watched& one) {
    return std::ranges::any_of(events, [&](const pollfd& event) {
      return event.revents != 0 && std::ranges::find(one.descriptors, event.fd) != one.descriptors.end();
    });
  };
  bool active = false;
  for (Watched& one : sources_) {
    if (!one.last.works && now >= one.open_at) {
      one.open_at = now + open_again_after;
      one.source->open(now);
      one.look_at = now;
    }
    if (now >= one.look_at || has_event(one)) {
      one.last = one.source->look(now);
      const Duration every = one.source->poll_every();
      one.look_at = every == Duration::max() ? TimePoint::max() : now + every;
    }
    active = active || one.last.active_now;
    const auto seen = one.last.active_now ? std::optional(now) : one.last.last_seen;
    if (seen && *seen >= last_seen_) {
      last_seen_ = std::min(*seen, now);
      last_what_ = fmt::format("{}: {}", one.source->name(), one.last.what);
    }
  }
  present_ = active || now - last_seen_ < quiet_;
}

TimePoint PresenceJudge::next_look() const {
  TimePoint next = present_ ? last_seen_ + quiet_ : TimePoint::max();
  for (const Watched& one : sources_) next = std::min(next, one.last.works ? one.look_at : one.open_at);
  return next;
}

std::string PresenceJudge::why(TimePoint now) const {
  if (!present_) return fmt::format("nobody for {} s", in_seconds(now - last_seen_));
  return fmt::format("somebody may be here: {}, {} s ago", last_what_, in_seconds(now - last_seen_));
}

std::vector<SourceReport> PresenceJudge::reports(TimePoint now) const {
  std::vector<SourceReport> reports;
  for (const Watched& one : sources_) {
    SourceReport report{std::string(one.source->name()), one.last.works, one.last.what, std::nullopt};
    if (one.last.active_now) report.quiet_for = Duration(0);
    else if (one.last.last_seen) report.quiet_for = now - *one.last.last_seen;
    reports.push_back(std::move(report));
  }
  return reports;
}

namespace {

class PresenceThread : public UserPresence {
 public:
  PresenceThread(std::vector<std::unique_ptr<PresenceSource>> sources, Duration quiet,
                 std::function<void(bool)> changed, int wake)
      : changed_(std::move(changed)), wake_(wake), judge_(std::move(sources), quiet, boot_time()),
        thread_([this] { run(); }) {}
  ~PresenceThread() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake();
    thread_.join();
    ::close(wake_);
  }

  bool present() const override {
    const std::lock_guard lock(mutex_);
    return judge_.present();
  }
  std::string why() const override {
    const std::lock_guard lock(mutex_);
    return judge_.why(boot_time());
  }
  std::vector<SourceReport> reports() const override {
    const std::lock_guard lock(mutex_);
    return judge_.reports(boot_time());
  }
  void set_quiet(Duration quiet) override {
    {
      const std::lock_guard lock(mutex_);
      judge_.set_quiet(quiet);
    }
    wake();
  }

 private:
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_, &one, sizeof one);
  }

  void run() {
    make_punctual();
    std::optional<bool> told;
    std::vector<pollfd> events;
    while (true) {
      Duration wait{0};
      bool present = false;
      {
        const std::lock_guard lock(mutex_);
        if (ending_) return;
        const TimePoint now = boot_time();
        judge_.look(now, events);
        present = judge_.present();
        wait = std::max(Duration(0), judge_.next_look() - now);
        events = judge_.watched();
      }
      if (told != present) changed_(present);
      told = present;
      events.push_back({wake_, POLLIN, 0});
      wait = std::min<Duration>(wait, std::chrono::hours(1));
      const timespec time{.tv_sec = wait.count() / 1'000'000'000, .tv_nsec = wait.count() % 1'000'000'000};
      if (::ppoll(events.data(), events.size(), &time, nullptr) < 0) events.clear();
      if (!events.empty() && events.back().revents != 0) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto n = ::read(wake_, &count, sizeof count);
      }
    }
  }

  const std::function<void(bool)> changed_;
  const int wake_;
  mutable std::mutex mutex_;
  PresenceJudge judge_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<UserPresence>> watch_for_users(std::vector<std::unique_ptr<PresenceSource>> sources,
                                                      Duration quiet, std::function<void(bool)> changed) {
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) return fail(from_errno(errno, "make an event descriptor"));
  return std::make_unique<PresenceThread>(std::move(sources), quiet, std::move(changed), wake);
}

std::vector<std::unique_ptr<PresenceSource>> usual_sources(double cores_above, std::function<Duration()> ours) {
  std::vector<std::unique_ptr<PresenceSource>> sources;
  sources.push_back(input_devices());
  sources.push_back(logind());
  sources.push_back(x11());
  sources.push_back(wayland());
  sources.push_back(terminals());
  sources.push_back(other_load(cores_above, std::move(ours)));
  return sources;
}

}  // namespace spatter::cycles
