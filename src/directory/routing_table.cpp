#include "directory/routing_table.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace spatter {
namespace {

constexpr std::size_t shunned_max = 256;
constexpr unsigned silence_max = 16;
constexpr std::uint8_t lies_max = 3;
constexpr std::size_t prefix_per_bucket = 2;

std::uint64_t mix(std::uint64_t x) {  // SplitMix64's
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

std::uint64_t head_of(const PersonId& person) {
  std::uint64_t head;
  std::memcpy(&head, person.bytes.data(), sizeof head);
  return head;
}

bool bit_of(const Position& position, std::size_t bit) {
  return position.bytes[bit / 8] >> (7 - bit % 8) & 1;
}

void set_bit(Position& position, std::size_t bit, bool value) {
  const auto mask = static_cast<std::uint8_t>(1U << (7 - bit % 8));
  if (value) position.bytes[bit / 8] |= mask;
  else position.bytes[bit / 8] &= static_cast<std::uint8_t>(~mask);
}

}  // namespace

RoutingTable::RoutingTable(ServerId own, Position position, std::uint64_t secret,
                           TableOptions options)
    : own_(own), position_(position), own_head_(position_word(position, 0)), secret_(secret),
      options_(options), counted_(counted_max) {}

// Slots --------------------------------------------------------------------------------------

std::uint16_t RoutingTable::slot_of(const Position& position) const {
  const auto shared = static_cast<std::size_t>(distance(position, position_).shared_bits());
  const std::size_t bucket = std::min<std::size_t>(shared, 251);
  std::size_t part = 0;
  for (std::size_t i = 1; i <= 4; ++i) part = part << 1 | (bit_of(position, bucket + i) ? 1U : 0U);
  return static_cast<std::uint16_t>(bucket * slots_per_bucket + part);
}

/// Some point that falls into a slot.
Position RoutingTable::point_in(std::uint16_t slot, std::uint64_t chance) const {
  const std::size_t bucket = slot / slots_per_bucket, part = slot % slots_per_bucket;
  Position point;
  for (std::size_t word = 0; word < 4; ++word) {
    const std::uint64_t value = mix(chance ^ mix(slot * 4U + word));
    std::memcpy(point.bytes.data() + 8 * word, &value, sizeof value);
  }
  for (std::size_t bit = 0; bit < bucket; ++bit) set_bit(point, bit, bit_of(position_, bit));
  set_bit(point, bucket, !bit_of(position_, bucket));
  for (std::size_t i = 0; i < 4; ++i) set_bit(point, bucket + 1 + i, part >> (3 - i) & 1);
  return point;
}

/// Any point as near as the siblings are.
Position RoutingTable::point_among_siblings(std::uint64_t chance) const {
  Position point;
  for (std::size_t word = 0; word < 4; ++word) {
    const std::uint64_t random = mix(chance + word);
    std::uint64_t value = position_word(position_, word) ^ random;
    if (word == 0 && sibling_radius_ != ~std::uint64_t{0})
      value = own_head_ ^ static_cast<std::uint64_t>(
                              static_cast<unsigned __int128>(random) * sibling_radius_ >> 64);
    value = __builtin_bswap64(value);
    std::memcpy(point.bytes.data() + 8 * word, &value, sizeof value);
  }
  return point;
}

std::optional<std::size_t> RoutingTable::find(const ServerId& id, std::uint64_t head) const {
  for (std::size_t i = 0; i < heads_.size(); ++i)
    if (heads_[i] == head && entries_[i].contact->id == id) return i;
  return std::nullopt;
}

std::optional<std::size_t> RoutingTable::in_slot(std::uint16_t slot, Role role) const {
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].slot == slot && entries_[i].role == role) return i;
  return std::nullopt;
}

/// Whether its person or its network prefix has holders enough in this bucket without it.
bool RoutingTable::crowds(std::size_t index) const {
  const Entry& entry = entries_[index];
  std::size_t of_prefix = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& other = entries_[i];
    if (i == index || other.role != Role::holder ||
        other.slot / slots_per_bucket != entry.slot / slots_per_bucket)
      continue;
    if (other.contact->person == entry.contact->person) return true;
    if (!entry.contact->prefix.is_none() && other.contact->prefix == entry.contact->prefix)
      ++of_prefix;
  }
  return of_prefix >= prefix_per_bucket;
}

