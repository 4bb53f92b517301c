#include "scenario.h"

#include <algorithm>
#include <cmath>

#include "chance/rendezvous.h"

namespace spatter::sim::mend {
namespace {

constexpr double stripe_bytes = 64.0 * (1 << 20);  // of user data; 16 shards of 4 MiB
constexpr Seconds step_length = 10 * minute;       // in which upload is shared out
constexpr Seconds look_again = 30 * minute;        // for a rebuild that had to wait
constexpr Seconds newcomer_within = 7 * day, newcomer_within_after_masses = 30 * day;
constexpr double threatened_share = 0.01, calm_share = 0.001;  // of the stripes
constexpr unsigned calm_epochs_wanted = 2;
constexpr Turns turns;

double per_second(double share_per, double period) {
  return share_per >= 1 ? 1 : -std::log(1 - share_per) / period;
}

bool endangered(Danger danger) { return danger == Danger::urgent || danger == Danger::lost; }

}  // namespace

Simulation::Simulation(const MendScenario& scenario)
    : scenario_(scenario),
      scheme_(scenario.scheme),
      ends_(static_cast<Seconds>(scenario.years * year)),
      chance_(scenario.seed * 2 + 1),
      nature_(scenario.seed * 2),
      versions_(scenario.stripes, 1),
      dangers_(scenario.stripes, Danger::none),
      queued_(scenario.stripes, false),
      stripes_(scenario.stripes, scheme_.k, scheme_.n, [this](std::uint32_t stripe) { judge(stripe); }),
      shard_bytes_(stripe_bytes / scheme_.k),
      live_(scenario.stripes) {
  SPATTER_ASSERT(scenario.servers >= scheme_.n && scenario.stripes > 0 && scenario.fill > 0);
  const double shards = 1.0 * scheme_.n * scenario.stripes;
  room_ = static_cast<std::uint32_t>(std::ceil(shards / scenario.servers / scenario.fill));
  stands_for_ = scenario.stored_gb_per_server * 1e9 * scenario.servers / (stripe_bytes * scenario.stripes);
  rate_ = {scenario.machines.always_mbit * 1e6 / 8, scenario.machines.home_mbit * 1e6 / 8};
  for (std::uint32_t i = 0; i < scenario.servers; ++i) {
    const double place = (i + 0.5) / scenario.servers;
    const MachineOptions& shares = scenario.machines;
    add_machine(place < shares.always_share                          ? Habit::always
                : place < shares.always_share + shares.evenings_share ? Habit::evenings
                                                                      : Habit::erratic,
                nature_.next_u64());
  }
  write_stripes();
  if (scenario.mass_failure > 0) at(ends_ / 2, Kind::mass);
  at(waiting_time(chance_, per_second(scenario.rot_per_year, year) * shards), Kind::rot);
  if (scheme_.repair_only) at(hour, Kind::epoch);
}

// Time

void Simulation::at(Seconds when, Kind kind, std::uint32_t subject, Seconds detail) {
  if (when < ends_) events_.push({when, event_number_++, kind, subject, detail});
}

void Simulation::run_until(Seconds until) {
  while (!events_.empty() && events_.top().at <= until) {
    const Event event = events_.top();
    events_.pop();
    count_time(event.at);
    ++figures_.events;
    handle(event);
  }
  count_time(std::min(until, ends_));
}

void Simulation::count_time(Seconds until) {
  const auto passed = static_cast<double>(until - now_);
  server_seconds_ += passed * static_cast<double>(members_.size());
  unreadable_seconds_ += passed * (repair_only_ ? stripes_.size() : stripes_.unreadable());
  urgent_seconds_ += passed * urgent_;
  live_seconds_ += passed * live_;
  now_ = until;
}

void Simulation::handle(const Event& event) {
  switch (event.kind) {
    case Kind::change: return changed_presence(event.subject);
    case Kind::leave:
      return leave(event.subject, now_ < mass_failure_ends_ ? newcomer_within_after_masses : newcomer_within);
    case Kind::disk: return fail_disk(event.subject);
    case Kind::join: return join(event.subject);
    case Kind::mass: return fail_masses();
    case Kind::rot: return rot_one();
    case Kind::audit: return audit(event.subject, static_cast<std::uint32_t>(event.detail));
    case Kind::epoch: return epoch();
    case Kind::step:
      if (step_at_ == now_) step();
      return;
    case Kind::grace: {
      Machine& machine = machines_[event.subject];
      if (machine.on() || machine.missed || machine.off_since != event.detail) return;
      machine.missed = true;
      const std::uint32_t stood = stripes_.missed(event.subject);
      if (!machine.gone) figures_.shards_missed += stood;
      return;
    }
  }
}

// Machines

void Simulation::add_machine(Habit habit, std::uint64_t seed) {
  const auto number = static_cast<std::uint32_t>(machines_.size());
  SeededRandom fate(seed);
  const auto id = fate.id<ServerId>();
  const std::uint64_t presence_seed = fate.next_u64();
  machines_.push_back({id, habit, Presence(habit, scenario_.machines, presence_seed, now_), fate, now_});
  members_.push_back(number);
  stripes_.add_server();
  Machine& machine = machines_.back();
  if (machine.on()) on_[machine.uplink()] += 1;
  if (!machine.on()) went_off(number);
  if (machine.presence.next_change() != never) at(machine.presence.next_change(), Kind::change, number);
  const MachineOptions& options = scenario_.machines;
  const Seconds leaves = waiting_time(machine.fate, per_second(options.leave_per_month, month));
  at(now_ + leaves, Kind::leave, number);
  at(now_ + waiting_time(machine.fate, per_second(options.disk_failures_per_year, year)), Kind::disk, number);
}

void Simulation::changed_presence(std::uint32_t server) {
  Machine& machine = machines_[server];
  if (machine.gone) return;
  machine.presence.change();
  at(machine.presence.next_change(), Kind::change, server);
  if (machine.presence.on()) {
    on_[machine.uplink()] += 1;
    machine.missed = false;
    figures_.taken_back += stripes_.came(server);
  } else {
    on_[machine.uplink()] -= 1;
    stripes_.went(server);
    went_off(server);
  }
}

void Simulation::went_off(std::uint32_t server) {
  Machine& machine = machines_[server];
  machine.off_since = now_;
  if (machine.presence.next_change() > now_ + scenario_.grace)
    at(now_ + scenario_.grace, Kind::grace, server, now_);
}

void Simulation::leave(std::uint32_t server, Seconds newcomer_within) {
  Machine& machine = machines_[server];
  if (machine.gone) return;
  const bool on = machine.on();
  machine.gone = true;
  if (on) {
    on_[machine.uplink()] -= 1;
    machine.off_since = now_;
  }
  std::erase(members_, server);
  ++figures_.departures;
  figures_.shards_lost += stripes_.left(server, on);
  at(std::max(now_, machine.off_since + scenario_.grace), Kind::grace, server, machine.off_since);
  if (scenario_.newcomers)
    at(now_ + 1 + static_cast<Seconds>(machine.fate.below(static_cast<std::uint64_t>(newcomer_within))),
       Kind::join, server);
}

void Simulation::join(std::uint32_t after) {
  const Habit habit = machines_[after].habit;
  add_machine(habit, machines_[after].fate.next_u64());
}

void Simulation::fail_masses() {
  mass_failure_ends_ = now_ + hour;
  std::vector<std::uint32_t> all = members_;
  const auto going = static_cast<std::size_t>(scenario_.mass_failure * static_cast<double>(all.size()) + 0.5);
  for (std::size_t i = 0; i < going; ++i) {
    std::swap(all[i], all[i + nature_.below(all.size() - i)]);
    at(now_ + static_cast<Seconds>(nature_.below(hour)), Kind::leave, all[i]);
  }
}

void Simulation::fail_disk(std::uint32_t server) {
  Machine& machine = machines_[server];
  if (machine.gone) return;
  // A copy: giving a stripe up takes its shard from the list.
  for (const Stripes::Number number : std::vector(stripes_.of(server))) {
    if (!stripes_.rot(number, machine.on())) continue;
    ++figures_.shards_lost;
    at(now_ + static_cast<Seconds>(chance_.below(day)), Kind::audit, number, server);
  }
  at(now_ + waiting_time(machine.fate, per_second(scenario_.machines.disk_failures_per_year, year)), Kind::disk,
     server);
}

// Rot and audits

void Simulation::rot_one() {
  const std::uint64_t shards = std::uint64_t{stripes_.size()} * scheme_.n;
  at(now_ + waiting_time(chance_, per_second(scenario_.rot_per_year, year) * static_cast<double>(shards)), Kind::rot);
  const auto number = static_cast<Stripes::Number>(chance_.below(shards));
  const Seconds challenged = now_ + static_cast<Seconds>(chance_.below(day));
  const std::uint32_t holder = stripes_.holder(number);
  if (holder == Stripes::nobody || !stripes_.rot(number, machines_[holder].on())) return;
  ++figures_.shards_lost;
  at(challenged, Kind::audit, number, holder);
}

void Simulation::audit(Stripes::Number shard, std::uint32_t holder) {
  if (stripes_.holder(shard) != holder || stripes_.good(shard) || machines_[holder].gone) return;
  if (!machines_[holder].on()) return at(now_ + hour, Kind::audit, shard, holder);  // the next epoch's
  stripes_.found(shard);
}

// Stripes

void Simulation::write_stripes() {
  for (std::uint32_t stripe = 0; stripe < stripes_.size(); ++stripe) {
    ids_.push_back(chance_.id<StripeId>());
    const auto holders = draw(stripe, scheme_.n, members_);
    SPATTER_ASSERT(holders.size() == scheme_.n);
    for (unsigned index = 0; index < scheme_.n; ++index)
      stripes_.put(stripe, index, holders[index], machines_[holders[index]].on());
  }
}

/// Who holds nothing of the stripe yet and has room, in the order of the product's draw. With a server
/// for each person, equal room and more servers than shards, that is all that `place` does.
std::vector<std::uint32_t> Simulation::draw(std::uint32_t stripe, std::size_t count,
                                            const std::vector<std::uint32_t>& from) const {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> order;
  for (const std::uint32_t server : from)
    if (has_room(server) && !stripes_.holds(stripe, server))
      order.emplace_back(rendezvous_distance(ids_[stripe], machines_[server].id, 1), server);
  count = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end());
  std::vector<std::uint32_t> drawn;
  for (std::size_t i = 0; i < count; ++i) drawn.push_back(order[i].second);
  return drawn;
}

