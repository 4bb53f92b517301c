#include "scenario.h"

#include <algorithm>
#include <queue>

#include "base/random.h"

namespace spatter::sim::jobs {
namespace {

constexpr double piece_seconds = 10;
constexpr std::uint32_t check_one_in = 16;

struct Machine {
  JobWorker worker;
  bool cheat = false;
  double speed = 1;
  double free_at = 0;
  double dead_until = 0;
};

struct Event {
  double at = 0;
  std::uint64_t number = 0;
  std::uint32_t piece = 0;
  std::size_t machine = 0;
  bool dies = false;
  bool operator>(const Event& other) const { return std::tie(at, number) > std::tie(other.at, other.number); }
};

Digest result_of(std::uint32_t piece, std::uint64_t flavour) {
  Digest digest;
  std::memcpy(digest.bytes.data(), &piece, sizeof piece);
  std::memcpy(digest.bytes.data() + 8, &flavour, sizeof flavour);
  return digest;
}

class Play {
 public:
  explicit Play(const Scenario& scenario) : scenario_(scenario), random_(scenario.seed) {
    make_machines();
    if (!scenario.trusted) return;
    for (const auto& machine : machines_)
      if (!machine.cheat) trust_.put(machine.worker.server, {10, 0, 10});
  }

  Outcome run() {
    for (unsigned i = 0; i < scenario_.jobs; ++i) run_job(scenario_.pieces / scenario_.jobs);
    outcome_.seconds = now_;
    return outcome_;
  }

 private:
  void make_machines() {
    PersonId person{};
    unsigned left = 0;
    bool cheat = false;
    for (unsigned i = 0; i < scenario_.servers; ++i) {
      if (left == 0) {
        person = random_.id<PersonId>();
        left = 1 + static_cast<unsigned>(random_.below(scenario_.servers_per_person_max));
        cheat = random_.unit() < scenario_.cheats;
      }
      --left;
      Machine machine;
      machine.worker = {random_.id<ServerId>(), person, false, 2};
      machine.cheat = cheat;
      machine.speed = 0.3 + 1.4 * random_.unit();
      machines_.push_back(machine);
    }
    for (std::size_t i = 0; i < machines_.size(); ++i) places_[machines_[i].worker.server] = i;
  }

  std::vector<std::size_t> order(std::uint32_t piece, std::size_t workers) {
    // A shuffle with numbers of its own stands for the draw.
    SeededRandom drawn(scenario_.seed * 1'000'003 + std::uint64_t{piece} * 7919 + job_ * 31);
    std::vector<std::size_t> result(workers);
    for (std::size_t i = 0; i < workers; ++i) result[i] = i;
    for (std::size_t i = workers; i > 1; --i) std::swap(result[i - 1], result[drawn.below(i)]);
    return result;
  }

  std::vector<JobWorker> alive() const {
    std::vector<JobWorker> result;
    for (const auto& machine : machines_)
      if (machine.dead_until <= now_) result.push_back(machine.worker);
    return result;
  }

  void give_out(Dispatcher& dispatcher) {
    for (const auto& one : dispatcher.reveals()) reveal(dispatcher, one.piece, one.worker);
    for (const auto& one : dispatcher.assign()) {
      auto& machine = machines_[places_.at(one.worker)];
      const double seconds = piece_seconds / machine.speed * (0.9 + 0.2 * random_.unit());
      const double begin = std::max(now_, machine.free_at);
      machine.free_at = begin + seconds;
      Event event{machine.free_at, ++events_, one.piece, places_.at(one.worker), random_.unit() < scenario_.deaths};
      if (event.dies) event.at = begin + seconds * random_.unit();
      queue_.push(event);
      if (scenario_.collude && machine.cheat) met_[one.piece].push_back(event.machine);
    }
  }

  Digest result(const Event& event) {
    const auto& machine = machines_[event.machine];
    bool wrong = false;
    if (machine.cheat) {
      const bool may = !scenario_.patient || trust_.is_trusted(machine.worker.server);
      wrong = may && random_.unit() < scenario_.cheat_rate;
      // Two who know of each other need not fear each other.
      if (scenario_.collude && met_[event.piece].size() >= 2) wrong = true;
    }
    if (!wrong) return result_of(event.piece, 0);
    ++outcome_.wrong_computed;
    return result_of(event.piece, scenario_.collude ? 1 : 1 + event.machine);
  }

  void take(Dispatcher& dispatcher, const Event& event) {
    auto& machine = machines_[event.machine];
    const auto server = machine.worker.server;
    if (event.dies || machine.dead_until > now_) {
      dispatcher.failed(event.piece, server, CopyFailure::lost);
      if (event.dies) machine.dead_until = std::max(machine.dead_until, now_ + 10 * piece_seconds);
      machine.free_at = std::max(machine.free_at, machine.dead_until);
      returns_.push_back(machine.dead_until);
      dispatcher.set_workers(alive());
    } else {
      held_[{event.piece, server}] = result(event);
      dispatcher.committed(event.piece, server);
    }
  }

  void reveal(Dispatcher& dispatcher, std::uint32_t piece, const ServerId& who) {
    const auto found = held_.find({piece, who});
    if (found == held_.end()) return;
    dispatcher.revealed(piece, who, found->second, 1);
    held_.erase(found);
  }

  void run_job(std::uint32_t pieces) {
    ++job_;
    met_.clear();
    held_.clear();
    Dispatcher dispatcher(pieces, trust_,
                          {[this](std::uint32_t piece, const std::vector<JobWorker>& workers) {
                             return order(piece, workers.size());
                           },
                           [this](std::uint32_t piece) {
                             return SeededRandom(scenario_.seed * 77 + std::uint64_t{piece} * 13 + job_).below(check_one_in) == 0;
                           }});
    dispatcher.set_workers(alive());
    give_out(dispatcher);
    while (!dispatcher.is_done()) {
      if (queue_.empty()) {
        if (returns_.empty()) break;  // nobody is left
        now_ = *std::ranges::min_element(returns_) + 0.001;
      } else {
        const Event event = queue_.top();
        queue_.pop();
        now_ = std::max(now_, event.at);
        take(dispatcher, event);
      }
      if (std::erase_if(returns_, [&](double when) { return when <= now_; }) > 0) dispatcher.set_workers(alive());
      give_out(dispatcher);
      if (dispatcher.is_done()) dispatcher.review();
    }
    while (!queue_.empty()) queue_.pop();
    for (auto& machine : machines_) machine.free_at = std::min(machine.free_at, now_);
    for (std::uint32_t piece = 0; piece < pieces; ++piece) {
      const auto believed = dispatcher.believed(piece);
      if (!believed) ++outcome_.hopeless;
      else if (believed->result != result_of(piece, 0)) ++outcome_.wrong_accepted;
    }
    outcome_.pieces += pieces;
    outcome_.copies += dispatcher.copies_computed();
    for (const auto& server : dispatcher.caught())
      ++(machines_[places_.at(server)].cheat ? outcome_.caught : outcome_.honest_caught);
  }

  Scenario scenario_;
  SeededRandom random_;
  WorkerTrust trust_;
  std::vector<Machine> machines_;
  std::map<ServerId, std::size_t> places_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
  std::map<std::pair<std::uint32_t, ServerId>, Digest> held_;
  std::map<std::uint32_t, std::vector<std::size_t>> met_;
  std::vector<double> returns_;
  double now_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t job_ = 0;
  Outcome outcome_;
};

}  // namespace

Outcome run(const Scenario& scenario) { return Play(scenario).run(); }

}  // namespace spatter::sim::jobs