void RoutingTable::count_server(const Contact& contact) {
  const std::uint64_t hash = mix(head_of(contact.person) ^ secret_);
  const auto person = static_cast<std::uint32_t>(hash >> 32);
  const std::uint32_t bit = 1U << (mix(contact_tag(contact.id) ^ secret_) & 31);
  Counted& counted = counted_[hash % counted_max];
  if (counted.person == person) counted.servers |= bit;
  else if (std::popcount(counted.servers) <= 1) counted = {person, bit};
}

unsigned RoutingTable::servers_of(const PersonId& person) const {
  const std::uint64_t hash = mix(head_of(person) ^ secret_);
  const Counted& counted = counted_[hash % counted_max];
  if (counted.person != static_cast<std::uint32_t>(hash >> 32)) return 1;
  return static_cast<unsigned>(std::max(1, std::popcount(counted.servers)));
}

/// The lowest wins.
double RoutingTable::lot_of(const ServerId& id, const PersonId& person, std::uint16_t slot) const {
  // Nobody has to come to the same number, so it need not be exact.
  const std::uint64_t drawn = mix(secret_ ^ mix(contact_tag(id)) ^ mix(slot));
  return (64 - std::log2(static_cast<double>(drawn) + 1)) * servers_of(person);
}

/// For two of one slot.
bool RoutingTable::is_better(std::size_t a, std::size_t b) const {
  const bool a_crowds = crowds(a), b_crowds = crowds(b);
  if (a_crowds != b_crowds) return b_crowds;
  const auto lot = [&](const Entry& entry) {
    return lot_of(entry.contact->id, entry.contact->person, entry.slot);
  };
  return lot(entries_[a]) < lot(entries_[b]);
}

/// Finds an entry that is no sibling its place: holder, spare, or out.
void RoutingTable::place_in_slot(std::size_t index) {
  Entry& entry = entries_[index];
  entry.role = Role::spare;
  entry.promising = true;
  const auto holder = in_slot(entry.slot, Role::holder);
  if (entry.proven && !holder && !crowds(index)) {
    entry.role = Role::holder;
    return;
  }
  entry.promising = !crowds(index) && (!holder || is_better(index, *holder));
  std::optional<std::size_t> rival;
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (i != index && entries_[i].slot == entry.slot && entries_[i].role == Role::spare) rival = i;
  if (!rival) {
    // A candidate that is no better than the holder is of no use; one that has answered is.
    if (!entry.proven && !entry.promising) remove(index);
    return;
  }
  // The better one stays; but what has answered is not given up for hearsay that is no improvement
  // on the holder.
  bool stays = is_better(index, *rival);
  if (entries_[*rival].failures > 0) stays = true;
  else if (!entry.proven && !entry.promising) stays = false;
  remove(stays ? *rival : index);
}

/// The spare takes over when the holder is gone, or when it is better and has been there for long.
void RoutingTable::settle_slot(std::uint16_t slot, TimePoint now) {
  const auto spare = in_slot(slot, Role::spare);
  if (!spare || !entries_[*spare].proven || entries_[*spare].failures > 0 || crowds(*spare)) return;
  const auto holder = in_slot(slot, Role::holder);
  const bool takes_over =
      !holder || entries_[*holder].failures > 0 ||
      (now - entries_[*spare].first_ok >= options_.settle && is_better(*spare, *holder));
  if (!takes_over) {
    // It has waited for nothing: the holder has become a better one meanwhile.
    if (now - entries_[*spare].first_ok >= options_.settle) entries_[*spare].promising = false;
    return;
  }
  if (holder) {
    entries_[*holder].role = Role::spare;
    entries_[*holder].promising = false;
  }
  entries_[*spare].role = Role::holder;
}

// Siblings -----------------------------------------------------------------------------------

bool RoutingTable::is_sibling_distance(std::uint64_t distance, bool proven) const {
  return (siblings_proven_ < options_.siblings || distance < sibling_radius_) &&
         (proven || distance < unproven_radius_);
}

