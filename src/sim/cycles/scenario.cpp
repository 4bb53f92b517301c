#include "scenario.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <unordered_map>

#include "base/random.h"
#include "compare.h"
#include "cycles/ledger.h"
#include "ledger_model.h"

namespace spatter::sim::cycles {
namespace {

using namespace spatter::cycles;

struct Person {
  PersonId id;
  std::vector<std::size_t> servers;
  bool lies_as_witness = false;
  bool denies = false;
};

struct Server {
  Server(SigningKey made, std::size_t owner) : key(std::move(made)), id(server_id(key.public_key())), person(owner) {}
  SigningKey key;
  ServerId id;
  std::size_t person;
  ChainHead head;
  WallMs clock_off = 0;       ///< within some minutes
  bool lying_clock = false;
  WallMs clock_lie = 0;       ///< on top, for now
  bool dead = false;
  double refuses = 0;
  std::uint32_t share_ppm = 0;
  Fuel speed = 0;             ///< really, with all cores
};

class Run {
 public:
  explicit Run(const CyclesScenario& scenario)
      : scenario_(scenario), random_(scenario.seed), rules_{.founded_ms = 1'700'000'000'000, .month_epochs = scenario.month_epochs},
        network_(random_.id<NetworkId>()), ledger_(network_, rules_) {
    make_persons();
    std::vector<std::size_t> person_of;
    for (const Server& server : servers_) person_of.push_back(server.person);
    model_.emplace(rules_, person_of, persons_.size());
  }

  CyclesFigures run() {
    const std::uint64_t asking = scenario_.months * rules_.month_epochs;
    end_ = asking + rules_.settle_epochs + 3;
    for (std::uint64_t epoch = 0; epoch < end_; ++epoch) {
      now_ = std::max(now_, rules_.start_of(epoch));
      for (; !late_.empty() && late_.begin()->first <= now_; late_.erase(late_.begin())) take(late_.begin()->second);
      ledger_.close_until(epoch > 0 ? epoch - 1 : 0);
      if (epoch < asking) plan(epoch);
      const WallMs next = rules_.start_of(epoch + 1);
      while (!events_.empty() && events_.begin()->first < next) {
        auto event = events_.extract(events_.begin());
        now_ = event.key();
        event.mapped()();
      }
    }
    for (const auto& [when, bytes] : late_) take(bytes);
    ledger_.close_until(end_);
    model_->run(end_);
    finish();
    return std::move(figures_);
  }

 private:
  bool chance(double share) { return random_.unit() < share; }
  WallMs between(WallMs least, WallMs most) { return least + static_cast<WallMs>(random_.below(static_cast<std::uint64_t>(most - least + 1))); }
  WallMs epochs(double count) const { return static_cast<WallMs>(count * static_cast<double>(rules_.epoch_ms)); }
  WallMs clock(const Server& server) const { return now_ + server.clock_off + server.clock_lie; }
  void at(WallMs when, std::function<void()> what) { events_.emplace(std::max(when, now_), std::move(what)); }

  void make_persons();
  void plan(std::uint64_t epoch);
  void start_pledges(std::uint64_t epoch);
  void change_pledge(std::size_t server);
  void replay_some();
  void make_fork(std::size_t server);

  void ask(std::size_t asker, std::size_t worker, Fuel fuel, bool best_effort);
  void respond(std::size_t lease);
  void deliver(std::size_t lease);
  void received(std::size_t lease);
  void dispute(std::size_t lease, Verdict::Finding finding);

