#include "scenario.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "directory/place_rule.h"
#include "plain_peer.h"

namespace spatter::sim::directory {

using namespace std::chrono_literals;

namespace {

constexpr TimePoint began{1h};
constexpr Duration growth = 40min;
constexpr Duration calm = 20min;  // then servers begin to come and go
constexpr Duration measure_from = 80min, measure_to = 120min;
constexpr double offline_share = 0.25;  // of the honest ones, on top: who is away just now
constexpr std::size_t first_contacts = 5;

struct Owned {
  RecordKey key;
  RecordPtr newest;  // whose publication has ended
};

class Scenario {
 public:
  explicit Scenario(const DirectoryScenario& options)
      : options_(options), world_(options.seed), random_(world_.random()) {}
  DirectoryFigures run();

 private:
  void make_servers();
  void make_attackers(std::uint32_t servers, const std::vector<PersonId>& bad);
  std::uint32_t make_server(const PersonId& person, NetworkPrefix prefix, bool hostile,
                            std::optional<Position> position);
  void bring_up(std::uint32_t index);
  void replace_one();
  void schedule_churn();
  void publish(std::uint32_t index, std::uint64_t version);
  void look_up_one();
  void inspect();
  std::optional<std::uint32_t> any_online(bool honest);

  DirectoryScenario options_;
  World world_;
  Random& random_;
  Colluders colluders_;
  std::vector<std::uint32_t> honest_, hostile_, coming_, away_;
  std::vector<std::uint32_t> up_;            // all that are up, in any order
  std::vector<std::uint32_t> place_in_up_;
  std::vector<Owned> owned_;                 // by server
  std::unordered_map<PersonId, unsigned> numbers_;  // each person's next place number
  PersonId sybil_person_;
  DirectoryFigures figures_;
  std::vector<std::size_t> hops_, queries_;
  std::size_t rounds_ = 0;
};

NetworkPrefix some_prefix(Random& random, std::uint64_t among) {
  return {std::uint64_t{4} << 56 | (random.below(among) + 1)};
}

std::uint32_t Scenario::make_server(const PersonId& person, NetworkPrefix prefix, bool hostile,
                                    std::optional<Position> position) {
  auto contact = std::make_shared<Contact>();
  contact->id = random_.id<ServerId>();
  contact->person = person;
  contact->position = position ? *position : random_.id<Position>();
  contact->place_number = numbers_[person]++;
  contact->prefix = prefix;
  contact->version = 1;
  contact->addresses = {{"203.0.113.7", 4840}};
  contact->record.assign(server_record_bytes, '\0');
  contact->record.shrink_to_fit();
  const auto index = world_.add(contact, hostile);
  if (hostile) colluders_.add(contact);
  else colluders_.add_bystander(contact);
  (hostile ? hostile_ : honest_).push_back(index);
  return index;
}

void Scenario::make_servers() {
  const bool eclipse = options_.attack == Attack::eclipse;
  const auto hostile = eclipse ? options_.attackers
                               : static_cast<std::uint32_t>(options_.servers * options_.hostile);
  const std::uint32_t honest_up = options_.servers - hostile - options_.sybils;
  const auto honest = static_cast<std::uint32_t>(honest_up * (1 + offline_share));
  for (std::uint32_t i = 0; i < honest; ++i)
    make_server(random_.id<PersonId>(), some_prefix(random_, 1 << 20), false, {});
  std::uint32_t persons = options_.attacker_persons;
  if (!eclipse)
    persons = std::max<std::uint32_t>(
        1, static_cast<std::uint32_t>(honest * options_.bad_persons / (1 - options_.bad_persons)));
  std::vector<PersonId> bad;
  for (std::uint32_t i = 0; i < persons; ++i) bad.push_back(random_.id<PersonId>());
  make_attackers(hostile, bad);
  sybil_person_ = random_.id<PersonId>();
  for (std::uint32_t i = 0; i < options_.sybils; ++i)
    make_server(sybil_person_, some_prefix(random_, 1 << 12), false, {});
  colluders_.prepare();
  owned_.resize(world_.size());
  place_in_up_.resize(world_.size());
  for (std::uint32_t i = 0; i < world_.size(); ++i) {
    ServerState& server = world_.server(i);
    const std::uint64_t seed = random_.next_u64();
    Attack attack = options_.attack;
    if (attack == Attack::mix)
      attack = std::array{Attack::drop, Attack::lie, Attack::collude}[i % 3];
    if (options_.plain && server.hostile)
      server.peer = std::make_unique<HostilePeer<PlainPeer>>(world_, i, seed, colluders_, attack);
    else if (options_.plain)
      server.peer = std::make_unique<PlainPeer>(world_, i, seed);
    else if (server.hostile)
      server.peer = std::make_unique<HostilePeer<SecurePeer>>(world_, i, seed, colluders_, attack);
    else
      server.peer = std::make_unique<SecurePeer>(world_, i, seed);
    owned_[i].key = {RecordType::server, Digest{server.contact->id.bytes}};
  }
  if (eclipse) figures_.attackers = static_cast<std::uint32_t>(hostile_.size());
  // In what order they come.
  for (std::uint32_t i = 0; i < world_.size(); ++i) coming_.push_back(i);
  for (std::size_t i = coming_.size(); i > 1; --i) std::swap(coming_[i - 1], coming_[random_.below(i)]);
  std::size_t extra = world_.size() - options_.servers;
  for (std::size_t i = 0; i < coming_.size() && extra > 0;) {
    const auto index = coming_[i];
    if (world_.server(index).hostile || world_.server(index).contact->person == sybil_person_ ||
        index == honest_.front()) {
      ++i;
      continue;
    }
    away_.push_back(index);
    coming_.erase(coming_.begin() + static_cast<std::ptrdiff_t>(i));
    --extra;
  }
}

/// Which of an attacker's numbers those who work with him draw alone: there he stands where he likes, for he
/// makes keys until their draws lie there.
std::vector<unsigned> chosen_numbers(const PersonId& person, std::span<const PersonId> all, const std::set<PersonId>& bad) {
  std::vector<unsigned> result;
  for (unsigned number = 0; number < place_numbers_max; ++number) {
    const auto named = place_drawers(person, number, all, place_drawers_valid);
    const auto friends = std::ranges::count_if(named, [&](const PersonId& one) { return bad.contains(one); });
    if (static_cast<std::size_t>(friends) >= place_draws_needed(other_persons(person, all))) result.push_back(number);
  }
  return result;
}

/// The hostile servers, dealt to the bad persons in turn. Where positions are plain, keys are ground until
/// they lie next to the record; with the product's places, only whoever has friends for drawers can do that.
void Scenario::make_attackers(std::uint32_t servers, const std::vector<PersonId>& bad) {
  const Position victim = record_position(
      {RecordType::server, Digest{world_.server(honest_.front()).contact->id.bytes}});
  const auto prefixes = 4 * std::uint64_t{bad.size()};
  const auto next_to_victim = [&](std::size_t bytes) {
    Position position = random_.id<Position>();
    std::copy_n(victim.bytes.begin(), bytes, position.bytes.begin());
    return position;
  };
  if (options_.attack != Attack::eclipse || options_.plain || !options_.grind) {
    for (std::uint32_t i = 0; i < servers; ++i) {
      std::optional<Position> position;
      if (options_.attack == Attack::eclipse && options_.plain) position = next_to_victim(4);
      make_server(bad[i % bad.size()], some_prefix(random_, prefixes), true, position);
    }
    return;
  }
  std::vector<PersonId> all = bad;
  for (const auto index : honest_) all.push_back(world_.server(index).contact->person);
  const std::set<PersonId> friends(bad.begin(), bad.end());
  std::vector<std::vector<unsigned>> chosen;
  for (const PersonId& person : bad) {
    chosen.push_back(chosen_numbers(person, all, friends));
    figures_.ground_places += !chosen.back().empty();
  }
  // First the places that he can choose; no person has more places than numbers.
  for (std::uint32_t i = 0; i < servers; ++i) {
    const std::size_t which = i % bad.size(), round = i / bad.size();
    if (round >= place_numbers_max) break;
    std::optional<Position> position;
    if (round < chosen[which].size()) position = next_to_victim(8);
    figures_.ground_servers += position.has_value();
    make_server(bad[which], some_prefix(random_, prefixes), true, position);
  }
}

std::optional<std::uint32_t> Scenario::any_online(bool honest) {
  if (up_.empty()) return std::nullopt;
  for (int tries = 0; tries < 1000; ++tries) {
    const auto index = up_[random_.below(up_.size())];
    if (!honest || !world_.server(index).hostile) return index;
  }
  return std::nullopt;
}

void Scenario::bring_up(std::uint32_t index) {
  std::vector<ContactPtr> first;
  for (std::size_t i = 0; i < first_contacts; ++i)
    if (const auto one = any_online(false)) first.push_back(world_.server(*one).contact);
  ServerState& server = world_.server(index);
  // Who invites is a friend, and looks round for the newcomer.
  const auto friendly = any_online(true);
  if (friendly) first.push_back(world_.server(*friendly).contact);
  server.online = true;
  const auto session = ++server.sessions;
  place_in_up_[index] = static_cast<std::uint32_t>(up_.size());
  up_.push_back(index);
  if (session > 1 || !friendly) return server.peer->come(first);
  auto came = std::make_shared<bool>(false);
  const auto come = [this, index, session, first, came](const std::vector<ContactPtr>& found) {
    ServerState& newcomer = world_.server(index);
    if (std::exchange(*came, true) || newcomer.sessions != session || !newcomer.online) return;
    auto all = first;
    for (const ContactPtr& contact : found)
      if (contact->id != newcomer.contact->id) all.push_back(contact);
    newcomer.peer->come(all);
  };
  world_.server(*friendly).peer->look_for(server.contact->position, come);
  world_.after(10s, [come] { come({}); });  // the friend may have gone meanwhile
}

/// One honest server goes, another comes.
void Scenario::replace_one() {
  const auto going = any_online(true);
  if (!going || away_.empty() || *going == honest_.front()) return;
  ServerState& server = world_.server(*going);
  server.online = false;
  server.peer->go();
  up_[place_in_up_[*going]] = up_.back();
  place_in_up_[up_.back()] = place_in_up_[*going];
  up_.pop_back();
  const std::size_t which = random_.below(away_.size());
  const auto coming = std::exchange(away_[which], *going);
  bring_up(coming);
}

void Scenario::schedule_churn() {
  const double honest_up = static_cast<double>(
      std::ranges::count_if(up_, [&](auto i) { return !world_.server(i).hostile; }));
  const double per_hour = honest_up * options_.churn_per_hour;
  if (per_hour <= 0) return;
  const double hours = -std::log(1 - random_.unit()) / per_hour;
  world_.after(std::chrono::nanoseconds(static_cast<std::int64_t>(hours * 3.6e12)), [this] {
    replace_one();
    schedule_churn();
  });
}

void Scenario::publish(std::uint32_t index, std::uint64_t version) {
  const ServerState& server = world_.server(index);
  if (!server.online || (version > 1 && !owned_[index].newest)) return;
  auto record = std::make_shared<Record>();
  record->key = owned_[index].key;
  record->position = record_position(record->key);
  record->facts = {version, world_.wall() + 24 * 3600 * 1000, server.contact->person};
  record->value.assign(server_record_bytes, '\0');
  server.peer->publish(record, [this, index, record] { owned_[index].newest = record; });
}

void Scenario::look_up_one() {
  const auto reader = any_online(true);
  std::uint32_t subject = honest_.front();
  while (options_.attack != Attack::eclipse) {
    subject = honest_[random_.below(honest_.size())];
    if (owned_[subject].newest) break;
  }
  if (!reader || !owned_[subject].newest) return;
  ++figures_.lookups;  // one that never ends, for its server goes away, counts for nothing
  const auto session = world_.server(*reader).sessions;
  auto ended = std::make_shared<bool>(false);
  world_.server(*reader).peer->look_up(owned_[subject].key, [this, subject, ended](const Peer::Found& found) {
    *ended = true;
    const std::uint64_t newest = owned_[subject].newest->facts.version;
    if (!found.record) ++figures_.missed;
    else if (found.record->facts.version < newest) ++figures_.stale;
    else ++figures_.found;
    if (found.record) hops_.push_back(found.hops);
    queries_.push_back(found.queries);
    rounds_ += found.rounds;
    const auto of_sybils = std::ranges::count(found.places, sybil_person_,
                                              [](const ContactPtr& place) { return place->person; });
    figures_.sybil_places_max =
        std::max(figures_.sybil_places_max, static_cast<std::uint32_t>(of_sybils));
  });
  world_.after(5min, [this, reader, session, ended] {
    if (*ended) return;
    SPATTER_ASSERT(world_.server(*reader).sessions != session || !world_.server(*reader).online);
    --figures_.lookups;
  });
}

template <class T>
T quantile(std::vector<T> values, double share) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())))];
}

