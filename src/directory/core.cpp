#include "directory/core.h"

#include <algorithm>
#include <array>
#include <map>

namespace spatter {

DirectoryCore::DirectoryCore(ContactPtr own, Random& chance, DirectoryOptions options)
    : own_(std::move(own)), chance_(chance), options_(options),
      table_(own_->id, own_->position, chance.next_u64(), options.table),
      store_(own_->position, options.store), cache_(options.cache),
      introductions_(options.introduction_burst, options.introductions_per_s),
      looks_(options.look_burst, options.looks_per_s),
      server_puts_(options.put_burst, options.puts_per_s),
      person_puts_(options.person_put_burst, options.person_puts_per_s) {}

void DirectoryCore::set_own(ContactPtr own) {
  SPATTER_ASSERT(own->id == own_->id && own->position == own_->position);
  own_ = std::move(own);
}

// Answering ----------------------------------------------------------------------------------

Result<void> DirectoryCore::allow_introduction(const ServerId& caller, TimePoint now) {
  if (introductions_.take(caller, 1, now)) return {};
  return fail(Errc::busy, "server {} shows its record more often than is allowed", caller);
}

Result<void> DirectoryCore::allow_look(const PersonId& person, TimePoint now) {
  if (looks_.take(person, 1, now)) return {};
  return fail(Errc::busy, "the servers of person {} have been looked round for often enough", person);
}

Result<void> DirectoryCore::allow_put(const ServerId& caller, const PersonId& person,
                                      std::size_t records, TimePoint now) {
  const auto count = static_cast<double>(records);
  if (!server_puts_.take(caller, count, now))
    return fail(Errc::busy, "server {} sends directory records faster than is allowed", caller);
  if (!person_puts_.take(person, count, now))
    return fail(Errc::busy, "the servers of person {} send directory records faster than is allowed",
                person);
  return {};
}

/// Not when more than enough servers that we know are nearer.
bool DirectoryCore::is_ours_to_keep(const Position& position) const {
  const auto nearer = table_.nearest(position, options_.keep_within);
  return nearer.size() < options_.keep_within ||
         distance(own_->position, position) < distance(nearer.back()->position, position);
}

DirectoryReply DirectoryCore::answer(const DirectoryRequest& request, TimePoint now, WallMs wall) {
  DirectoryReply reply;
  if (request.from) table_.met(request.from, now);
  switch (request.kind) {
    case DirectoryRequest::Kind::ping: break;
    case DirectoryRequest::Kind::get:
      reply.record = store_.get(request.key, wall);
      if (!reply.record) reply.record = cache_.get(request.key, now, wall);
      [[fallthrough]];
    case DirectoryRequest::Kind::find:
      if (request.contacts > 0)
        reply.contacts =
            table_.nearest_but(request.target, std::min(request.contacts, contacts_per_reply_max),
                               request.known, request.within);
      break;
    case DirectoryRequest::Kind::put:
      for (const RecordPtr& record : request.records) {
        if (!is_ours_to_keep(record->position)) continue;
        const auto kept = store_.put(record, now, wall, chance_.next_u64());
        if (kept || kept.error().code == Errc::exists) ++reply.stored;
      }
      break;
  }
  return reply;
}

// Upkeep -------------------------------------------------------------------------------------

std::optional<DirectoryCore::Ask> DirectoryCore::next_check(TimePoint now) {
  constexpr std::size_t contacts_of_siblings = 6, contacts_of_slots = 3, known_siblings = 12;
  auto check = table_.next_check(now, chance_.next_u64());
  if (!check) return std::nullopt;
  Ask ask{check->contact, {}};
  ask.request.kind = DirectoryRequest::Kind::find;
  ask.request.from = own_;
  ask.request.target = check->target;
  ask.request.contacts = check->sibling ? contacts_of_siblings : contacts_of_slots;
  if (check->sibling) ask.request.known.push_back(contact_tag(own_->id));
  for (const ContactPtr& contact :
       table_.nearest(check->target, check->sibling ? known_siblings : contacts_of_slots))
    ask.request.known.push_back(contact_tag(contact->id));
  std::ranges::sort(ask.request.known);
  return ask;
}

void DirectoryCore::check_ended(const Ask& ask, const DirectoryReply* reply, TimePoint now) {
  if (!reply) return table_.failed(ask.to, now);
  table_.answered(ask.to, now);
  for (const ContactPtr& contact : reply->contacts) table_.heard(contact, now);
}

std::vector<DirectoryCore::Ask> DirectoryCore::republish(TimePoint now, WallMs wall) {
  constexpr std::size_t looked_at = 4 * replicas;
  std::map<ServerId, Ask> asks;
  const bool everybody = table_.holds_everybody();
  // Where servers vanish, records have to be passed on as often as contacts have to be checked.
  store_.set_republish_every(table_.check_interval());
  for (const RecordPtr& record : store_.take_due(now, wall, chance_.next_u64())) {
    auto sorted = table_.nearest(record->position, looked_at);
    const auto here = std::ranges::upper_bound(
        sorted, distance(own_->position, record->position), {},
        [&](const ContactPtr& one) { return distance(one->position, record->position); });
    const bool far = here == sorted.end() && sorted.size() == looked_at;
    if (!far) sorted.insert(here, own_);
    bool ours = false;
    for (const ContactPtr& place : choose_places(sorted, replicas, everybody)) {
      if (place == own_) {
        ours = true;
        continue;
      }
      auto& ask = asks.try_emplace(place->id, Ask{place, {}}).first->second;
      if (ask.request.records.size() == records_per_put_max) continue;
      ask.request.kind = DirectoryRequest::Kind::put;
      ask.request.records.push_back(record);
    }
    if (!ours) store_.release(record->key);
  }
  std::vector<Ask> result;
  for (auto& [id, ask] : asks) result.push_back(std::move(ask));
  return result;
}

void DirectoryCore::put_ended(const Ask& ask, bool answered, TimePoint now) {
  if (answered) table_.answered(ask.to, now, true);
  else table_.failed(ask.to, now, true);
}

// Looking up ---------------------------------------------------------------------------------

/// Own contacts to ask first: each walk begins with a near one, then has a far one, then near ones.
DirectoryCore::Start DirectoryCore::start_for(const Position& target) const {
  Start start{table_.nearest(target, table_.size()), {}};
  const auto [paths, near, far] =
      std::array{options_.lookup.paths, options_.lookup.start_near, options_.lookup.start_far};
  if (start.first.size() <= near + far) return start;
  std::vector<ContactPtr> others(start.first.begin() + static_cast<std::ptrdiff_t>(near), start.first.end());
  start.first.resize(near);
  for (std::size_t i = 0; i < far; ++i) {
    std::swap(others[i], others[i + chance_.below(others.size() - i)]);
    start.first.insert(start.first.begin() + static_cast<std::ptrdiff_t>(std::min(paths, near) + i), others[i]);
  }
  start.reserve.assign(others.begin() + static_cast<std::ptrdiff_t>(far), others.end());
  return start;
}

Lookup DirectoryCore::look_round(const std::vector<ContactPtr>& first, Look look) const {
  auto start = start_for(own_->position);
  start.first.insert(start.first.end(), first.begin(), first.end());
  // What the own table says of the network's size is worth nothing here.
  LookupOptions thorough = options_.lookup;
  // Once it has come to the right neighbours, it stays with them; so later less is enough.
  thorough.rounds = look == Look::arriving ? options_.lookup.reserve_from + 1 : options_.lookup.reserve_from;
  return Lookup(Lookup::Want::servers, own_->position, own_->id, std::move(start.first), size_unknown, false,
                thorough, std::move(start.reserve));
}

Duration DirectoryCore::look_round_every() const {
  return std::max<Duration>(table_.check_interval(), std::chrono::hours(1));
}

Lookup DirectoryCore::find(Lookup::Want want, const Position& target) const {
  auto start = start_for(target);
  return Lookup(want, target, own_->id, std::move(start.first), table_.network_size(), table_.holds_everybody(),
                options_.lookup, std::move(start.reserve));
}

DirectoryRequest DirectoryCore::request_for(const Lookup::Query& query, const Position& target,
                                            const std::optional<RecordKey>& key,
                                            bool introduce) const {
  DirectoryRequest request;
  if (introduce) request.from = own_;
  request.kind = key ? DirectoryRequest::Kind::get : DirectoryRequest::Kind::find;
  request.target = target;
  request.contacts = query.contacts;
  request.within = query.within;
  request.known = query.known;
  if (key) request.key = *key;
  return request;
}

void DirectoryCore::learn(const Lookup& lookup, TimePoint now) {
  for (const ContactPtr& contact : lookup.answering()) table_.answered(contact, now, true);
  for (const ContactPtr& contact : lookup.failing()) table_.failed(contact, now, true);
  for (const ContactPtr& contact : lookup.told()) table_.heard(contact, now);
  for (const ContactPtr& contact : lookup.liars()) table_.lied(contact, now);
  if (lookup.record()) cache_.put(lookup.record(), now);
}

std::vector<ContactPtr> DirectoryCore::found_for(const Lookup& lookup, const Position& position) const {
  auto found = lookup.region();
  const auto away = [&](const ContactPtr& one) { return distance(one->position, position); };
  found.insert(std::ranges::upper_bound(found, away(own_), {}, away), own_);
  if (found.size() > contacts_per_reply_max) found.resize(contacts_per_reply_max);
  return found;
}

/// To the record's places among `sorted` and this server, or to `all` of them.
DirectoryCore::Publication DirectoryCore::publish_to(std::vector<ContactPtr> sorted, bool all,
                                                     const RecordPtr& record) const {
  const auto away = [&](const ContactPtr& one) {
    return distance(one->position, record->position);
  };
  sorted.insert(std::ranges::upper_bound(sorted, away(own_), {}, away), own_);
  const auto chosen = all ? sorted : choose_places(sorted, replicas, table_.holds_everybody());
  Publication result;
  for (const ContactPtr& place : chosen) {
    if (place == own_) {
      result.self = true;
      continue;
    }
    Ask ask{place, {}};
    ask.request.kind = DirectoryRequest::Kind::put;
    ask.request.records.push_back(record);
    result.asks.push_back(std::move(ask));
  }
  return result;
}

DirectoryCore::Publication DirectoryCore::publication(const Lookup& lookup,
                                                      const RecordPtr& record) const {
  // When somebody has left servers out, everybody who was found.
  return publish_to(lookup.dense() ? lookup.places() : lookup.region(), !lookup.dense(), record);
}

std::optional<DirectoryCore::Publication> DirectoryCore::publication_at_once(
    const RecordPtr& record) const {
  if (!table_.holds_everybody()) return std::nullopt;
  return publish_to(table_.nearest(record->position, table_.size()), false, record);
}

std::vector<DirectoryCore::Ask> DirectoryCore::mending(const Lookup& lookup) const {
  std::vector<Ask> asks;
  if (!lookup.record()) return asks;
  for (const ContactPtr& place : lookup.lacking()) {
    Ask ask{place, {}};
    ask.request.kind = DirectoryRequest::Kind::put;
    ask.request.records.push_back(lookup.record());
    asks.push_back(std::move(ask));
  }
  return asks;
}

}  // namespace spatter
