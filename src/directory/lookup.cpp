#include "directory/lookup.h"

#include <algorithm>

namespace spatter {
namespace {

/// A walk has arrived at a server that is among so many nearest, by the network's size.
constexpr double arrival_servers = 16;
constexpr std::size_t known_told_max = 32;
constexpr std::size_t slow_max = 3;  ///< questions of one walk that nobody answers in time
constexpr std::size_t persons_in_region = 2;  ///< servers of one person that count there

}  // namespace

Lookup::Lookup(Want want, const Position& target, ServerId own, std::vector<ContactPtr> start,
               double network_size, bool everybody, LookupOptions options,
               std::vector<ContactPtr> reserve)
    : want_(want), target_(target), own_(own), network_size_(std::max(network_size, 1.0)),
      everybody_(everybody), options_(options), walks_(options.paths),
      reserve_(std::move(reserve)), places_wanted_(options.places) {
  nodes_.reserve(128);
  deal(start);
  begin_round();
  if (everybody_) stage_ = Stage::closing;
}

// What is known ------------------------------------------------------------------------------

/// The walk that a contact's person or prefix belongs to; if none yet, `otherwise` from now on.
int Lookup::walk_of(const ContactPtr& contact, int otherwise) {
  for (const auto& [person, walk] : walk_of_person_)
    if (person == contact->person) return walk;
  int walk = otherwise;
  if (!contact->prefix.is_none()) {
    const auto at = std::ranges::find(walk_of_prefix_, contact->prefix,
                                      &std::pair<NetworkPrefix, int>::first);
    if (at == walk_of_prefix_.end()) walk_of_prefix_.emplace_back(contact->prefix, walk);
    else walk = at->second;
  }
  walk_of_person_.emplace_back(contact->person, walk);
  return walk;
}

std::optional<std::size_t> Lookup::find_node(const ContactPtr& contact,
                                             const Distance& away) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].distance.words[0] == away.words[0] && nodes_[i].contact->id == contact->id)
      return i;
  return std::nullopt;
}

Lookup::Node& Lookup::add_node(const ContactPtr& contact, const Distance& away) {
  Node node;
  node.contact = contact;
  node.distance = away;
  const auto at = std::ranges::lower_bound(
      order_, away, {}, [&](std::size_t i) -> const Distance& { return nodes_[i].distance; });
  order_.insert(at, nodes_.size());
  nodes_.push_back(std::move(node));
  return nodes_.back();
}

/// What an answer told.
void Lookup::take(const ContactPtr& contact, std::size_t source) {
  if (contact->id == own_) return;
  const Distance away = distance(contact->position, target_);
  auto at = find_node(contact, away);
  if (!at) {
    if (nodes_.size() == options_.nodes_max) return;
    at = nodes_.size();
    Node& node = add_node(contact, away);
    node.source = static_cast<int>(source);
    node.depth = static_cast<std::uint16_t>(nodes_[source].depth + 1);
    // A contact that another walk's person or prefix owns is for the closing alone.
    if (const int path = nodes_[source].path; path >= 0 && walk_of(contact, path) == path)
      node.path = path;
  }
  nodes_[source].told.push_back(static_cast<std::uint32_t>(*at));
}

std::vector<std::size_t> Lookup::place_nodes(std::size_t count) const {
  std::vector<std::size_t> standing;
  std::vector<const Contact*> contacts;
  for (const std::size_t i : order_) {
    if (nodes_[i].state == State::failed) continue;
    standing.push_back(i);
    contacts.push_back(nodes_[i].contact.get());
  }
  auto places = choose_place_indices(contacts, count, everybody_);
  for (std::size_t& place : places) place = standing[place];
  return places;
}

// Asking -------------------------------------------------------------------------------------

