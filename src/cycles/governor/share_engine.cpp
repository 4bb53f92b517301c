#include "share_engine.h"

#include <algorithm>

namespace spatter::cycles {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// How long after its stop a thread may take to leave its core before its clock is read.
constexpr Duration settling_time = milliseconds(1);
/// How often what is stopped is looked at: somebody else may have let it run, or it forked as it was stopped.
constexpr Duration watch_every = milliseconds(100);
constexpr Duration retry_after = milliseconds(2);
/// What a stop costs those who are stopped, about.
constexpr Duration worth_going_on = milliseconds(1);
/// Filler that gets less of the machine than this is in somebody's way: each of its threads is let in for a slice now and
/// then even in the idle class. It steps back, and tries again with a short burst.
constexpr double worthwhile_part = 0.25;
constexpr Duration step_back_least = milliseconds(50), step_back_most = milliseconds(2000), try_again_for = milliseconds(20);
/// Who has waited gets a slice at once, even in the idle class: it says nothing of how crowded the machine is.
constexpr Duration first_slice = milliseconds(4), telling_burst = milliseconds(15);
constexpr Duration unnoticeable = microseconds(20);
constexpr Duration minute = seconds(60);

double in_cores(Duration used, Duration passed) {
  return static_cast<double>(used.count()) / static_cast<double>(passed.count());
}

}  // namespace

std::string_view to_string(WorkClass work) { return work == WorkClass::pledged ? "pledged" : "filler"; }

ShareEngine::ShareEngine(Processes& processes, ShareLawOptions options)
    : processes_(processes),
      classes_{Class{WorkClass::pledged, ShareLaw(0, processes.now(), options), Hour(processes.now())},
               Class{WorkClass::filler, ShareLaw(0, processes.now(), options), Hour(processes.now())}} {
  watched_ = processes.now();
  for (Class& work : classes_) {
    work.cores_expected = processes.cores();
    work.collected = watched_;
  }
}

ShareEngine::~ShareEngine() {
  for (Class& work : classes_)
    for (const auto& [pid, member] : work.members) processes_.end(pid);
}

TimePoint ShareEngine::step() {
  const TimePoint now = processes_.now();
  Class& pledged = of(WorkClass::pledged);
  Class& filler = of(WorkClass::filler);
  for (Class& work : classes_) {
    if (work.phase == Phase::running && now >= work.until && !go_on(work, now)) stop(work, now);
    if (work.phase == Phase::settling && now >= work.until) settle(work, now);
    work.hour.count(work.law, now);
  }
  TimePoint next = now + watch_every;
  if (now >= watched_ + watch_every) {
    watched_ = now;
    for (Class& work : classes_) {
      if (work.phase != Phase::idle) continue;
      find_families(work, now, false);
      if (collect(work, work.collected, now, false) > unnoticeable)
        for (const auto& [pid, member] : work.members) processes_.stop(pid);
    }
  }
  next = std::min(next, begin(pledged, now));
  if (pledged.phase != Phase::running) next = std::min(next, begin(filler, now));
  for (const Class& work : classes_)
    if (work.phase != Phase::idle) next = std::min(next, work.until);
  return next;
}

/// What cannot use more than its share, whatever it does, needs no stops.
bool ShareEngine::free_running(const Class& work) const {
  return static_cast<double>(work.law.share()) >= cores_possible(work) * 1e6;
}

double ShareEngine::cores_possible(const Class& work) const {
  unsigned threads = 0;
  for (const auto& [pid, member] : work.members) threads += member.threads;
  return std::min(std::max(1U, threads), processes_.cores());
}

/// Whether a burst goes on at its end. What uses hardly more than its share anyway could not make up for a stop: a thread
/// that has a core already cannot have more. So it is not stopped as long as its clocks, read as it runs, show that the
/// law need not.
bool ShareEngine::go_on(Class& work, TimePoint now) {
  if (!work.look_again && !free_running(work)) return false;
  work.stretch.used += collect(work, work.from, now, true);
  work.from = now;
  find_families(work, now, false);
  if (now - work.stretch.from >= watch_every) {
    learn(work, now, now);
    work.stretch = {.from = now, .from_start = false};
  }
  if (work.steps_back > Duration(0)) return false;
  ShareBurst more{watch_every};
  if (!free_running(work)) {
    const Duration unseen(static_cast<std::int64_t>(static_cast<double>(processes_.clock_lag().count()) * work.cores_expected));
    more = work.law.burst(now, work.cores_expected, cores_possible(work), unseen);
  }
  if (more.length < worth_going_on) return false;
  work.until = now + std::min(more.length, watch_every);
  work.look_again = more.cautious || more.length > watch_every;
  return true;
}