void Scenario::inspect() {
  std::vector<double> sizes, minutes;
  double contacts = 0, hostile = 0, gone = 0, memory = 0, honest = 0;
  std::unordered_map<RecordKey, std::uint32_t> holders;
  for (const auto index : up_) {
    const ServerState& server = world_.server(index);
    if (server.hostile) continue;
    const Peer::State state = server.peer->state();
    ++honest;
    contacts += static_cast<double>(state.contacts);
    hostile += static_cast<double>(state.hostile_contacts);
    gone += static_cast<double>(state.gone_contacts);
    memory += state.memory_bytes;
    sizes.push_back(state.network_size);
    minutes.push_back(state.check_minutes);
    for (const RecordPtr& record : state.records) {
      const auto subject = world_.index_of(ServerId{record->key.subject.bytes});
      if (owned_[subject].newest && record->facts.version == owned_[subject].newest->facts.version)
        ++holders[record->key];
    }
  }
  figures_.contacts_per_server = contacts / honest;
  figures_.hostile_contacts = hostile / contacts;
  figures_.gone_contacts = gone / contacts;
  figures_.memory_per_server = memory / honest;
  const auto& some = *world_.server(honest_.front()).contact;
  figures_.memory_per_record = static_cast<double>(some.memory_bytes());
  figures_.network_size_p5 = quantile(sizes, 0.05);
  figures_.network_size_p50 = quantile(sizes, 0.5);
  figures_.network_size_p95 = quantile(sizes, 0.95);
  figures_.check_minutes_p50 = quantile(minutes, 0.5);
  std::uint64_t all = 0, keys = 0;
  figures_.holders_least = ~std::uint32_t{0};
  for (const auto index : honest_) {
    if (!owned_[index].newest) continue;
    const auto at = holders.find(owned_[index].key);
    const std::uint32_t count = at == holders.end() ? 0 : at->second;
    all += count;
    ++keys;
    figures_.holders_least = std::min(figures_.holders_least, count);
  }
  figures_.holders_mean = static_cast<double>(all) / static_cast<double>(keys);
}