/// Whether there are more of its person among the siblings than there should be.
bool RoutingTable::is_crowded_sibling(std::size_t index) const {
  std::size_t of_person = entries_[index].role == Role::sibling ? 0 : 1;
  for (const Entry& entry : entries_)
    if (entry.role == Role::sibling && entry.contact->person == entries_[index].contact->person)
      ++of_person;
  return of_person > options_.siblings_per_person;
}

/// Whether anybody has more siblings than his share: seldom, and quicker told than who.
bool RoutingTable::has_crowd() const {
  std::vector<std::uint64_t> persons;
  persons.reserve(options_.siblings + options_.siblings_unproven + 2);
  for (const Entry& entry : entries_) {
    if (entry.role != Role::sibling) continue;
    std::uint64_t front;
    std::memcpy(&front, entry.contact->person.bytes.data(), sizeof front);
    persons.push_back(front);
  }
  std::ranges::sort(persons);
  for (std::size_t i = options_.siblings_per_person; i < persons.size(); ++i)
    if (persons[i] == persons[i - options_.siblings_per_person]) return true;
  return false;
}

/// Who is too many among the siblings goes to its slot: the farthest, but first of persons who have
/// more than their share.
void RoutingTable::trim_siblings() {
  const auto farthest = [&](bool proven, bool crowded) {
    std::optional<std::size_t> result;
    for (std::size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].role == Role::sibling && entries_[i].proven == proven &&
          (!result || own_distance(i) > own_distance(*result)) &&
          (!crowded || is_crowded_sibling(i)))
        result = i;
    return result;
  };
  while (siblings_unproven_ > options_.siblings_unproven) {
    --siblings_unproven_;
    place_in_slot(*farthest(false, false));
  }
  while (siblings_proven_ > options_.siblings) {
    --siblings_proven_;
    std::optional<std::size_t> out;
    if (has_crowd()) out = farthest(true, true);
    if (!out) out = farthest(true, false);
    place_in_slot(*out);
  }
  sibling_radius_ = unproven_radius_ = ~std::uint64_t{0};
  if (siblings_proven_ == options_.siblings) sibling_radius_ = own_distance(*farthest(true, false));
  if (siblings_unproven_ == options_.siblings_unproven)
    unproven_radius_ = own_distance(*farthest(false, false));
}

/// Where siblings are missing, the nearest come from the slots.
void RoutingTable::fill_siblings() {
  while (siblings_proven_ < options_.siblings) {
    std::optional<std::size_t> nearest, crowded;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i].role == Role::sibling || !entries_[i].proven) continue;
      auto& best = is_crowded_sibling(i) ? crowded : nearest;
      if (!best || own_distance(i) < own_distance(*best)) best = i;
    }
    if (!nearest) nearest = crowded;
    if (!nearest) break;
    entries_[*nearest].role = Role::sibling;
    ++siblings_proven_;
  }
  trim_siblings();
}

// What happens -------------------------------------------------------------------------------

bool RoutingTable::is_shunned(const ServerId& id, TimePoint now) const {
  if (shunned_.empty()) return false;
  const auto tag = contact_tag(id);
  return std::ranges::any_of(
      shunned_, [&](const Shunned& one) { return one.tag == tag && one.until > now; });
}

/// What stands against a contact that isn't in the table: the same server where it stood before, or, as
/// nobody has one place for two servers, another living one of its person's with the same number.
std::optional<std::size_t> RoutingTable::in_the_way(const ServerId& id, const PersonId& person, unsigned place_number) const {
  const std::uint64_t head = head_of(person);
  std::optional<std::size_t> same_place;
  for (std::size_t i = 0; i < persons_.size(); ++i) {
    if (persons_[i] != head || entries_[i].contact->person != person) continue;
    if (entries_[i].contact->id == id) return i;
    if (entries_[i].contact->place_number == place_number && entries_[i].failures == 0) same_place = i;
  }
  return same_place;
}

bool RoutingTable::wants(const ServerId& id, const PersonId& person, unsigned place_number, const Position& position,
                         std::uint64_t version, TimePoint now) const {
  if (id == own_) return false;
  const std::uint64_t head = position_word(position, 0);
  if (const auto at = find(id, head)) return version > entries_[*at].contact->version;
  if (is_shunned(id, now)) return false;
  if (const auto at = in_the_way(id, person, place_number))
    if (entries_[*at].contact->id != id || version <= entries_[*at].contact->version) return false;
  if (is_sibling_distance(head ^ own_head_, false)) return true;
  const std::uint16_t slot = slot_of(position);
  const auto holder = in_slot(slot, Role::holder);
  if (!holder || entries_[*holder].failures > 0) return true;
  const Contact& held = *entries_[*holder].contact;
  return lot_of(id, person, slot) < lot_of(held.id, held.person, slot);
}