void Lookup::ask(std::size_t index, TimePoint now, std::vector<Query>& out) {
  Node& node = nodes_[index];
  node.state = State::asked;
  node.asked = now;
  node.nodes_then = nodes_.size();
  ++asked_;
  ++under_way_;
  Query query;
  query.number = index;
  query.to = node.contact;
  query.contacts = options_.contacts_per_reply;
  std::size_t farthest = index;
  for (std::size_t i = 0; i < order_.size() && query.known.size() < known_told_max; ++i) {
    farthest = order_[i];
    if (farthest != index) query.known.push_back(contact_tag(nodes_[farthest].contact->id));
  }
  std::ranges::sort(query.known);
  // What is farther than this leads nowhere.
  const double region = std::min(0x1p64 * 1.5 * options_.region_servers / network_size_, 0x1p63);
  query.within = std::max(node.distance.words[0], static_cast<std::uint64_t>(region));
  if (!node.walking && query.known.size() == known_told_max)
    query.within = std::min(query.within, nodes_[farthest].distance.words[0]);
  out.push_back(std::move(query));
}

bool Lookup::is_slow(const Node& node, TimePoint now) const {
  return now - node.asked >= options_.hedge_after;
}

/// How many branches were taken already wherever the way to this node forks.
unsigned Lookup::turns(const Node& node) const {
  unsigned sum = 0;
  int teller = node.source;
  for (; teller >= 0; teller = nodes_[static_cast<std::size_t>(teller)].source)
    sum += nodes_[static_cast<std::size_t>(teller)].followed;
  return sum;
}

/// The next branch of a walk.
std::optional<std::size_t> Lookup::pick(int path) const {
  std::optional<std::size_t> best;
  unsigned best_turns = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.path != path || node.state != State::fresh) continue;
    if (node.source >= 0 && node.distance.words[0] >
                                nodes_[static_cast<std::size_t>(node.source)].distance.words[0] / 2)
      continue;
    const unsigned taken = node.source >= 0 ? turns(node)
                                            : walks_[static_cast<std::size_t>(path)].followed_table;
    // Of the own contacts the first that was dealt, else the nearest.
    if (best && (taken > best_turns ||
                 (taken == best_turns && (node.source < 0 ? nodes_[*best].source < 0
                                                          : nodes_[*best].distance < node.distance))))
      continue;
    best = i;
    best_turns = taken;
  }
  return best;
}

/// Whether every walk has come to its end for now.
bool Lookup::walk(TimePoint now, std::vector<Query>& out) {
  bool ended = true;
  for (Walk& walk : walks_) walk.waiting = walk.slow = 0;
  for (const Node& node : nodes_) {
    if (node.state != State::asked || !node.walking) continue;
    Walk& walk = walks_[static_cast<std::size_t>(node.path)];
    ++walk.waiting;
    if (is_slow(node, now)) ++walk.slow;
  }
  for (std::size_t path = 0; path < walks_.size(); ++path) {
    Walk& walk = walks_[path];
    if (walk.waiting > 0) ended = false;
    if (walk.waiting > walk.slow || walk.slow >= slow_max || walk.arrived || walk.budget == 0 ||
        asked_ >= options_.queries_max)
      continue;
    const auto next = pick(static_cast<int>(path));
    if (!next) continue;
    --walk.budget;
    if (nodes_[*next].source >= 0) ++nodes_[static_cast<std::size_t>(nodes_[*next].source)].followed;
    else ++walk.followed_table;
    nodes_[*next].walking = true;
    ask(*next, now, out);
    ended = false;
  }
  return ended;
}

void Lookup::close(TimePoint now, std::vector<Query>& out) {
  for (;;) {
    const auto places = place_nodes(places_wanted_);
    // The nearest half first, when that may do.
    const bool half = want_ == Want::record && round_ == 0 && places.size() > options_.agree;
    if (half && agreed({places.begin(), places.begin() + static_cast<std::ptrdiff_t>(options_.agree)}) &&
        is_dense(options_.density_agreed)) {
      dense_ = is_dense(options_.density_least);
      finish(places);
      return;
    }
    bool first_half_ended = true, waiting = false;
    for (std::size_t i = 0; i < places.size(); ++i) {
      Node& node = nodes_[places[i]];
      if (half && i == options_.agree && first_half_ended == false) break;
      if (node.state == State::fresh && asked_ < options_.queries_max) ask(places[i], now, out);
      if (node.state == State::asked) {
        waiting = true;
        if (i < options_.agree && !is_slow(node, now)) first_half_ended = false;
      }
    }
    if (waiting) return;
    judge(places);
    if (stage_ != Stage::closing) return;
  }
}