void ShareEngine::stop(Class& work, TimePoint now) {
  for (const auto& [pid, member] : work.members) processes_.stop(pid);
  work.phase = Phase::settling;
  work.collected = now;  // until when it ran
  work.until = now + settling_time;
}

void ShareEngine::settle(Class& work, TimePoint now) {
  const TimePoint stopped = work.collected;
  work.stretch.used += collect(work, work.from, stopped, true);
  if (work.stretch.from_start || stopped - work.stretch.from >= watch_every) learn(work, stopped, now);
  work.phase = Phase::idle;
  work.collected = now;
  find_families(work, now, false);
}

void ShareEngine::learn(Class& work, TimePoint ran_until, TimePoint now) {
  const Duration ran = ran_until - work.stretch.from;
  if (ran > microseconds(300)) {
    const double cores = std::max(0.05, in_cores(work.stretch.used, ran));
    work.cores_expected = cores > work.cores_expected ? cores : 0.75 * work.cores_expected + 0.25 * cores;
  }
  step_back_if_crowded(work, now, work.stretch.used, ran);
}

void ShareEngine::step_back_if_crowded(Class& work, TimePoint now, Duration used, Duration ran) {
  if (work.work != WorkClass::filler || ran < milliseconds(2)) return;
  if (ran >= telling_burst) used -= std::min(used, first_slice * processes_.cores());
  if (in_cores(used, ran) >= worthwhile_part * cores_possible(work)) {
    work.steps_back = Duration(0);
    return;
  }
  work.steps_back = std::clamp(work.steps_back * 2, step_back_least, step_back_most);
  work.stays_back_until = now + work.steps_back;
}

/// When to come back for it; it is in a burst then, or has to wait.
TimePoint ShareEngine::begin(Class& work, TimePoint now) {
  if (work.phase != Phase::idle || work.halted || work.members.empty()) return TimePoint::max();
  TimePoint when = free_running(work) ? now : work.law.may_begin(now, cores_possible(work));
  if (work.steps_back > Duration(0)) when = std::max(when, work.stays_back_until);
  if (when > now) return when;
  collect(work, work.collected, now, false);  // what a late stop let through
  ShareBurst burst{watch_every};
  if (!free_running(work)) burst = work.law.burst(now, work.cores_expected, cores_possible(work));
  Duration length = burst.length;
  if (length <= Duration(0)) return now + retry_after;
  if (work.steps_back > Duration(0)) length = std::min(length, try_again_for);
  if (work.work == WorkClass::pledged && of(WorkClass::filler).phase == Phase::running)
    stop(of(WorkClass::filler), now);
  for (const auto& [pid, member] : work.members) processes_.resume(pid);
  work.phase = Phase::running;
  work.from = now;
  work.until = now + length;
  work.look_again = burst.cautious;
  work.stretch = {.from = now};
  return work.until;
}

/// Reads all clocks and charges what was used since they were last read. Who is gone, and was in a burst, is
/// charged what he can at most have used: what is not known must not become more than the share.
Duration ShareEngine::collect(Class& work, TimePoint from, TimePoint to, bool ran) {
  Duration used{0};
  for (auto entry = work.members.begin(); entry != work.members.end();) {
    auto& [pid, member] = *entry;
    Duration more{0};
    const auto clock = processes_.cpu_time(pid);
    if (clock) {
      more = std::max(Duration(0), *clock - member.read);
      member.read = *clock;
    } else if (ran) {
      more = (to - from) * std::min(member.threads, processes_.cores());
    }
    used += more;
    if (const auto root = work.roots.find(member.root); root != work.roots.end()) root->second.charged += more;
    if (!clock) {
      processes_.let_go(pid);
      entry = work.members.erase(entry);
      continue;
    }
    ++entry;
  }
  if (used > Duration(0)) work.law.charge(from, to, used);
  return used;
}

