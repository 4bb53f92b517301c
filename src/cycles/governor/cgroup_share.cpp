#include "cycles/cgroup_share.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <fstream>
#include <iterator>
#include <mutex>
#include <sstream>
#include <thread>

#include "cycles/processes.h"
#include "cycles/share_controller.h"
#include "descriptor.h"
#include "hour.h"

namespace spatter::cycles {

namespace {

constexpr Duration look_every = std::chrono::milliseconds(100);

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(from_errno(errno, "read " + path));
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

Result<void> write_file(const std::string& path, std::string_view text) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!file) return fail(from_errno(errno, "open " + path));
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail(from_errno(errno, fmt::format("write \"{}\" to {}", text, path)));
  return {};
}

bool has_word(const std::string& text, std::string_view word) {
  std::istringstream words(text);
  for (std::string one; words >> one;)
    if (one == word) return true;
  return false;
}

/// cpu.max for a share: the kernel takes periods from 1 ms to 1 s, and quotas from 1 ms.
std::string cpu_max(SharePpm share, unsigned cores) {
  constexpr std::int64_t usual_period = 20'000, longest_period = 1'000'000, least_quota = 1'000;  // us
  if (share >= SharePpm{cores} * 1'000'000) return fmt::format("max {}", usual_period);
  const std::int64_t period =
      std::clamp(least_quota * 1'000'000 / std::max<SharePpm>(share, 1), usual_period, longest_period);
  return fmt::format("{} {}", std::max(least_quota, period * share / 1'000'000), period);
}

class CgroupShare : public ShareKeeper {
 public:
  CgroupShare(std::string folder, unsigned cores, ShareLawOptions options)
      : folder_(std::move(folder)), cores_(cores),
        classes_{Class{ShareLaw(0, now(), options)}, Class{ShareLaw(0, now(), options)}} {}
  ~CgroupShare() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
    for (const WorkClass work : {WorkClass::pledged, WorkClass::filler}) {
      kill_all(work);
      ::rmdir(path(work).c_str());
    }
  }

  Result<void> start() {
    TRY(const std::string controllers, read_file(folder_ + "/cgroup.controllers"));
    if (!has_word(controllers, "cpu"))
      return fail(Errc::unavailable, "{} has no cpu controller (only: {})", folder_, controllers);
    TRY_VOID(leave_the_top());
    TRY_VOID(write_file(folder_ + "/cgroup.subtree_control", "+cpu"));
    for (const WorkClass work : {WorkClass::pledged, WorkClass::filler}) {
      if (::mkdir(path(work).c_str(), 0755) != 0 && errno != EEXIST)
        return fail(from_errno(errno, "make " + path(work)));
      kill_all(work);  // what one that was killed left behind
      TRY_VOID(write_file(path(work, "cgroup.freeze"), "1"));
      of(work).frozen = true;
      TRY_VOID(write_file(path(work, "cpu.max"), cpu_max(0, cores_)));
      TRY(of(work).usage, usage(work));
    }
    TRY_VOID(write_file(path(WorkClass::filler, "cpu.idle"), "1"));
    thread_ = std::thread([this] { run(); });
    return {};
  }

  std::string describe() const override { return fmt::format("cgroup v2 (cpu.max) below {}", folder_); }

  Result<void> add(WorkClass work, pid_t pid) override {
    const std::lock_guard lock(mutex_);
    if (pid <= 1 || pid == ::getpid()) return fail(Errc::invalid, "process {} cannot be governed", pid);
    for (const Class& one : classes_)
      if (one.processes.contains(pid)) return fail(Errc::exists, "process {} is already governed", pid);
    if (auto moved = write_file(path(work, "cgroup.procs"), std::to_string(pid)); !moved) {
      if (::kill(pid, 0) != 0 && errno == ESRCH) return fail(Errc::not_found, "there is no process {}", pid);
      return moved;
    }
    // What it starts from now on is born in there; what it had started before has to be moved.
    for (std::vector<pid_t> moved{pid}; !moved.empty();) {
      const pid_t parent = moved.back();
      moved.pop_back();
      for (const pid_t child : family_->children(parent))
        if (write_file(path(work, "cgroup.procs"), std::to_string(child))) moved.push_back(child);  // else it is gone
    }
    of(work).processes.insert(pid);
    ::kill(pid, SIGCONT);  // it may have been started stopped; from here the freezer stops it
    return {};
  }
  void remove(pid_t pid, std::optional<Duration>) override {
    const std::lock_guard lock(mutex_);
    for (Class& one : classes_) one.processes.erase(pid);
  }

  Result<void> set_share(WorkClass work, SharePpm share) override {
    if (share < 0) return fail(Errc::invalid, "a share of {} millionths of a core is less than nothing", share);
    const std::lock_guard lock(mutex_);
    count(work);
    TRY_VOID(write_file(path(work, "cpu.max"), cpu_max(share, cores_)));
    of(work).law.set_share(now(), share);
    return freeze_as_due(work);
  }
  void halt(WorkClass work) override {
    const std::lock_guard lock(mutex_);
    of(work).halted = true;
    (void)freeze_as_due(work);
  }
  void allow(WorkClass work) override {
    const std::lock_guard lock(mutex_);
    of(work).halted = false;
    (void)freeze_as_due(work);
  }

  void charge(WorkClass work, Duration used) override {
    const std::lock_guard lock(mutex_);
    of(work).law.charge_elsewhere(now(), used);
    of(work).full = of(work).law.minute_full(now());
    (void)freeze_as_due(work);
  }
  ShareReport report(WorkClass work) const override {
    const std::lock_guard lock(mutex_);
    Class& one = const_cast<CgroupShare*>(this)->of(work);
    constexpr Duration minute = std::chrono::seconds(60);
    ShareReport report{.share = one.law.share(),
                       .processes = static_cast<unsigned>(one.processes.size()),
                       .halted = one.halted,
                       .running = !one.frozen && !one.processes.empty(),
                       .used = one.law.used(),
                       .used_minute = one.law.used_within(now(), minute),
                       .granted_minute = one.law.granted_within(now(), minute)};
    one.hour.report(report);
    return report;
  }

 private:
  struct Class {
    ShareLaw law;
    Hour hour = Hour(now());
    std::set<pid_t> processes;
    Duration usage{0};
    TimePoint counted = now();
    bool halted = false, full = false;
    bool frozen = false;
  };

  static TimePoint now() { return TimePoint(std::chrono::steady_clock::now().time_since_epoch()); }
  Class& of(WorkClass work) { return classes_[work == WorkClass::pledged ? 0 : 1]; }
  std::string path(WorkClass work, std::string_view file = {}) const {
    return fmt::format("{}/{}{}{}", folder_, to_string(work), file.empty() ? "" : "/", file);
  }

  /// A group with groups below it may hold no processes. We are the only one allowed here, and move down.
  Result<void> leave_the_top() {
    TRY(const std::string here, read_file(folder_ + "/cgroup.procs"));
    const std::string own = std::to_string(::getpid());
    std::istringstream pids(here);
    bool we_are_here = false;
    for (std::string pid; pids >> pid;) {
      if (pid != own) return fail(Errc::unavailable, "process {} is in {} too", pid, folder_);
      we_are_here = true;
    }
    if (!we_are_here) return {};
    const std::string below = folder_ + "/node";
    if (::mkdir(below.c_str(), 0755) != 0 && errno != EEXIST) return fail(from_errno(errno, "make " + below));
    return write_file(below + "/cgroup.procs", own);
  }

  Result<Duration> usage(WorkClass work) const {
    TRY(const std::string stat, read_file(path(work, "cpu.stat")));
    std::istringstream fields(stat);
    std::string name;
    for (std::int64_t value = 0; fields >> name >> value;)
      if (name == "usage_usec") return std::chrono::microseconds(value);
    return fail(Errc::corrupt, "{} has no usage_usec", path(work, "cpu.stat"));
  }

  void count(WorkClass work) {
    Class& one = of(work);
    const auto used = usage(work);
    const TimePoint to = now();
    if (used && *used > one.usage) one.law.charge(one.counted, to, *used - one.usage);
    if (used) one.usage = *used;
    one.counted = to;
    one.hour.count(one.law, to);
    one.full = one.law.minute_full(to);
  }

  Result<void> freeze_as_due(WorkClass work) {
    Class& one = of(work);
    const bool freeze = one.halted || one.full || one.law.share() == 0;
    if (one.frozen == freeze) return {};
    TRY_VOID(write_file(path(work, "cgroup.freeze"), freeze ? "1" : "0"));
    one.frozen = freeze;
    return {};
  }

  void kill_all(WorkClass work) {
    (void)write_file(path(work, "cgroup.kill"), "1");
    for (const pid_t pid : of(work).processes) ::kill(pid, SIGKILL);  // before Linux 5.14
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      for (const WorkClass work : {WorkClass::pledged, WorkClass::filler}) {
        count(work);
        (void)freeze_as_due(work);
      }
      changed_.wait_for(lock, look_every);
    }
  }

  const std::string folder_;
  const unsigned cores_;
  mutable std::mutex mutex_;
  const std::unique_ptr<Processes> family_ = make_processes();
  std::array<Class, 2> classes_;
  bool ending_ = false;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace

Result<std::string> find_delegated_cgroup(const std::string& proc, const std::string& mount) {
  TRY(const std::string groups, read_file(proc + "/self/cgroup"));
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("0::")) continue;
    const std::string path = line.substr(3);
    const std::string folder = mount + (path == "/" ? "" : path);
    const auto controllers = read_file(folder + "/cgroup.controllers");
    if (!controllers) return fail(Errc::unavailable, "cgroup v2 is not mounted at {}", mount);
    if (!has_word(*controllers, "cpu"))
      return fail(Errc::unavailable, "the cpu controller is not delegated to {}", folder);
    if (::access((folder + "/cgroup.subtree_control").c_str(), W_OK) != 0 || ::access(folder.c_str(), W_OK) != 0)
      return fail(Errc::unavailable, "{} may not be written", folder);
    return folder;
  }
  return fail(Errc::unavailable, "this process is in no cgroup v2");
}

Result<std::unique_ptr<ShareKeeper>> make_cgroup_share(const std::string& folder, unsigned cores,
                                                       ShareLawOptions options) {
  auto made = std::make_unique<CgroupShare>(folder, cores, options);
  TRY_VOID(made->start());
  return made;
}

Result<std::unique_ptr<ShareKeeper>> make_share_keeper() {
  auto processes = make_processes();
  auto folder = find_delegated_cgroup();
  auto by_cgroup = folder ? make_cgroup_share(*folder, processes->cores())
                          : Result<std::unique_ptr<ShareKeeper>>(std::unexpected(folder.error()));
  if (by_cgroup) return by_cgroup;
  return make_share_controller(std::move(processes), by_cgroup.error().message);
}

}  // namespace spatter::cycles