std::vector<Lookup::Query> Lookup::next(TimePoint now) {
  std::vector<Query> out;
  // A stage that ends without anything to wait for leads on at once.
  for (bool moved = true; moved && stage_ != Stage::done;) {
    moved = false;
    if (stage_ == Stage::walking && walk(now, out)) {
      stage_ = Stage::closing;
      moved = true;
    }
    if (stage_ == Stage::closing) {
      close(now, out);
      moved = stage_ == Stage::walking;
    }
  }
  return out;
}

std::optional<TimePoint> Lookup::wake_at(TimePoint now) const {
  std::optional<TimePoint> when;
  for (const Node& node : nodes_) {
    if (node.state != State::asked || is_slow(node, now)) continue;
    const TimePoint slow = node.asked + options_.hedge_after;
    if (!when || slow < *when) when = slow;
  }
  return when;
}

void Lookup::answered(std::size_t number, const DirectoryReply& reply, TimePoint) {
  if (stage_ == Stage::done || number >= nodes_.size() || nodes_[number].state != State::asked)
    return;
  --under_way_;
  nodes_[number].state = State::answered;
  nodes_[number].record = reply.record;
  if (reply.record && (!record_ || reply.record->facts.version > record_->facts.version)) {
    record_ = reply.record;
    hops_ = nodes_[number].depth;
  }
  const int path = nodes_[number].path;
  // Later rounds go on: that somebody near answered was not enough before.
  if (nodes_[number].walking && round_ == 0 &&
      nodes_[number].distance.share() * network_size_ <= arrival_servers)
    walks_[static_cast<std::size_t>(path)].arrived = true;
  std::size_t taken = 0;
  for (const ContactPtr& contact : reply.contacts) {
    if (++taken > options_.contacts_per_reply) break;
    take(contact, number);
  }
}

void Lookup::failed(std::size_t number) {
  if (stage_ == Stage::done || number >= nodes_.size() || nodes_[number].state != State::asked)
    return;
  --under_way_;
  nodes_[number].state = State::failed;
}

// Judging ------------------------------------------------------------------------------------

bool Lookup::agreed(const std::vector<std::size_t>& places) const {
  return record_ && std::ranges::all_of(places, [&](std::size_t i) {
           return nodes_[i].record && nodes_[i].record->facts.version == record_->facts.version;
         });
}

bool Lookup::is_dense(double least) const {
  if (everybody_ || network_size_ <= options_.region_servers) return true;
  const double radius = options_.region_servers / network_size_;
  std::vector<std::pair<PersonId, std::size_t>> persons;
  std::size_t found = 0;
  for (const Node& node : nodes_) {
    if (node.state == State::failed || node.distance.share() > radius) continue;
    const auto at = std::ranges::find(persons, node.contact->person,
                                      &std::pair<PersonId, std::size_t>::first);
    if (at == persons.end()) persons.emplace_back(node.contact->person, 1);
    else if (++at->second > persons_in_region) continue;
    ++found;
  }
  return static_cast<double>(found) >= least * options_.region_servers;
}

/// Own contacts, to the walks in turn. One that was told of already goes on as it is.
void Lookup::deal(const std::vector<ContactPtr>& contacts) {
  for (const ContactPtr& contact : contacts) {
    const Distance away = distance(contact->position, target_);
    if (contact->id == own_ || nodes_.size() == options_.nodes_max || find_node(contact, away)) continue;
    Node& node = add_node(contact, away);
    node.path = walk_of(contact, turn_);
    if (node.path == turn_) turn_ = (turn_ + 1) % static_cast<int>(options_.paths);
  }
}

