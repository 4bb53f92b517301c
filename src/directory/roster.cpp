#include "directory/roster.h"

#include <unordered_map>

#include "crypto/hash.h"
#include "directory/revocation.h"

namespace spatter {
namespace {

/// Of the entries of the least use: the person with most of them gives up the one with the highest lot.
template <class UseOf>
std::map<ServerId, Roster::Entry>::iterator least_useful(std::map<ServerId, Roster::Entry>& entries,
                                                         const UseOf& use_of) {
  struct Of {
    std::size_t servers = 0;
    std::map<ServerId, Roster::Entry>::iterator last;
  };
  Use least = Use::own;
  std::unordered_map<PersonId, Of> persons;
  for (auto at = entries.begin(); at != entries.end(); ++at) {
    const std::optional<Use> use = use_of(at->second.member);
    if (!use || *use > least) continue;
    if (*use < least) persons.clear();
    least = *use;
    Of& his = persons[at->second.member.person];
    if (his.servers++ == 0 || at->second.lot > his.last->second.lot) his.last = at;
  }
  auto result = entries.end();
  std::size_t most = 0;
  for (const auto& [person, his] : persons) {
    if (result != entries.end() &&
        std::pair(his.servers, his.last->second.lot) <= std::pair(most, result->second.lot))
      continue;
    most = his.servers;
    result = his.last;
  }
  return result;
}

}  // namespace

wire::Signed make_server_record(const Identity& identity, const std::vector<Address>& addresses,
                                std::uint64_t capacity_bytes, std::uint64_t free_bytes,
                                std::uint64_t version, const PlaceDraw* place, const Reach& reach) {
  const auto key = identity.server_key.public_key();
  wire::ServerRecord record;
  record.set_server_key(key.data(), key.size());
  *record.mutable_certificate() = identity.certificate;
  for (const auto& address : addresses) {
    if (record.addresses_size() == static_cast<int>(Roster::addresses_max)) break;
    record.add_addresses(address.text());
  }
  record.set_capacity_bytes(capacity_bytes);
  record.set_free_bytes(free_bytes);
  record.set_version(version);
  if (place) {
    record.set_place_number(place->number);
    record.set_place_epoch(place->epoch);
    record.set_place_draws(to_bytes(place->draws));
  }
  for (const auto& relay : reach.relays) {
    if (record.relays_size() == static_cast<int>(Roster::relays_max)) break;
    record.add_relays(relay.raw());
  }
  record.set_carries(reach.carries);
  return sign_message(identity.server_key, kind::server, record);
}

Result<Roster::Entry> check_server_record(const wire::Signed& record, const NetworkId& network) {
  if (record.body().size() > Roster::server_record_bytes_max)
    return fail(Errc::invalid, "a server record of {} bytes", record.body().size());
  TRY(auto message, open_signed<wire::ServerRecord>(record, kind::server));
  if (message.server_key() != record.key())
    return fail(Errc::denied, "a server record that its server has not signed");
  TRY(auto certificate, check_certificate(message.certificate(), network));
  if (as_text(certificate.server_key) != message.server_key())
    return fail(Errc::denied, "the record of server {} carries another server's certificate",
                server_id(as_bytes(message.server_key())));
  const auto id = certificate.server;
  if (message.addresses_size() > static_cast<int>(Roster::addresses_max))
    return fail(Errc::invalid, "the record of server {} lists {} addresses, at most {} are allowed",
                id, message.addresses_size(), Roster::addresses_max);
  Roster::Entry entry;
  entry.record = record;
  entry.version = message.version();
  entry.member.id = id;
  entry.member.person = certificate.person;
  entry.certified_by = certificate.signed_by;
  entry.member.key = std::move(certificate.server_key);
  entry.member.capacity_bytes = message.capacity_bytes();
  entry.member.free_bytes = message.free_bytes();
  if (entry.member.free_bytes > entry.member.capacity_bytes)
    return fail(Errc::invalid, "server {} says that more is free than it has", id);
  // The database keeps it as a signed number.
  if (entry.version == 0 || entry.version > std::numeric_limits<std::int64_t>::max())
    return fail(Errc::invalid, "the record of server {} has version {}", id, entry.version);
  for (const auto& text : message.addresses()) {
    if (text.size() > 262) return fail(Errc::invalid, "server {}: an address too long", id);
    auto address = Address::parse(text);
    if (!address) return fail(address.error().during(fmt::format("server {}", id)));
    entry.member.addresses.push_back(std::move(*address));
  }
  if (message.relays_size() > static_cast<int>(Roster::relays_max))
    return fail(Errc::invalid, "the record of server {} names {} relays, at most {} are allowed", id,
                message.relays_size(), Roster::relays_max);
  for (const auto& raw : message.relays()) {
    auto relay = ServerId::from(raw);
    if (!relay) return fail(relay.error().during(fmt::format("server {}: a relay", id)));
    entry.member.relays.push_back(*relay);
  }
  entry.member.carries = message.carries();
  return entry;
}

Roster::Roster(const GenesisFacts& genesis, ViewOptions view) : genesis_(genesis), view_(std::move(view)) {
  persons_.emplace(genesis.founder, std::nullopt);
}

Result<bool> Roster::admit(const wire::Signed& admission) {
  TRY(auto facts, check_admission(admission, genesis_.network));
  if (is_admitted(facts.person)) return false;
  if (!is_admitted(facts.inviter))
    return fail(Errc::denied, "person {} was let in by {}, who is not in this network",
                facts.person, facts.inviter);
  const auto issued = std::min<std::uint64_t>(facts.issued_ms, std::numeric_limits<WallMs>::max());
  if (!keys_.was_of(facts.signed_by, facts.inviter, static_cast<WallMs>(issued)))
    return fail(Errc::denied, "person {} was let in with key {}, which was not that of the inviter {} then",
                facts.person, facts.signed_by, facts.inviter);
  if (persons_.size() >= persons_max)
    return fail(Errc::no_space, "the network has {} persons already", persons_max);
  persons_.emplace(facts.person, admissions_.size());
  admissions_.push_back(admission);
  inviters_.push_back(facts.inviter);
  if (facts.recovery) commitment_of_.emplace(facts.person, *facts.recovery);
  return true;
}

std::optional<Digest> Roster::commitment_of(const PersonId& person) const {
  if (person == genesis_.founder) return genesis_.recovery;
  const auto found = commitment_of_.find(person);
  return found == commitment_of_.end() ? std::nullopt : std::optional(found->second);
}

/// Known as what it was; bounded as members are.
void Roster::set_aside(const ServerId& id, Entry entry) {
  const auto held = outdated_.find(id);
  if (held != outdated_.end()) {
    if (held->second.version < entry.version && held->second.member.person == entry.member.person)
      held->second = std::move(entry);
    return;
  }
  auto& count = outdated_of_[entry.member.person];
  if (outdated_.size() >= view_.servers_max || count >= servers_per_person_max) return;
  ++count;
  outdated_.emplace(id, std::move(entry));
}

void Roster::forget_outdated(const ServerId& id) {
  const auto held = outdated_.find(id);
  if (held == outdated_.end()) return;
  --outdated_of_[held->second.member.person];
  outdated_.erase(held);
}

std::vector<ServerId> Roster::judge_keys() {
  std::vector<Entry> gone;
  for (const auto* known : {&servers_, &visitors_})
    for (const auto& [id, entry] : *known)
      if (entry.certified_by != keys_.current_of(entry.member.person)) gone.push_back(entry);
  std::vector<ServerId> ids;
  for (Entry& entry : gone) {
    const auto id = entry.member.id;
    ids.push_back(id);
    visitors_.erase(id);
    if (const auto held = servers_.find(id); held != servers_.end()) remove(held);
    set_aside(id, std::move(entry));
  }
  return ids;
}

Result<bool> Roster::accept(const wire::Signed& server_record) {
  TRY(auto entry, check_server_record(server_record, genesis_.network));
  const auto id = entry.member.id;
  const auto person = entry.member.person;
  if (!is_admitted(person))
    return fail(Errc::denied, "server {} belongs to person {}, who is not in this network", id,
                person);
  if (revoked_.contains(id))
    return fail(Errc::denied, "server {} was retired by its person", id);
  if (entry.certified_by != keys_.current_of(person)) {
    if (!keys_.was_of(entry.certified_by, person))
      return fail(Errc::denied, "server {} has a certificate by key {}, which is not that of person {}", id,
                  entry.certified_by, person);
    set_aside(id, std::move(entry));
    return fail(Errc::denied, "server {} has a certificate by a key that person {} has changed", id, person);
  }
  const auto newer = [&](const Entry& held) -> Result<bool> {
    if (held.version >= entry.version) return false;
    if (held.member.person != person)
      return fail(Errc::denied, "server {} claims another person than before", id);
    return true;
  };
  entry.lot = lot_of(id);
  if (const auto held = servers_.find(id); held != servers_.end()) {
    TRY(const bool replaces, newer(held->second));
    forget_outdated(id);
    if (replaces) held->second = std::move(entry);
    return replaces;
  }
  if (const auto visitor = visitors_.find(id); visitor != visitors_.end()) {
    TRY(const bool replaces, newer(visitor->second));
    if (!replaces) return false;
    visitors_.erase(visitor);
  }
  if (const auto his = servers_of_.find(person);
      his != servers_of_.end() && his->second >= servers_per_person_max)
    return fail(Errc::no_space, "person {} has {} servers already", person,
                servers_per_person_max);
  forget_outdated(id);
  return place(std::move(entry));
}

std::uint64_t Roster::lot_of(const ServerId& id) const {
  std::uint64_t lot;
  std::memcpy(&lot, blake2b(view_.lots.view(), id.view()).bytes.data(), sizeof lot);
  return lot;
}

/// Whether it has a place now. The view is never over its bound in between.
bool Roster::place(Entry entry) {
  const auto id = entry.member.id;
  const auto person = entry.member.person;
  servers_.insert_or_assign(id, std::move(entry));
  ++servers_of_[person];
  if (servers_.size() <= view_.servers_max) return true;
  const auto use = [this](const Member& member) -> std::optional<Use> {
    if (member.id == view_.own) return std::nullopt;
    if (member.person == view_.person) return Use::own;
    return use_of ? use_of(member) : Use::none;
  };
  const auto least = least_useful(servers_, use);
  if (least == servers_.end()) return true;  // only this server itself
  const bool itself = least->first == id;
  let_go_.push_back({least->second, !itself});
  remove(least);
  return !itself;
}

void Roster::remove(std::map<ServerId, Entry>::iterator at) {
  const auto his = servers_of_.find(at->second.member.person);
  if (his != servers_of_.end() && --his->second == 0) servers_of_.erase(his);
  servers_.erase(at);
}

std::vector<Roster::LetGo> Roster::take_let_go() { return std::exchange(let_go_, {}); }

void Roster::add_visitor(Entry entry) {
  const auto id = entry.member.id;
  if (holds(id) || revoked_.contains(id)) return;
  visitors_.insert_or_assign(id, std::move(entry));
  if (visitors_.size() <= view_.visitors_max) return;
  visitors_.erase(least_useful(visitors_, [](const Member&) { return std::optional(Use::none); }));
}

std::vector<ServerId> Roster::promote_visitors() {
  std::vector<Entry> wanted;
  for (const auto& [id, entry] : visitors_) {
    const auto his = servers_of_.find(entry.member.person);
    if (his != servers_of_.end() && his->second >= servers_per_person_max) continue;
    if (use_of && use_of(entry.member) >= Use::watched) wanted.push_back(entry);
  }
  std::vector<ServerId> placed;
  for (Entry& entry : wanted) {
    const auto id = entry.member.id;
    visitors_.erase(id);
    if (place(std::move(entry))) placed.push_back(id);
  }
  std::erase_if(placed, [&](const ServerId& id) { return !holds(id); });
  return placed;
}

Result<bool> Roster::revoke(const wire::Signed& revocation) {
  TRY(const auto facts, check_revocation(revocation, genesis_.network));
  if (!is_admitted(facts.person))
    return fail(Errc::denied, "server {} was retired by person {}, who is not in this network",
                facts.server, facts.person);
  if (facts.signed_by != keys_.current_of(facts.person))
    return fail(Errc::denied, "server {} was retired with key {}, which is not that of person {} now",
                facts.server, facts.signed_by, facts.person);
  if (const auto held = revoked_.find(facts.server); held != revoked_.end()) {
    if (held->second.person != facts.person || held->second.signed_by == facts.signed_by) return false;
    held->second = {revocation, facts.person, facts.signed_by};  // for those who know the new key alone
    return true;
  }
  if (revoked_.size() >= revocations_max)
    return fail(Errc::no_space, "the network has {} retired servers already", revocations_max);
  auto& count = revoked_of_[facts.person];
  if (count >= revocations_per_person_max)
    return fail(Errc::no_space, "person {} has retired {} servers already", facts.person,
                revocations_per_person_max);
  ++count;
  revoked_.emplace(facts.server, Revoked{revocation, facts.person, facts.signed_by});
  // A key in wrong hands may have claimed another person meanwhile: it is gone all the same.
  if (const auto held = servers_.find(facts.server); held != servers_.end()) remove(held);
  visitors_.erase(facts.server);
  forget_outdated(facts.server);
  return true;
}

const Roster::Entry* Roster::find(const ServerId& id) const {
  if (const auto found = servers_.find(id); found != servers_.end()) return &found->second;
  const auto visitor = visitors_.find(id);
  return visitor == visitors_.end() ? nullptr : &visitor->second;
}

std::vector<PersonId> Roster::persons() const {
  std::vector<PersonId> result;
  for (const auto& [person, position] : persons_) result.push_back(person);
  return result;
}

std::vector<wire::Signed> Roster::chain_of(const PersonId& person) const {
  std::vector<wire::Signed> chain;
  auto at = persons_.find(person);
  while (at != persons_.end() && at->second) {  // ends: an inviter was there before his guests
    const auto& admission = admissions_[*at->second];
    chain.push_back(admission);
    at = persons_.find(inviters_[*at->second]);
  }
  std::ranges::reverse(chain);
  return chain;
}

Digest Roster::digest() const {
  Sha256 hash;
  for (const auto& [id, entry] : servers_) {
    hash.update(id.view());
    std::array<std::uint8_t, 8> version;
    for (std::size_t i = 0; i < 8; ++i) version[i] = static_cast<std::uint8_t>(entry.version >> (56 - 8 * i));
    hash.update(version);
  }
  add_common(hash);
  return hash.finish();
}

Digest Roster::common_digest() const {
  Sha256 hash;
  add_common(hash);
  return hash.finish();
}

void Roster::add_common(Sha256& hash) const {
  for (const auto& [person, position] : persons_) hash.update(person.view());
  for (const auto& [id, revoked] : revoked_) hash.update(id.view());
}

}  // namespace spatter