void Simulation::judge(std::uint32_t stripe) {
  const Stripes::Stripe& state = stripes_[stripe];
  if (state.lost) return;
  const Danger before = dangers_[stripe], danger = scheme_.danger(state.standing);
  if (state.good < scheme_.k) {
    if (endangered(before)) --urgent_;
    --live_;
    ++figures_.stripes_lost;
    if (now_ < mass_failure_ends_) ++figures_.stripes_lost_in_mass_failure;
    return stripes_.give_up(stripe);
  }
  dangers_[stripe] = danger;
  urgent_ = urgent_ + endangered(danger) - endangered(before);
  if (state.standing <= scheme_.repair_at && !queued_[stripe]) queue_repair(stripe);
}

// Repair

/// The first of the coordinators that is on begins when those before it have had their turns.
void Simulation::queue_repair(std::uint32_t stripe) {
  std::vector<ServerId> holders, present;
  for (unsigned index = 0; index < scheme_.n; ++index) {
    const Stripes::Shard& shard = stripes_.shard(stripe, index);
    if (!shard.standing) continue;
    const Machine& machine = machines_[shard.holder];
    holders.push_back(machine.id);
    if (machine.on()) present.push_back(machine.id);
  }
  const auto order = coordinators(ids_[stripe], versions_[stripe], holders);
  std::size_t place = 0;
  while (place < order.size() && std::ranges::find(present, order[place]) == present.end()) ++place;
  const auto wait = std::chrono::duration_cast<std::chrono::seconds>(turns.wait(place, false));
  queued_[stripe] = true;
  jobs_.push_back({stripe, now_ + wait.count()});
  plan_step(jobs_.back().ready_at + step_length);
}