/// `as_new`: what is found has been used by others' leave and is not charged.
void ShareEngine::find_families(Class& work, TimePoint now, bool as_new) {
  const std::uint64_t births = processes_.births();
  if (!as_new && births == work.births && now < work.families_found + seconds(1)) return;
  work.births = births;
  work.families_found = now;
  std::vector<pid_t> to_ask;
  for (auto& [pid, member] : work.members) to_ask.push_back(pid);
  while (!to_ask.empty()) {
    const pid_t parent = to_ask.back();
    to_ask.pop_back();
    Member& known = work.members.at(parent);
    known.threads = std::max(1U, processes_.threads(parent));  // who is gone is noticed by his clock
    for (const pid_t child : processes_.children(parent)) {
      if (work.members.contains(child) || !processes_.hold(child)) continue;
      const Duration before = as_new ? processes_.cpu_time(child).value_or(Duration(0)) : Duration(0);
      work.members.emplace(child, Member{known.root, before});
      if (work.work == WorkClass::filler) (void)processes_.make_idle(child);  // older than its parent's class
      if (work.phase != Phase::running) processes_.stop(child);
      to_ask.push_back(child);
    }
  }
}

Result<void> ShareEngine::add(WorkClass which, pid_t pid) {
  for (const Class& work : classes_)
    if (work.members.contains(pid))
      return fail(Errc::exists, "process {} is already governed as {}", pid, to_string(work.work));
  TRY_VOID(processes_.hold(pid));
  const auto before = processes_.cpu_time(pid);
  if (!before) {
    processes_.let_go(pid);
    return fail(Errc::not_found, "there is no process {}", pid);
  }
  if (which == WorkClass::filler) {
    if (auto idle = processes_.make_idle(pid); !idle) {
      processes_.let_go(pid);
      return idle;
    }
  }
  Class& work = of(which);
  const TimePoint now = processes_.now();
  if (work.phase != Phase::running) processes_.stop(pid);
  else processes_.resume(pid);
  work.roots.insert_or_assign(pid, Root{*before});
  work.members.emplace(pid, Member{pid, *before});
  find_families(work, now, true);
  return {};
}

void ShareEngine::remove(pid_t pid, std::optional<Duration> cpu_time) {
  for (Class& work : classes_) {
    const auto root = work.roots.find(pid);
    if (root == work.roots.end()) continue;
    if (cpu_time) {
      const TimePoint now = processes_.now();
      const Duration truth = std::max(Duration(0), *cpu_time - root->second.before);
      if (truth != root->second.charged) work.law.charge(now, now, truth - root->second.charged);
    }
    work.roots.erase(root);
    std::erase_if(work.members, [&](const auto& entry) {
      if (entry.second.root != pid) return false;
      processes_.let_go(entry.first);
      return true;
    });
    if (work.members.empty()) work.phase = Phase::idle;
  }
}

Result<void> ShareEngine::set_share(WorkClass work, SharePpm share) {
  if (share < 0) return fail(Errc::invalid, "a share of {} millionths of a core is less than nothing", share);
  of(work).law.set_share(processes_.now(), share);
  if (of(work).phase == Phase::running) of(work).until = processes_.now();  // it was measured out by the old share
  return {};
}

void ShareEngine::halt(WorkClass which) {
  Class& work = of(which);
  work.halted = true;
  if (work.phase == Phase::running) return stop(work, processes_.now());
  for (const auto& [pid, member] : work.members) processes_.stop(pid);
}

void ShareEngine::allow(WorkClass work) { of(work).halted = false; }

void ShareEngine::charge(WorkClass work, Duration used) { of(work).law.charge_elsewhere(processes_.now(), used); }

ShareReport ShareEngine::report(WorkClass which) {
  Class& work = of(which);
  const TimePoint now = processes_.now();
  ShareReport report{.share = work.law.share(),
                     .processes = static_cast<unsigned>(work.members.size()),
                     .halted = work.halted,
                     .running = work.phase == Phase::running,
                     .used = work.law.used(),
                     .used_minute = work.law.used_within(now, minute),
                     .granted_minute = work.law.granted_within(now, minute)};
  work.hour.report(report);
  return report;
}

}  // namespace spatter::cycles