  /// The next entry in a server's chain.
  MadeEntry say(std::size_t server, const What& what, WallMs cause_ms) {
    Server& maker = servers_[server];
    auto made = make_entry(maker.key, network_, persons_[maker.person].id, maker.head, what, clock(maker), cause_ms);
    maker.head = {made.entry.number, made.entry.id, made.entry.made_ms};
    return made;
  }
  /// Whether `by` takes it from its maker, by its clock; then everybody gets it.
  bool post(const MadeEntry& made, std::size_t by) {
    if (!check_dated(rules_, made.entry.made_ms, clock(servers_[by]))) {
      ++figures_.misdated;
      return false;
    }
    records_.push_back(made.record.SerializeAsString());
    if (chance(0.0004)) {  // gets to the others late
      ++figures_.late;
      const auto wait = static_cast<double>(1 + random_.below(60));
      late_.emplace(now_ + epochs(wait), records_.back());
    } else {
      take(records_.back());
    }
    return true;
  }
  void take(const std::string& bytes) {
    auto entry = read_entry(as_bytes(bytes), network_);
    if (!entry) return problem(fmt::format("an entry of our own was refused: {}", entry.error().message));
    const auto added = ledger_.add(std::move(*entry));
    if (!added) problem(added.error().message);
  }
  void problem(std::string text) {
    if (figures_.problems.size() < 50) figures_.problems.push_back(std::move(text));
  }
  std::size_t any_server() { return random_.below(servers_.size()); }
  std::optional<std::size_t> live_server_of(const PersonId& person) const {
    for (const std::size_t server : persons_[number_of_.at(person)].servers)
      if (!servers_[server].dead) return server;
    return {};
  }
  void finish();

  struct Case {
    std::size_t asker, worker, model;
    Fuel fuel;
    bool best_effort, thought_promised = false;
    EntryId id;
    Entry entry;
    WallMs answered_ms = 0;
    MadeEntry delivery;
  };

  CyclesScenario scenario_;
  SeededRandom random_;
  LedgerRules rules_;
  NetworkId network_;
  Ledger ledger_;
  std::optional<LedgerModel> model_;
  CyclesFigures figures_;
  std::vector<Person> persons_;
  std::vector<Server> servers_;  ///< by id
  std::map<PersonId, std::size_t> number_of_;
  std::vector<Case> cases_;
  std::vector<std::string> records_;
  std::multimap<WallMs, std::function<void()>> events_;
  std::multimap<WallMs, std::string> late_;  ///< entries that the others get then
  WallMs now_ = 0;
  std::uint64_t end_ = 0;
};

void Run::make_persons() {
  while (servers_.size() < scenario_.servers) {
    Person person{random_.id<PersonId>(), {}, chance(scenario_.lying_witnesses), chance(0.2)};
    const std::size_t left = scenario_.servers - servers_.size();
    for (std::size_t count = std::min<std::size_t>(left, 1 + random_.below(4)); count > 0; --count) {
      Server server(SigningKey::generate(random_), persons_.size());
      server.clock_off = between(-10 * 60'000, 10 * 60'000);
      server.lying_clock = chance(scenario_.lying_clocks);
      server.refuses = chance(0.3) ? scenario_.dishonest_refusals * 10 / 3 : 0;
      server.speed = 1'000'000 + random_.below(9'000'000);
      servers_.push_back(std::move(server));
    }
    number_of_[person.id] = persons_.size();
    persons_.push_back(std::move(person));
  }
  std::ranges::sort(servers_, {}, &Server::id);
  for (std::size_t i = 0; i < servers_.size(); ++i) persons_[servers_[i].person].servers.push_back(i);
  figures_.persons = persons_.size();
}

/// What will happen in an epoch, besides what follows from what happened before.
void Run::plan(std::uint64_t epoch) {
  const WallMs begin = rules_.start_of(epoch), end = rules_.start_of(epoch + 1) - 1;
  const auto some_time = [&] { return between(begin, end); };
  for (Server& server : servers_)
    if (server.lying_clock) server.clock_lie = chance(0.3) ? epochs(4 * random_.unit() * (chance(0.5) ? 1 : -1)) : 0;
  start_pledges(epoch);
  const auto some_pair = [this](std::size_t& asker, std::size_t& worker) {
    do {
      asker = any_server();
      worker = any_server();
    } while (servers_[asker].person == servers_[worker].person);
  };
  // Now and then a burst, always across a month's end.
  const bool last = rules_.begins_month(epoch + 1);
  for (std::size_t burst = last ? servers_.size() / 4 : chance(0.1); burst > 0; --burst) {
    ++figures_.bursts;
    std::size_t asker, worker;
    some_pair(asker, worker);
    const WallMs when = last ? between(end - epochs(0.3), end) : some_time();
    for (std::size_t i = 0; i < 12; ++i) {
      at(when + static_cast<WallMs>(i * 10), [this, worker] {
        const std::size_t by = any_server();
        if (servers_[by].person != servers_[worker].person) ask(by, worker, 1 + random_.below(servers_[worker].speed * 1500), false);
      });
    }
  }
  for (auto asks = static_cast<std::size_t>(scenario_.asks_per_epoch * 2 * random_.unit()); asks > 0; --asks) {
    std::size_t asker, worker;
    some_pair(asker, worker);
    at(some_time(), [this, asker, worker] {
      const Fuel most = servers_[worker].speed * 1200;  // in the order of an epoch's promise
      ask(asker, worker, 1 + random_.below(most), chance(0.12));
    });
  }
  if (chance(0.3)) at(some_time(), [this] { change_pledge(any_server()); });
  const double deaths = scenario_.deaths_per_month * static_cast<double>(servers_.size()) / static_cast<double>(rules_.month_epochs);
  if (chance(deaths)) {
    at(some_time(), [this] {
      Server& server = servers_[any_server()];
      if (!server.dead) ++figures_.deaths;
      server.dead = true;
    });
  }
  if (chance(0.2)) at(some_time(), [this] { replay_some(); });
  if (chance(4.0 / static_cast<double>(rules_.month_epochs))) at(some_time(), [this] { make_fork(any_server()); });
}

/// Most pledge in the first day, the others some time later: newcomers.
void Run::start_pledges(std::uint64_t epoch) {
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    const std::uint64_t begins = i % 5 == 0 ? (i * 37) % (2 * rules_.month_epochs) : i % std::min<std::uint64_t>(24, rules_.month_epochs);
    if (begins == epoch) at(now_ + between(0, epochs(0.9)), [this, i] { change_pledge(i); });
  }
}

void Run::change_pledge(std::size_t index) {
  Server& server = servers_[index];
  if (server.dead) return;
  const std::uint64_t month = rules_.month_of(rules_.epoch_of(now_));
  Pledge pledge{static_cast<std::uint32_t>(50'000 + random_.below(500'000)), chance(0.2) ? month + random_.below(3) : 0};
  if (chance(0.05)) pledge.share_ppm = 0;
  const auto made = say(index, pledge, 0);
  if (!post(made, any_server())) return;
  server.share_ppm = pledge.share_ppm;
  model_->pledge(index, made.entry.made_ms, made.entry.number, pledge.share_ppm, pledge.from_month);
}

