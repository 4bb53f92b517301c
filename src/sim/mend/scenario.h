// `spatter-sim mend`: what years of machines coming, going and failing do to stripes, event by event.
// Not whole servers: a server is its times of being on, its upload and what it holds. The decisions are
// the product's own pure functions: classes of danger, coordinators and their turns, the draw of holders.
//
// Everything follows from the seed, and what happens to the machines does not depend on the scheme.
#pragma once

#include <array>
#include <bitset>
#include <queue>
#include <vector>

#include "base/ids.h"
#include "machines.h"
#include "schemes.h"
#include "stripes.h"
#include "uplinks.h"

namespace spatter::sim::mend {

struct MendScenario {
  Scheme scheme;
  std::uint32_t servers = 1'000;
  double years = 10;
  std::uint64_t seed = 1;
  std::uint32_t stripes = 2'000;        ///< looked at, of all there are
  double stored_gb_per_server = 100;    ///< user data; with `stripes` it says how many one stands for
  double fill = 0.75;                   ///< share of the server halves' room that is used at first
  MachineOptions machines;
  bool newcomers = true;                ///< one for each that leaves, of the same habit
  double rot_per_year = 0.001;          ///< share of shards that rot, unseen until audited
  double mass_failure = 0.4;            ///< share of servers that leave within an hour, half way through
  Seconds grace = day;
  double dial = 0.2;                    ///< share of the upload for rebuilds that are not urgent
  /// A rebuild fetches each shard when its holder is on and keeps it; else k holders must be on at once.
  bool gather = false;
};

struct MendFigures {
  double server_years = 0;
  std::uint32_t stripes_lost = 0;
  std::uint32_t stripes_lost_in_mass_failure = 0;  ///< of these, in its hour
  std::uint64_t shards_lost = 0;      ///< good ones: rotten, on failed disks, or gone with their holder
  std::uint64_t shards_missed = 0;    ///< counted as lost since their holder was away past the grace
  std::uint64_t taken_back = 0;       ///< of those missed, when he came back
  std::uint64_t rebuilds = 0;
  std::uint64_t shards_rebuilt = 0;
  double repair_bytes = 0;
  double user_gb_months = 0;
  double repair_bytes_per_stored_gb_month = 0;
  std::uint32_t repair_only_hours = 0, repair_only_times = 0;
  double read_availability = 0;       ///< of all stripes and all the time
  double urgent_stripe_hours = 0;     ///< fewer than 1.5k standing
  std::array<double, habits> held_by{};  ///< shares of all shards, at the end
  std::uint64_t departures = 0;
  std::uint64_t events = 0;
  bool operator==(const MendFigures&) const = default;
};

class Simulation {
 public:
  explicit Simulation(const MendScenario& scenario);
  Simulation(const Simulation&) = delete;  // its stripes call it

  void run_until(Seconds until);
  /// Up to now.
  MendFigures figures() const;

  Seconds now() const { return now_; }
  const Stripes& stripes() const { return stripes_; }
  bool repair_only() const { return repair_only_; }
  const ServerId& id_of(std::uint32_t server) const { return machines_[server].id; }
  const StripeId& id_of_stripe(std::uint32_t stripe) const { return ids_[stripe]; }
  /// Has a server leave for good, now.
  void leave(std::uint32_t server, Seconds newcomer_within);

 private:
  enum class Kind : std::uint8_t {
    change, grace, leave, disk, join, mass, rot, audit, step, epoch
  };
  struct Event {
    Seconds at;
    std::uint64_t number;
    Kind kind;
    std::uint32_t subject;
    Seconds detail;  ///< grace: since when away; audit: whose shard
    bool operator>(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;
    }
  };
  struct Machine {
    ServerId id;
    Habit habit;
    Presence presence;
    SeededRandom fate;   ///< disk failures, leaving, who comes after
    Seconds joined = 0, off_since = 0;
    bool gone = false, missed = false;
    bool on() const { return !gone && presence.on(); }
    std::size_t uplink() const { return habit == Habit::always ? 0 : 1; }
  };
  struct Job {
    std::uint32_t stripe;
    Seconds ready_at;
    unsigned planned = 0;  ///< shards to be made; 0: not begun
    double left = 1;
    std::bitset<128> fetched{};  ///< indices; only when gathering
    PerClass fetched_from{};     ///< how many of them, by their holders' class
  };

  void at(Seconds when, Kind kind, std::uint32_t subject = 0, Seconds detail = 0);
  void handle(const Event& event);
  void count_time(Seconds until);

  void add_machine(Habit habit, std::uint64_t seed);
  void write_stripes();
  void changed_presence(std::uint32_t server);
  void went_off(std::uint32_t server);
  void fail_disk(std::uint32_t server);
  void join(std::uint32_t after);
  void fail_masses();
  void rot_one();
  void audit(Stripes::Number shard, std::uint32_t holder);

  void judge(std::uint32_t stripe);
  void queue_repair(std::uint32_t stripe);
  void plan_step(Seconds when);
  void step();
  bool advance(Job& job);
  bool begin(Job& job);
  void complete(const Job& job);
  std::vector<std::uint32_t> draw(std::uint32_t stripe, std::size_t count, const std::vector<std::uint32_t>& from) const;
  void epoch();
  bool has_room(std::uint32_t server) const { return stripes_.held(server) < room_; }

  MendScenario scenario_;
  Scheme scheme_;
  Seconds ends_;
  SeededRandom chance_;  // of the stripes: rot and audits
  SeededRandom nature_;  // of the machines
  std::vector<Machine> machines_;
  std::vector<std::uint32_t> members_;  // not gone
  std::vector<StripeId> ids_;
  std::vector<std::uint64_t> versions_;  // of a stripe's holder list
  std::vector<Danger> dangers_;
  std::vector<bool> queued_;
  Stripes stripes_;
  std::uint32_t room_ = 0;     // of a server, in shards
  double shard_bytes_;
  double stands_for_ = 0;      // stripes, one that is looked at
  PerClass rate_{};            // bytes a second of a server
  PerClass on_{};              // servers that are on
  UplinkPools pools_;
  std::vector<Job> jobs_;
  std::vector<std::uint32_t> open_;  // servers that are on and have room, in the present step
  Seconds step_at_ = never;  // the step that is planned

  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::uint64_t event_number_ = 0;
  Seconds now_ = 0;
  Seconds mass_failure_ends_ = 0;
  bool repair_only_ = false;
  unsigned calm_epochs_ = 0;
  std::uint32_t live_ = 0, urgent_ = 0;  // stripes not lost; of these, urgent ones and those that stand too few
  double server_seconds_ = 0, unreadable_seconds_ = 0, urgent_seconds_ = 0, live_seconds_ = 0;
  MendFigures figures_;
};

MendFigures run_mend(const MendScenario& scenario);

}  // namespace spatter::sim::mend