void Simulation::plan_step(Seconds when) {
  if (when >= step_at_) return;
  step_at_ = when;
  at(when, Kind::step);
}

/// What was uploaded since the last step, most endangered stripes first.
void Simulation::step() {
  step_at_ = never;
  PerClass upload;
  for (std::size_t i = 0; i < uplink_classes; ++i) upload[i] = on_[i] * rate_[i] * step_length;
  pools_.refill(upload, repair_only_ ? 1 : scenario_.dial);
  open_.clear();
  for (const std::uint32_t server : members_)
    if (machines_[server].on() && has_room(server)) open_.push_back(server);
  std::ranges::sort(jobs_, {}, [&](const Job& job) { return std::pair(stripes_[job.stripe].standing, job.stripe); });
  // Completing a job may queue its stripe anew.
  std::vector<Job> jobs = std::exchange(jobs_, {});
  for (Job& job : jobs)
    if (job.ready_at > now_ || !advance(job)) jobs_.push_back(job);
  Seconds next = never;
  for (const Job& job : jobs_) next = std::min(next, std::max(job.ready_at, now_ + step_length));
  plan_step(next);
}

/// True when the job is over, one way or the other.
bool Simulation::advance(Job& job) {
  const Stripes::Stripe& stripe = stripes_[job.stripe];
  if (stripe.lost || (job.planned == 0 && stripe.standing > scheme_.repair_at)) {
    queued_[job.stripe] = false;
    return true;
  }
  PerClass on{}, rate{}, wanted{};
  for (unsigned index = 0; index < scheme_.n; ++index) {
    const Stripes::Shard& shard = stripes_.shard(job.stripe, index);
    if (!shard.good || !machines_[shard.holder].on()) continue;
    const std::size_t uplink = machines_[shard.holder].uplink();
    on[uplink] += 1;
    if (job.fetched[index]) continue;
    job.fetched.set(index);
    job.fetched_from[uplink] += 1;
  }
  const PerClass& sources = scenario_.gather ? job.fetched_from : on;
  if (stripe.reachable == 0 || sources[0] + sources[1] < scheme_.k || (job.planned == 0 && !begin(job))) {
    job.ready_at = now_ + look_again;
    return false;
  }
  for (std::size_t i = 0; i < uplink_classes; ++i) rate[i] = rate_[i] / shard_bytes_;
  const Flow flow = flow_of(sources, rate, scheme_.fetched, job.planned);
  for (std::size_t i = 0; i < uplink_classes; ++i) wanted[i] = flow.shards[i] * shard_bytes_ * stands_for_;
  const bool urgent = endangered(scheme_.danger(stripe.standing));
  const double dial = urgent || repair_only_ ? 1 : scenario_.dial;
  const double most = std::min(job.left, step_length * dial / flow.seconds);
  job.left -= pools_.take(wanted, most, urgent);
  if (job.left > 1e-9) return false;
  complete(job);
  return true;
}