void Lookup::begin_round() {
  if (round_ >= options_.reserve_from) {
    deal(reserve_);
    reserve_.clear();
  }
  for (Walk& walk : walks_) {
    walk.budget = round_ == 0 ? options_.walk_first : round_ < options_.reserve_from ? options_.walk_more : options_.walk_reserve;
    walk.arrived = false;
  }
  stage_ = Stage::walking;
}

void Lookup::judge(const std::vector<std::size_t>& places) {
  dense_ = is_dense(options_.density_least);
  std::size_t having = 0;
  for (const std::size_t i : places)
    if (record_ && nodes_[i].record && nodes_[i].record->facts.version == record_->facts.version)
      ++having;
  const bool believed = want_ == Want::servers ? dense_
                        : (having >= options_.agree && is_dense(options_.density_agreed)) || (having > 0 && dense_) ||
                              (having == 0 && dense_ && round_ > 0);
  const bool spent = asked_ >= options_.queries_max;
  if (believed || everybody_ || spent) return finish(places);
  if (round_ + 1 < options_.rounds) {
    ++round_;
    begin_round();
    return;
  }
  // The last resort: everybody in the region, not only the places.
  const auto region = static_cast<std::size_t>(options_.region_servers);
  if (places_wanted_ < region) {
    places_wanted_ = region;
    return;
  }
  finish(places);
}

void Lookup::finish(const std::vector<std::size_t>& places) {
  stage_ = Stage::done;
  for (const std::size_t i : places) {
    const Node& node = nodes_[i];
    places_.push_back(node.contact);
    if (node.state == State::answered && record_ &&
        (!node.record || node.record->facts.version < record_->facts.version))
      lacking_.push_back(node.contact);
  }
}

std::vector<ContactPtr> Lookup::region() const {
  const double radius = options_.region_servers / network_size_;
  std::vector<ContactPtr> result;
  for (const std::size_t i : order_)
    if (nodes_[i].state != State::failed &&
        (everybody_ || nodes_[i].distance.share() <= radius))
      result.push_back(nodes_[i].contact);
  return result;
}

std::vector<ContactPtr> Lookup::answering() const {
  std::vector<ContactPtr> result;
  for (const Node& node : nodes_)
    if (node.state == State::answered) result.push_back(node.contact);
  return result;
}

std::vector<ContactPtr> Lookup::failing() const {
  std::vector<ContactPtr> result;
  for (const Node& node : nodes_)
    if (node.state == State::failed) result.push_back(node.contact);
  return result;
}

std::vector<ContactPtr> Lookup::told() const {
  std::vector<ContactPtr> result;
  for (const Node& node : nodes_)
    if (node.state == State::fresh && node.source != from_table) result.push_back(node.contact);
  return result;
}

/// Two ways of being caught: telling of servers that do not answer, and, near the target, telling of
/// far ones while nearer ones, which any neighbour knows, are left out.
std::vector<ContactPtr> Lookup::liars() const {
  constexpr std::size_t tried_least = 4, omitted_least = 6;
  const double near = 8 / network_size_;
  std::vector<ContactPtr> result;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.state != State::answered) continue;
    std::size_t tried = 0, dead = 0;
    Distance farthest;
    for (const std::uint32_t told : node.told) {
      tried += nodes_[told].state == State::answered || nodes_[told].state == State::failed;
      dead += nodes_[told].state == State::failed;
      farthest = std::max(farthest, nodes_[told].distance);
    }
    bool lied = tried >= tried_least && dead * 4 >= tried * 3;
    if (!lied && !everybody_ && node.distance.share() <= near) {
      const bool full = node.told.size() >= options_.contacts_per_reply;
      std::size_t omitted = 0;
      for (std::size_t other = node.nodes_then; other < nodes_.size(); ++other) {
        if (nodes_[other].state != State::answered || nodes_[other].distance.share() > near) continue;
        if (full && nodes_[other].distance >= farthest) continue;
        if (std::ranges::find(node.told, other) == node.told.end()) ++omitted;
      }
      lied = omitted >= omitted_least;
    }
    if (lied) result.push_back(node.contact);
  }
  return result;
}

}  // namespace spatter
