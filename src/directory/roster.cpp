#include "directory/roster.h"

#include "crypto/hash.h"
#include "directory/revocation.h"

namespace spatter {

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

Roster::Roster(const GenesisFacts& genesis) : genesis_(genesis) {
  persons_.emplace(genesis.founder, std::nullopt);
}

Result<bool> Roster::admit(const wire::Signed& admission) {
  TRY(auto facts, check_admission(admission, genesis_.network));
  if (is_admitted(facts.person)) return false;
  if (!is_admitted(facts.inviter))
    return fail(Errc::denied, "person {} was let in by {}, who is not in this network",
                facts.person, facts.inviter);
  if (persons_.size() >= persons_max)
    return fail(Errc::no_space, "the network has {} persons already", persons_max);
  persons_.emplace(facts.person, admissions_.size());
  admissions_.push_back(admission);
  return true;
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
  const auto held = servers_.find(id);
  if (held != servers_.end()) {
    if (held->second.version >= entry.version) return false;
    if (held->second.member.person != person)
      return fail(Errc::denied, "server {} claims another person than before", id);
    held->second = std::move(entry);
    return true;
  }
  if (servers_.size() >= servers_max)
    return fail(Errc::no_space, "the network has {} servers already", servers_max);
  if (servers_of_[person] >= servers_per_person_max)
    return fail(Errc::no_space, "person {} has {} servers already", person,
                servers_per_person_max);
  ++servers_of_[person];
  servers_.emplace(id, std::move(entry));
  return true;
}

Result<bool> Roster::revoke(const wire::Signed& revocation) {
  TRY(const auto facts, check_revocation(revocation, genesis_.network));
  if (!is_admitted(facts.person))
    return fail(Errc::denied, "server {} was retired by person {}, who is not in this network",
                facts.server, facts.person);
  if (revoked_.contains(facts.server)) return false;
  if (revoked_.size() >= revocations_max)
    return fail(Errc::no_space, "the network has {} retired servers already", revocations_max);
  auto& count = revoked_of_[facts.person];
  if (count >= revocations_per_person_max)
    return fail(Errc::no_space, "person {} has retired {} servers already", facts.person,
                revocations_per_person_max);
  ++count;
  revoked_.emplace(facts.server, Revoked{revocation, facts.person});
  // A key in wrong hands may have claimed another person meanwhile: it is gone all the same.
  if (const auto held = servers_.find(facts.server); held != servers_.end()) {
    --servers_of_[held->second.member.person];
    servers_.erase(held);
  }
  return true;
}

const Roster::Entry* Roster::find(const ServerId& id) const {
  const auto found = servers_.find(id);
  return found == servers_.end() ? nullptr : &found->second;
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
    at = persons_.find(*PersonId::from(admission.key()));
  }
  std::ranges::reverse(chain);
  return chain;
}

Digest Roster::digest() const {
  Bytes bytes;
  bytes.reserve(servers_.size() * 40 + persons_.size() * 32);
  for (const auto& [id, entry] : servers_) {
    bytes.insert(bytes.end(), id.bytes.begin(), id.bytes.end());
    for (int shift = 56; shift >= 0; shift -= 8)
      bytes.push_back(static_cast<std::uint8_t>(entry.version >> shift));
  }
  for (const auto& [person, position] : persons_)
    bytes.insert(bytes.end(), person.bytes.begin(), person.bytes.end());
  for (const auto& [id, revoked] : revoked_)
    bytes.insert(bytes.end(), id.bytes.begin(), id.bytes.end());
  return sha256(bytes);
}

}  // namespace spatter