DirectoryFigures Scenario::run() {
  make_servers();
  const auto spread = [&](TimePoint from, TimePoint to, std::size_t count, auto what) {
    const auto span = static_cast<std::uint64_t>((to - from).count());
    for (std::size_t i = 0; i < count; ++i)
      world_.at(from + Duration(static_cast<std::int64_t>(random_.below(span))), [what, i] { what(i); });
  };
  for (std::size_t i = 0; i < coming_.size(); ++i)
    world_.at(began + growth * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(coming_.size()),
              [this, i] { bring_up(coming_[i]); });
  world_.at(began + calm, [this] { schedule_churn(); });
  spread(began + 45min, began + 60min, honest_.size(), [this](std::size_t i) { publish(honest_[i], 1); });
  spread(began + 65min, began + 75min, honest_.size(), [this](std::size_t i) { publish(honest_[i], 2); });
  spread(began + measure_from, began + measure_to, options_.lookups, [this](std::size_t) { look_up_one(); });

  world_.run_until(began + measure_from);
  const double upkeep = world_.bytes(Purpose::upkeep), republish = world_.bytes(Purpose::republish);
  const double lookups = world_.bytes(Purpose::lookup);
  world_.run_until(began + measure_to);
  // Every byte is sent by one server and received by another.
  const double server_seconds =
      std::chrono::duration<double>(measure_to - measure_from).count() * options_.servers / 2;
  figures_.upkeep_bytes_s = (world_.bytes(Purpose::upkeep) - upkeep) / server_seconds;
  figures_.republish_bytes_s = (world_.bytes(Purpose::republish) - republish) / server_seconds;
  figures_.bytes_per_server_s = figures_.upkeep_bytes_s + figures_.republish_bytes_s;
  inspect();
  world_.run_until(began + measure_to + 6min);
  figures_.success = static_cast<double>(figures_.found) / std::max<double>(1, figures_.lookups);
  figures_.bytes_per_lookup = (world_.bytes(Purpose::lookup) - lookups) / std::max<double>(1, options_.lookups);
  figures_.hops_mean = static_cast<double>(std::accumulate(hops_.begin(), hops_.end(), std::size_t{0})) /
                       static_cast<double>(std::max<std::size_t>(1, hops_.size()));
  figures_.hops_p50 = quantile(hops_, 0.5);
  figures_.hops_p99 = quantile(hops_, 0.99);
  figures_.queries_p50 = quantile(queries_, 0.5);
  figures_.queries_p99 = quantile(queries_, 0.99);
  const double ended = static_cast<double>(std::max<std::size_t>(1, queries_.size()));
  figures_.queries_mean =
      static_cast<double>(std::accumulate(queries_.begin(), queries_.end(), std::size_t{0})) / ended;
  figures_.rounds_mean = static_cast<double>(rounds_) / ended;
  figures_.questions = world_.asks();
  return figures_;
}

}  // namespace

DirectoryFigures run_directory(const DirectoryScenario& scenario) { return Scenario(scenario).run(); }

Result<Attack> parse_attack(const std::string& text) {
  if (text == "mix") return Attack::mix;
  if (text == "drop") return Attack::drop;
  if (text == "lie") return Attack::lie;
  if (text == "collude") return Attack::collude;
  if (text == "eclipse") return Attack::eclipse;
  return fail(Errc::invalid, "'{}' is no attack: mix, drop, lie, collude or eclipse", text);
}

}  // namespace spatter::sim::directory