void Run::ask(std::size_t asker, std::size_t worker, Fuel fuel, bool best_effort) {
  if (servers_[asker].dead) return;
  const auto made = say(asker, Lease{servers_[worker].id, fuel, best_effort, random_.id<Digest>()}, 0);
  if (servers_[worker].dead) {
    // It is the witnesses who look at the lease then.
    if (!post(made, any_server())) return;
  } else if (!post(made, worker)) {
    ++figures_.clocks_differ;
    return;
  }
  ++figures_.leases;
  figures_.best_effort += best_effort;
  const std::size_t model = model_->lease(asker, made.entry.made_ms, made.entry.number, worker, fuel, best_effort);
  cases_.push_back({asker, worker, model, fuel, best_effort, false, made.entry.id, made.entry});
  const std::size_t lease = cases_.size() - 1;
  if (servers_[worker].dead) {
    ++figures_.silent;
    at(now_ + epochs(0.5), [this, lease] { dispute(lease, Verdict::Finding::not_given); });
    return;
  }
  at(now_ + between(1, 2000), [this, lease] { respond(lease); });
}

void Run::respond(std::size_t lease) {
  Case& it = cases_[lease];
  Server& worker = servers_[it.worker];
  if (worker.dead) return;
  const auto decision = ledger_.decide(it.entry, clock(worker));
  Answer answer{it.id, decision.kind};
  if (answer.kind == Answer::Kind::accepted && chance(worker.refuses)) {
    ++figures_.dishonest_refusals;
    const auto blame = [this, lease] { dispute(lease, Verdict::Finding::not_given); };
    if (chance(0.4)) {
      ++figures_.silent;
      at(now_ + epochs(0.5), blame);
      return;
    }
    answer.kind = Answer::Kind::time_taken;
    at(now_ + 1000, blame);
  }
  const auto made = say(it.worker, answer, it.entry.made_ms);
  if (!post(made, it.asker)) return;
  model_->answer(it.model, made.entry.made_ms, made.entry.number, answer.kind == Answer::Kind::accepted);
  it.answered_ms = now_;
  switch (answer.kind) {
    case Answer::Kind::accepted: ++figures_.accepted; break;
    case Answer::Kind::not_entitled: ++figures_.not_entitled; break;
    case Answer::Kind::time_taken: ++figures_.time_taken; break;
    default: break;
  }
  if (answer.kind != Answer::Kind::accepted) return;
  it.thought_promised = decision.promised;
  // Most are done well before the deadline, some too late, some not at all.
  const double within = chance(scenario_.failures) ? 12 : 4.5;
  if (!chance(scenario_.failures)) at(now_ + epochs(within * random_.unit()), [this, lease] { deliver(lease); });
  at(now_ + epochs(static_cast<double>(rules_.deadline_epochs) + 1), [this, lease] {
    if (cases_[lease].delivery.entry.number == 0) dispute(lease, Verdict::Finding::not_given);
  });
}