/// A rebuild must at least lift the stripe out of its class: otherwise it waits for room.
bool Simulation::begin(Job& job) {
  const Stripes::Stripe& stripe = stripes_[job.stripe];
  const auto places = static_cast<unsigned>(std::ranges::count_if(open_, [&](std::uint32_t server) {
    return has_room(server) && !stripes_.holds(job.stripe, server);
  }));
  const unsigned planned = std::min(scheme_.n - stripe.standing, places);
  const unsigned reached = stripe.standing + planned;
  const bool urgent = endangered(scheme_.danger(stripe.standing));
  if (planned == 0 || (urgent ? endangered(scheme_.danger(reached)) : reached <= scheme_.repair_at)) return false;
  job.planned = planned;
  return true;
}

void Simulation::complete(const Job& job) {
  std::vector<unsigned> missing, away;
  for (unsigned index = 0; index < scheme_.n; ++index) {
    const Stripes::Shard& shard = stripes_.shard(job.stripe, index);
    if (!shard.standing) (shard.holder == Stripes::nobody ? missing : away).push_back(index);
  }
  missing.insert(missing.end(), away.begin(), away.end());
  const auto holders = draw(job.stripe, std::min<std::size_t>(missing.size(), job.planned), open_);
  for (std::size_t i = 0; i < holders.size(); ++i) stripes_.put(job.stripe, missing[i], holders[i], true);
  figures_.repair_bytes += shard_bytes_ * static_cast<double>(scheme_.fetched + holders.size());
  figures_.shards_rebuilt += holders.size();
  ++figures_.rebuilds;
  ++versions_[job.stripe];
  queued_[job.stripe] = false;
  judge(job.stripe);
}

/// Repair-only, as the drawn reporters would have it.
void Simulation::epoch() {
  at(now_ + hour, Kind::epoch);
  const double share = live_ > 0 ? static_cast<double>(urgent_) / live_ : 0;
  if (repair_only_) {
    ++figures_.repair_only_hours;
    calm_epochs_ = share < calm_share ? calm_epochs_ + 1 : 0;
    if (calm_epochs_ == calm_epochs_wanted) repair_only_ = false;
  } else if (share > threatened_share) {
    repair_only_ = true;
    calm_epochs_ = 0;
    ++figures_.repair_only_times;
  }
}

MendFigures Simulation::figures() const {
  MendFigures figures = figures_;
  figures.server_years = server_seconds_ / year;
  figures.user_gb_months = live_seconds_ * stripe_bytes / 1e9 / month;
  figures.repair_bytes_per_stored_gb_month =
      figures.user_gb_months > 0 ? figures.repair_bytes / figures.user_gb_months : 0;
  figures.read_availability =
      now_ > 0 ? 1 - unreadable_seconds_ / static_cast<double>(now_) / stripes_.size() : 1;
  figures.urgent_stripe_hours = urgent_seconds_ / hour;
  double shards = 0;
  for (const std::uint32_t server : members_) {
    figures.held_by[static_cast<std::size_t>(machines_[server].habit)] += stripes_.held(server);
    shards += stripes_.held(server);
  }
  if (shards > 0)
    for (double& share : figures.held_by) share /= shards;
  return figures;
}

MendFigures run_mend(const MendScenario& scenario) {
  Simulation simulation(scenario);
  simulation.run_until(static_cast<Seconds>(scenario.years * year));
  return simulation.figures();
}

}  // namespace spatter::sim::mend