bool RoutingTable::wants(const Contact& contact, TimePoint now) const {
  return wants(contact.id, contact.person, contact.place_number, contact.position, contact.version, now);
}

/// A server that has another place now no longer stands at its old one.
void RoutingTable::forget_where_it_was(const Contact& contact, TimePoint now) {
  const auto at = in_the_way(contact.id, contact.person, contact.place_number);
  if (!at || entries_[*at].contact->id != contact.id || contact.version <= entries_[*at].contact->version ||
      entries_[*at].contact->position == contact.position)
    return;
  const auto slot = entries_[*at].slot;
  const bool sibling = entries_[*at].role == Role::sibling;
  remove(*at);
  if (sibling) fill_siblings();
  else settle_slot(slot, now);
}

void RoutingTable::add(const ContactPtr& contact, bool proven, TimePoint now) {
  Entry entry;
  entry.contact = contact;
  entry.slot = slot_of(contact->position);
  entry.proven = proven;
  if (proven) entry.first_ok = entry.last_ok = now;
  const std::uint64_t head = position_word(contact->position, 0);
  const bool sibling = is_sibling_distance(head ^ own_head_, proven);
  if (sibling) entry.role = Role::sibling;
  entries_.push_back(std::move(entry));
  heads_.push_back(head);
  persons_.push_back(head_of(contact->person));
  if (sibling) {
    ++(proven ? siblings_proven_ : siblings_unproven_);
    trim_siblings();
  } else {
    place_in_slot(entries_.size() - 1);
  }
}

void RoutingTable::remove(std::size_t index) {
  if (entries_[index].role == Role::sibling)
    --(entries_[index].proven ? siblings_proven_ : siblings_unproven_);
  entries_[index] = std::move(entries_.back());
  heads_[index] = heads_.back();
  persons_[index] = persons_.back();
  entries_.pop_back();
  heads_.pop_back();
  persons_.pop_back();
}

void RoutingTable::heard(const ContactPtr& contact, TimePoint now) {
  count_server(*contact);
  forget_where_it_was(*contact, now);
  if (!wants(*contact, now)) return;
  if (const auto at = find(contact)) entries_[*at].contact = contact;
  else add(contact, false, now);
}

void RoutingTable::met(const ContactPtr& contact, TimePoint now) {
  heard(contact, now);
  const auto at = find(contact);
  if (!at) return;
  Entry& entry = entries_[*at];
  if (entry.proven && entry.failures == 0) entry.last_ok = now;
  // It did not answer when it was asked last, and is there now: no need to wait before asking again.
  else if (!entry.proven && now - entry.last_try > options_.retry_met_after) entry.last_try = {};
}

bool RoutingTable::is_candidate(const Contact& contact) const {
  const auto at = find(contact.id, position_word(contact.position, 0));
  return at && !entries_[*at].proven;
}

void RoutingTable::answered(const ContactPtr& contact, TimePoint now, bool in_earnest) {
  silence_ = 0;
  const auto at = find(contact);
  if (!at) {
    count_server(*contact);
    forget_where_it_was(*contact, now);
    if (wants(*contact, now)) add(contact, true, now);
    return;
  }
  Entry& entry = entries_[*at];
  if (contact->version > entry.contact->version) entry.contact = contact;
  if (entry.proven) count_exposure(entry, now, false);
  const bool fresh = !entry.proven;
  if (std::exchange(entry.silent, false)) {  // it is there, and would not answer a moment ago
    if (++entry.lies >= lies_max) return shun(*at, now);
  } else if (in_earnest && entry.lies > 0) {
    --entry.lies;
  }
  entry.last_ok = now;
  entry.failures = 0;
  entry.proven = true;
  if (fresh) entry.first_ok = now;
  const auto slot = entry.slot;
  if (entry.role == Role::sibling) {
    if (fresh) {
      --siblings_unproven_;
      ++siblings_proven_;
      trim_siblings();
    }
    return;
  }
  if (fresh && is_sibling_distance(own_distance(*at), true)) {  // there was no room for one more candidate
    entry.role = Role::sibling;
    ++siblings_proven_;
    trim_siblings();
  }
  settle_slot(slot, now);
}