void Run::deliver(std::size_t lease) {
  Case& it = cases_[lease];
  if (servers_[it.worker].dead) return;
  const Fuel fuel = chance(0.03) ? 1 + random_.below(2 * it.fuel) : it.fuel;  // less than asked, or more
  it.delivery = say(it.worker, Delivery{it.id, fuel, random_.id<Digest>()}, it.entry.made_ms);
  if (!post(it.delivery, it.asker)) return;
  model_->delivery(it.model, it.delivery.entry.made_ms, fuel);
  at(now_ + between(10, 5000), [this, lease] { received(lease); });
}

void Run::received(std::size_t lease) {
  Case& it = cases_[lease];
  const Person& asker = persons_[servers_[it.asker].person];
  if (chance(scenario_.false_accusations)) {
    ++figures_.false_accusations;
    dispute(lease, Verdict::Finding::not_given);
  }
  if (servers_[it.asker].dead || (asker.denies && chance(scenario_.denials * 5))) {
    ++figures_.denials;
    dispute(lease, Verdict::Finding::delivered);
    return;
  }
  const Fuel fuel = std::get<Delivery>(it.delivery.entry.what).fuel;
  const Server& worker = servers_[it.worker];
  const std::uint64_t share = std::max<std::uint32_t>(worker.share_ppm, 50'000);
  const double noise = 0.8 + 0.4 * random_.unit();
  const double seconds = static_cast<double>(fuel) / (static_cast<double>(worker.speed) * static_cast<double>(share) / 1e6) * noise;
  const Receipt receipt{it.delivery.entry.id, chance(0.02) ? 1 + random_.below(fuel) : fuel,
                        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(seconds * 1000), 1, elapsed_ms_max)};
  const int times = chance(0.05) ? 2 : 1;  // doubled: another entry for the same delivery
  for (int i = 0; i < times; ++i) {
    const auto made = say(it.asker, receipt, it.delivery.entry.made_ms);
    if (!post(made, it.worker)) continue;
    model_->receipt(it.model, made.entry.made_ms, made.entry.number, receipt.fuel, receipt.elapsed_ms);
    figures_.doubled += i > 0;
  }
}

/// The drawn are asked, and some who were not drawn say something as well.
void Run::dispute(std::size_t lease, Verdict::Finding finding) {
  const Case it = cases_[lease];
  const bool by_asker = finding == Verdict::Finding::not_given;
  const Server& drawer = servers_[by_asker ? it.asker : it.worker];
  if (drawer.dead || !ledger_.find(it.id)) return;
  const auto draw = make_draw(drawer.key, witness_draw(network_, rules_.epoch_of(it.entry.made_ms), it.entry.server, servers_[it.worker].id));
  const auto drawn = ledger_.witnesses(it.id, draw.proof);
  if (!drawn) return problem(fmt::format("a draw of our own was refused: {}", drawn.error().message));
  std::vector<std::pair<PersonId, bool>> asked;
  for (const PersonId& person : *drawn) asked.emplace_back(person, true);
  const std::size_t another = random_.below(persons_.size());
  if (chance(0.3) && std::ranges::find(*drawn, persons_[another].id) == drawn->end()) asked.emplace_back(persons_[another].id, false);
  const bool delivered = it.delivery.entry.number > 0;
  const bool truth = by_asker ? !delivered : delivered;
  for (const auto& [person, counts] : asked) {
    const std::size_t number = number_of_.at(person);
    const auto server = live_server_of(person);
    if (!server || (persons_[number].lies_as_witness ? truth : !truth)) continue;  // has nothing to say
    const auto made = say(*server, Verdict{it.id, finding, draw.proof.proof}, it.entry.made_ms);
    if (!post(made, by_asker ? it.asker : it.worker)) continue;
    ++figures_.verdicts;
    if (counts) model_->vote(it.model, made.entry.made_ms, number, !by_asker);
    else ++figures_.not_drawn;
  }
}

