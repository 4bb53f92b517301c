#include "cycles/governor.h"

#include <time.h>

#include <mutex>

#include "cycles/cgroup_share.h"

namespace spatter::cycles {

namespace {

Result<void> check(const GovernorPolicy& policy) {
  for (const auto* work : {&policy.pledged, &policy.filler})
    if (work->share < 0)
      return fail(Errc::invalid, "a share of {} millionths of a core is less than nothing", work->share);
  if (policy.quiet < Duration(0)) return fail(Errc::invalid, "a quiet time of less than nothing");
  return {};
}

class MachineGovernor : public Governor {
 public:
  MachineGovernor(std::unique_ptr<ShareKeeper> keeper, std::function<void()> changed)
      : keeper_(std::move(keeper)), changed_(std::move(changed)) {}

  Result<void> start(std::vector<std::unique_ptr<PresenceSource>> sources, const GovernorPolicy& policy) {
    TRY_VOID(set_policy(policy));  // as if somebody were here, until the sources have been asked
    TRY(presence_, watch_for_users(std::move(sources), policy.quiet, [this](bool present) { take_presence(present); }));
    return {};
  }
  ~MachineGovernor() override { presence_.reset(); }

  Result<void> add_pledged(pid_t pid) override { return keeper_->add(WorkClass::pledged, pid); }
  Result<void> add_filler(pid_t pid) override { return keeper_->add(WorkClass::filler, pid); }
  void remove(pid_t pid, std::optional<Duration> cpu_time) override { keeper_->remove(pid, cpu_time); }

  void own_work(Duration cpu_time) override { keeper_->charge(WorkClass::pledged, cpu_time); }

  Result<void> set_policy(const GovernorPolicy& policy) override {
    TRY_VOID(check(policy));
    {
      const std::lock_guard lock(mutex_);
      policy_ = policy;
      TRY_VOID(keeper_->set_share(WorkClass::pledged, policy.pledged.share));
      TRY_VOID(keeper_->set_share(WorkClass::filler, policy.filler.share));
      apply();
    }
    if (presence_) presence_->set_quiet(policy.quiet);
    changed_();
    return {};
  }
  void pause(std::string reason) override {
    {
      const std::lock_guard lock(mutex_);
      paused_ = std::move(reason);
      apply();
    }
    changed_();
  }
  void resume() override {
    {
      const std::lock_guard lock(mutex_);
      paused_.reset();
      apply();
    }
    changed_();
  }

  GovernorState state() const override {
    GovernorState state{.held_by = keeper_->describe(), .user = presence_->why(), .sources = presence_->reports()};
    const std::lock_guard lock(mutex_);
    state.user_present = present_;
    const auto of = [&](WorkClass work, const GovernorPolicy::Class& policy) {
      GovernorState::Class one{.share = keeper_->report(work), .may_run = !why_not(policy), .because = {}};
      if (const auto why = why_not(policy)) one.because = *why;
      return one;
    };
    state.pledged = of(WorkClass::pledged, policy_.pledged);
    state.filler = of(WorkClass::filler, policy_.filler);
    return state;
  }

 private:
  void take_presence(bool present) {
    {
      const std::lock_guard lock(mutex_);
      present_ = present;
      apply();
    }
    changed_();
  }

  std::optional<std::string> why_not(const GovernorPolicy::Class& work) const {
    if (paused_) return *paused_;
    if (work.when == GovernorPolicy::When::idle && present_) return "somebody is at this machine";
    if (work.share == 0) return "its share is 0";
    return std::nullopt;
  }

  void apply() {
    const auto set = [&](WorkClass work, const GovernorPolicy::Class& policy) {
      if (why_not(policy)) keeper_->halt(work);
      else keeper_->allow(work);
    };
    set(WorkClass::filler, policy_.filler);
    set(WorkClass::pledged, policy_.pledged);
  }

  const std::unique_ptr<ShareKeeper> keeper_;
  const std::function<void()> changed_;
  mutable std::mutex mutex_;
  GovernorPolicy policy_;
  bool present_ = true;
  std::optional<std::string> paused_;
  std::unique_ptr<UserPresence> presence_;
};

Duration own_cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<Governor>> make_governor(std::unique_ptr<ShareKeeper> keeper,
                                                std::vector<std::unique_ptr<PresenceSource>> sources,
                                                const GovernorPolicy& policy, std::function<void()> changed) {
  TRY_VOID(check(policy));
  auto governor = std::make_unique<MachineGovernor>(std::move(keeper), std::move(changed));
  TRY_VOID(governor->start(std::move(sources), policy));
  return governor;
}

Result<std::unique_ptr<Governor>> make_governor(const GovernorPolicy& policy, std::function<void()> changed,
                                                double cores_above) {
  TRY(auto keeper, make_share_keeper());
  const ShareKeeper* shares = keeper.get();  // outlives the sources: the governor drops them first
  auto sources = usual_sources(cores_above, [shares] {
    return own_cpu_time() + shares->report(WorkClass::pledged).used + shares->report(WorkClass::filler).used;
  });
  return make_governor(std::move(keeper), std::move(sources), policy, std::move(changed));
}

}  // namespace spatter::cycles