void RoutingTable::failed(const ContactPtr& contact, TimePoint now, bool in_earnest) {
  ++silence_;
  const auto at = find(contact);
  if (!at) return;
  Entry& entry = entries_[*at];
  entry.last_try = now;
  if (entry.failures < 255) ++entry.failures;
  if (in_earnest) entry.silent = true;
  const bool forgotten = (!entry.proven || entry.failures >= 2) && silence_ < silence_max;
  const auto slot = entry.slot;
  const Role role = entry.role;
  if (forgotten) {
    if (entry.proven) count_exposure(entry, now, true);
    remove(*at);
  }
  if (role == Role::sibling) {
    if (forgotten) fill_siblings();
  } else {
    settle_slot(slot, now);
  }
}

void RoutingTable::lied(const ContactPtr& contact, TimePoint now) {
  const auto at = find(contact);
  if (at && ++entries_[*at].lies >= lies_max) shun(*at, now);
}

void RoutingTable::shun(std::size_t index, TimePoint now) {
  const auto slot = entries_[index].slot;
  const bool sibling = entries_[index].role == Role::sibling;
  const auto tag = contact_tag(entries_[index].contact->id);
  remove(index);
  std::erase_if(shunned_, [&](const Shunned& one) { return one.until <= now; });
  if (shunned_.size() == shunned_max) shunned_.erase(shunned_.begin());
  shunned_.push_back({tag, now + options_.shun_for});
  if (sibling) fill_siblings();
  else settle_slot(slot, now);
}

void RoutingTable::forget_if(const std::function<bool(const Contact&)>& gone, TimePoint now) {
  std::vector<std::uint16_t> slots;
  for (std::size_t i = entries_.size(); i-- > 0;) {
    if (!gone(*entries_[i].contact)) continue;
    if (entries_[i].role == Role::holder) slots.push_back(entries_[i].slot);
    remove(i);
  }
  fill_siblings();
  for (const std::uint16_t slot : slots) settle_slot(slot, now);
}

// What is asked of it ------------------------------------------------------------------------

std::vector<RoutingTable::Known> RoutingTable::known() const {
  std::vector<Known> result;
  for (const Entry& entry : entries_)
    result.push_back({entry.contact, entry.role == Role::sibling, entry.proven, entry.last_ok});
  return result;
}

std::vector<ContactPtr> RoutingTable::nearest(const Position& target, std::size_t count) const {
  return nearest_but(target, count, {}, ~std::uint64_t{0});
}

std::vector<ContactPtr> RoutingTable::nearest_but(const Position& target, std::size_t count,
                                                  const std::vector<std::uint64_t>& known,
                                                  std::uint64_t within) const {
  if (count == 0) return {};
  const std::uint64_t head = position_word(target, 0);
  // The best so far, nearest first; most entries are farther than the last of them.
  std::vector<std::pair<std::uint64_t, std::size_t>> best;
  best.reserve(count + 1);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const std::uint64_t away = heads_[i] ^ head;
    if (away > within || (best.size() == count && away >= best.back().first)) continue;
    const Entry& entry = entries_[i];
    if (!entry.proven || entry.failures > 0 || entry.role == Role::spare ||
        std::ranges::binary_search(known, contact_tag(entry.contact->id)))
      continue;
    const std::pair one(away, i);
    best.insert(std::ranges::upper_bound(best, one), one);
    if (best.size() > count) best.pop_back();
  }
  std::vector<ContactPtr> result;
  result.reserve(best.size());
  for (const auto& [away, i] : best) result.push_back(entries_[i].contact);
  return result;
}

double RoutingTable::network_size() const {
  if (siblings_proven_ < options_.siblings) return static_cast<double>(proven()) + 1;
  // The n-th nearest of N random points is, on average, n / (N + 1) away.
  const double radius = static_cast<double>(sibling_radius_) * 0x1p-64;
  return std::max(static_cast<double>(options_.siblings) / radius,
                  static_cast<double>(options_.siblings) + 1);
}