void Run::replay_some() {
  for (int i = 0; i < 20 && !records_.empty(); ++i) {
    const std::size_t recent = std::min<std::size_t>(records_.size(), chance(0.5) ? 200 : records_.size());
    take(records_[records_.size() - 1 - random_.below(recent)]);
    ++figures_.replays;
  }
}

/// Tells two servers two things under one number, and is found out.
void Run::make_fork(std::size_t index) {
  Server& server = servers_[index];
  if (server.dead || server.lying_clock) return;
  const std::size_t one = any_server(), other = any_server(), finder = any_server();
  if (servers_[one].person == server.person || servers_[other].person == server.person || servers_[finder].dead ||
      servers_[one].lying_clock || servers_[other].lying_clock || servers_[finder].lying_clock)
    return;
  const ChainHead head = server.head;
  MadeEntry first, second;
  for (auto* made : {&first, &second}) {
    server.head = head;
    const std::size_t worker = made == &first ? one : other;
    *made = say(index, Lease{servers_[worker].id, 1000, false, random_.id<Digest>()}, 0);
    if (!check_dated(rules_, made->entry.made_ms, clock(servers_[worker]))) return;
    records_.push_back(made->record.SerializeAsString());
    take(records_.back());
    ++figures_.leases;
    const std::size_t model = model_->lease(index, made->entry.made_ms, made->entry.number, worker, 1000, false);
    cases_.push_back({index, worker, model, 1000, false, false, made->entry.id, made->entry});
    const std::size_t lease = cases_.size() - 1;
    at(now_ + 500, [this, lease] { respond(lease); });
  }
  const auto proof = spatter::cycles::make_fork(first.record.entry(), second.record.entry(), network_);
  if (!proof) return problem(fmt::format("a fork that proves nothing: {}", proof.error().message));
  const auto made = say(finder, *proof, std::max(first.entry.made_ms, second.entry.made_ms));
  if (!post(made, any_server())) return;
  ++figures_.forks;
  model_->fork(index, made.entry.made_ms);
}

void Run::finish() {
  figures_.entries = records_.size();
  std::vector<PersonId> ids;
  for (const Person& person : persons_) ids.push_back(person.id);
  compare_with_model(ledger_, *model_, ids, scenario_.months, figures_);
  check_windows(*model_, rules_, figures_);
  // Whoever gets all of it at once, in another order and some of it twice, comes to the same.
  std::vector<const std::string*> shuffled;
  for (const std::string& record : records_) shuffled.push_back(&record);
  for (std::size_t i = 0; i < records_.size() / 10; ++i) shuffled.push_back(&records_[random_.below(records_.size())]);
  for (std::size_t i = shuffled.size(); i > 1; --i) std::swap(shuffled[i - 1], shuffled[random_.below(i)]);
  Ledger again(network_, rules_);
  for (const std::string* record : shuffled) {
    auto entry = read_entry(as_bytes(*record), network_);
    if (!entry || !again.add(std::move(*entry))) problem("an entry is refused the second time");
  }
  again.close_until(end_);
  for (const PersonId& person : ids)
    if (again.months(person) != ledger_.months(person)) problem(fmt::format("person {}: another order, another ledger", person));
  const auto taken = model_->took_promise();
  figures_.over_month_ends = model_->over_month_ends();
  for (const Case& it : cases_) figures_.judged_otherwise += it.thought_promised && !taken[it.model];
}

}  // namespace

CyclesFigures run_cycles(const CyclesScenario& scenario) { return Run(scenario).run(); }

}  // namespace spatter::sim::cycles