bool RoutingTable::holds_everybody() const {
  return siblings_proven_ < options_.siblings &&
         std::ranges::all_of(entries_, [](const Entry& e) { return e.role == Role::sibling; });
}

std::size_t RoutingTable::proven() const {
  return static_cast<std::size_t>(std::ranges::count_if(entries_, &Entry::proven));
}

std::vector<ContactPtr> RoutingTable::contacts() const {
  std::vector<ContactPtr> result;
  for (const Entry& entry : entries_)
    if (entry.proven && entry.role != Role::spare) result.push_back(entry.contact);
  return result;
}

std::size_t RoutingTable::memory_bytes() const {
  return sizeof *this + entries_.capacity() * sizeof(Entry) +
         (heads_.capacity() + persons_.capacity()) * sizeof(std::uint64_t) + shunned_.capacity() * sizeof(Shunned) +
         counted_.capacity() * sizeof(Counted);
}

// Checks -------------------------------------------------------------------------------------

void RoutingTable::count_exposure(const Entry& entry, TimePoint now, bool gone) {
  constexpr double hours_remembered = 100;
  const double hours = std::chrono::duration<double>(now - entry.last_ok).count() / 3600;
  exposed_hours_ += hours;
  if (gone) gone_ += 1;
  if (exposed_hours_ > hours_remembered) {
    const double fade = hours_remembered / exposed_hours_;
    exposed_hours_ *= fade;
    gone_ *= fade;
  }
}

Duration RoutingTable::check_interval() const {
  // Contacts vanish at a constant rate; checked every t hours, half of rate * t are gone unnoticed.
  const double per_hour = gone_ / exposed_hours_;
  const double hours = 2 * options_.stale_share / std::max(per_hour, 1e-6);
  const auto wanted = std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::min(hours, 1e4) * 3600));
  return std::clamp(wanted, options_.check_min, options_.check_max);
}

/// 0: leave it alone.
int RoutingTable::urgency(const Entry& entry, TimePoint now, Duration interval) const {
  if (entry.last_try != TimePoint{} && now - entry.last_try < options_.retry_after) return 0;
  if (entry.failures > 0) return 5;  // one more try
  if (!entry.proven) return entry.role == Role::sibling ? 4 : 3;
  if (entry.role == Role::spare) {
    // Asked once more before it takes the holder's place.
    return entry.promising && now - entry.first_ok >= options_.settle ? 2 : 0;
  }
  const Duration age = now - entry.last_ok;
  if (age < interval * 3 / 4) return 0;
  const auto jitter = static_cast<std::int64_t>(contact_tag(entry.contact->id) & 255);
  return age >= interval * 3 / 4 + interval / 512 * jitter ? 1 : 0;
}

std::optional<RoutingTable::Check> RoutingTable::next_check(TimePoint now, std::uint64_t chance) {
  std::optional<std::size_t> best;
  int most = 0;
  const Duration interval = check_interval();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const int urgent = urgency(entries_[i], now, interval);
    if (urgent > most ||
        (urgent > 0 && urgent == most && entries_[i].last_ok < entries_[*best].last_ok)) {
      most = urgent;
      best = i;
    }
  }
  if (!best) return std::nullopt;
  Entry& entry = entries_[*best];
  entry.last_try = now;
  if (entry.role == Role::sibling) return Check{entry.contact, point_among_siblings(chance), true};
  // Its own slot, which it knows best, or an empty one of its bucket, or any.
  const auto bucket = static_cast<std::uint16_t>(entry.slot / slots_per_bucket * slots_per_bucket);
  std::uint16_t slot = entry.slot;
  if (chance & 1) {
    const auto first = static_cast<std::uint16_t>(chance >> 8 & 15);
    slot = static_cast<std::uint16_t>(bucket + first);
    for (std::uint16_t i = 0; i < slots_per_bucket; ++i) {
      const auto other = static_cast<std::uint16_t>(bucket + (first + i) % slots_per_bucket);
      if (!in_slot(other, Role::holder)) {
        slot = other;
        break;
      }
    }
  }
  return Check{entry.contact, point_in(slot, chance), false};
}

}  // namespace spatter
