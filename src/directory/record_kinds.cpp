#include "directory/record_kinds.h"

#include <algorithm>

#include "crypto/hash.h"
#include "directory/roster.h"
#include "trust/signed.h"
#include "wire/proto/directory.pb.h"

namespace spatter {
namespace {

constexpr WallMs lasts_ms = std::chrono::duration_cast<std::chrono::milliseconds>(record_lasts).count();
/// Nobody's clock is so wrong, and no arithmetic with such a time overflows.
constexpr std::uint64_t time_max_ms = std::uint64_t{1} << 53;

template <class Message>
Result<Message> open_value(ByteView value, std::string_view kind, PersonId* signer = nullptr) {
  wire::Signed outer;
  if (!outer.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return fail(Errc::invalid, "a {} record that cannot be read", kind);
  TRY(auto message, open_signed<Message>(outer, kind));
  if (signer) {
    TRY(*signer, PersonId::from(outer.key()));
  }
  return message;
}

/// What is signed by a server's key, and carries that server's certificate.
template <class Message>
Result<std::pair<Message, CertificateFacts>> open_of_server(ByteView value, std::string_view kind,
                                                            const NetworkId& network) {
  wire::Signed outer;
  if (!outer.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return fail(Errc::invalid, "a {} record that cannot be read", kind);
  TRY(auto message, open_signed<Message>(outer, kind));
  TRY(auto certificate, check_certificate(message.certificate(), network));
  if (as_text(certificate.server_key) != outer.key())
    return fail(Errc::corrupt, "a {} record that server {} has not signed", kind, certificate.server);
  return std::pair{std::move(message), std::move(certificate)};
}

Result<void> check_times(std::string_view kind, std::uint64_t version, std::uint64_t expires_ms) {
  if (version == 0 || version > time_max_ms || expires_ms <= version || expires_ms > time_max_ms)
    return fail(Errc::invalid, "a {} record of version {} that expires at {}", kind, version, expires_ms);
  return {};
}

Digest named(std::string_view label, ByteView first, ByteView second) {
  const std::uint8_t end = 0;
  Digest digest;
  digest.bytes = Sha256().update(as_bytes(label)).update({&end, 1}).update(first).update(second).finish().bytes;
  return digest;
}

}  // namespace

RecordKey server_key_of(const ServerId& server) { return {RecordType::server, Digest{server.bytes}}; }
RecordKey person_key_of(const PersonId& person) { return {RecordType::person, Digest{person.bytes}}; }
RecordKey stripe_key_of(const StripeId& stripe, const ServerId& owner) {
  return {RecordType::stripe, named("spatter/1 stripe record", stripe.view(), owner.view())};
}
RecordKey health_key_of(std::uint64_t epoch, const ServerId& reporter) {
  std::array<std::uint8_t, 8> number;
  for (std::size_t i = 0; i < number.size(); ++i) number[i] = static_cast<std::uint8_t>(epoch >> (8 * i));
  return {RecordType::health, named("spatter/1 health record", number, reporter.view())};
}

std::string make_person_servers(const Identity& identity, std::vector<ServerId> servers, WallMs now) {
  std::ranges::sort(servers);
  if (servers.size() > Roster::servers_per_person_max) servers.resize(Roster::servers_per_person_max);
  wire::PersonServers message;
  message.set_network(identity.network.raw());
  message.set_person(identity.person.raw());
  for (const ServerId& server : servers) message.add_servers(server.raw());
  message.set_version(static_cast<std::uint64_t>(now));
  message.set_expires_ms(static_cast<std::uint64_t>(now + lasts_ms));
  return sign_message(identity.person_key, kind::person_servers, message).SerializeAsString();
}

Result<PersonServersFacts> read_person_servers(ByteView value, const NetworkId& network) {
  PersonServersFacts facts;
  TRY(const auto message, open_value<wire::PersonServers>(value, kind::person_servers, &facts.signed_by));
  if (message.network() != network.raw())
    return fail(Errc::invalid, "a person-servers record of another network");
  TRY(facts.person, PersonId::from(message.person()));
  if (message.servers_size() > static_cast<int>(Roster::servers_per_person_max))
    return fail(Errc::invalid, "person {} lists {} servers, at most {} are allowed", facts.person,
                message.servers_size(), Roster::servers_per_person_max);
  for (const auto& raw : message.servers()) {
    TRY(const auto server, ServerId::from(raw));
    if (!facts.servers.empty() && server <= facts.servers.back())
      return fail(Errc::invalid, "the servers of person {} are not in order", facts.person);
    facts.servers.push_back(server);
  }
  TRY_VOID(check_times(kind::person_servers, message.version(), message.expires_ms()));
  facts.version = message.version();
  facts.expires_ms = static_cast<WallMs>(message.expires_ms());
  return facts;
}

std::string make_stripe_holders(const Identity& identity, const StripeId& stripe, unsigned k, unsigned n,
                                std::vector<HeldShards> holders, WallMs now) {
  std::ranges::sort(holders, {}, &HeldShards::holder);
  wire::StripeHolders message;
  message.set_stripe(stripe.raw());
  *message.mutable_certificate() = identity.certificate;
  message.set_k(k);
  message.set_n(n);
  for (HeldShards& one : holders) {
    std::ranges::sort(one.indices);
    auto* holder = message.add_holders();
    holder->set_server(one.holder.raw());
    holder->set_indices(one.indices.data(), one.indices.size());
  }
  message.set_version(static_cast<std::uint64_t>(now));
  message.set_expires_ms(static_cast<std::uint64_t>(now + lasts_ms));
  return sign_message(identity.server_key, kind::stripe_holders, message).SerializeAsString();
}

Result<StripeHoldersFacts> read_stripe_holders(ByteView value, const NetworkId& network) {
  TRY(const auto opened, open_of_server<wire::StripeHolders>(value, kind::stripe_holders, network));
  const auto& [message, certificate] = opened;
  StripeHoldersFacts facts;
  TRY(facts.stripe, StripeId::from(message.stripe()));
  facts.person = certificate.person;
  facts.certified_by = certificate.signed_by;
  facts.owner = certificate.server;
  facts.k = message.k();
  facts.n = message.n();
  if (facts.k == 0 || facts.k > 85 || facts.n != 3 * facts.k)
    return fail(Errc::invalid, "stripe {}: {} of {} shards", facts.stripe, facts.k, facts.n);
  // A shard that moves stands twice for a while.
  std::size_t shards = 0;
  for (const auto& one : message.holders()) {
    HeldShards held;
    TRY(held.holder, ServerId::from(one.server()));
    if (!facts.holders.empty() && held.holder <= facts.holders.back().holder)
      return fail(Errc::invalid, "stripe {}: its holders are not in order", facts.stripe);
    for (const char index : one.indices()) held.indices.push_back(static_cast<std::uint8_t>(index));
    if (held.indices.empty() || held.indices.back() >= facts.n ||
        std::ranges::adjacent_find(held.indices, std::greater_equal{}) != held.indices.end())
      return fail(Errc::invalid, "stripe {}: the shards of holder {} are not in order", facts.stripe, held.holder);
    shards += held.indices.size();
    facts.holders.push_back(std::move(held));
  }
  if (shards > 2 * facts.n) return fail(Errc::invalid, "stripe {}: {} shards", facts.stripe, shards);
  TRY_VOID(check_times(kind::stripe_holders, message.version(), message.expires_ms()));
  facts.version = message.version();
  facts.expires_ms = static_cast<WallMs>(message.expires_ms());
  return facts;
}

std::string make_health(const Identity& identity, const HealthFacts& facts) {
  wire::HealthReport message;
  *message.mutable_certificate() = identity.certificate;
  message.set_epoch(facts.epoch);
  message.set_stripes(facts.stripes);
  message.set_full(facts.full);
  message.set_safe(facts.safe);
  message.set_at_risk(facts.at_risk);
  message.set_lost(facts.lost);
  message.set_made_ms(static_cast<std::uint64_t>(facts.made_ms));
  return sign_message(identity.server_key, kind::health, message).SerializeAsString();
}

Result<HealthFacts> read_health(ByteView value, const NetworkId& network) {
  TRY(const auto opened, open_of_server<wire::HealthReport>(value, kind::health, network));
  const auto& [message, certificate] = opened;
  HealthFacts facts{certificate.person, certificate.server, message.epoch(), message.stripes(), message.full(),
                    message.safe(), message.at_risk(), message.lost(), static_cast<WallMs>(message.made_ms()),
                    certificate.signed_by};
  // Each is bounded by the whole first, so that the sum cannot overflow.
  const auto parts = {facts.full, facts.safe, facts.at_risk, facts.lost};
  if (facts.stripes > time_max_ms ||
      std::ranges::any_of(parts, [&](std::uint64_t part) { return part > facts.stripes; }) ||
      facts.full + facts.safe + facts.at_risk + facts.lost != facts.stripes)
    return fail(Errc::invalid, "a health record of server {} whose parts are not its {} stripes", facts.reporter,
                facts.stripes);
  if (message.made_ms() == 0 || message.made_ms() > time_max_ms)
    return fail(Errc::invalid, "a health record of server {} made at {}", facts.reporter, message.made_ms());
  return facts;
}

namespace {

Result<void> check_name(const RecordKey& key, const RecordKey& should) {
  if (key == should) return {};
  return fail(Errc::invalid, "a record that is about {}, not {}", should.subject, key.subject);
}

}  // namespace

RecordValidators record_validators(ContactJudge& judge, RecordRules rules) {
  RecordValidators validators;
  const auto may_publish = [rules](const ServerId& server, const PersonId& person,
                                   const PersonId& certified_by) -> Result<void> {
    if (!rules.signs_for(certified_by, person))
      return fail(Errc::denied, "server {} has a certificate by key {}, which is not that of person {} now, or he "
                  "is not trusted here", server, certified_by, person);
    if (rules.may_publish(server, person)) return {};
    return fail(Errc::denied, "server {} of person {} may not publish: he is not trusted here, or has retired it",
                server, person);
  };
  validators.set(RecordType::server, [&judge](const RecordKey& key, ByteView value) -> Result<RecordFacts> {
    TRY(const auto contact, judge.judge(value));
    TRY_VOID(check_name(key, server_key_of(contact->id)));
    TRY_VOID(check_times(kind::server, contact->version, contact->version + static_cast<std::uint64_t>(lasts_ms)));
    return RecordFacts{contact->version, static_cast<WallMs>(contact->version) + lasts_ms, contact->person};
  });
  validators.set(RecordType::person, [rules](const RecordKey& key, ByteView value) -> Result<RecordFacts> {
    TRY(const auto facts, read_person_servers(value, rules.network));
    TRY_VOID(check_name(key, person_key_of(facts.person)));
    if (!rules.signs_for(facts.signed_by, facts.person))
      return fail(Errc::denied, "the record of person {} is signed by key {}, which is not his, or he is not "
                  "trusted here", facts.person, facts.signed_by);
    return RecordFacts{facts.version, facts.expires_ms, facts.person};
  });
  validators.set(RecordType::stripe,
                 [rules, may_publish](const RecordKey& key, ByteView value) -> Result<RecordFacts> {
    TRY(const auto facts, read_stripe_holders(value, rules.network));
    TRY_VOID(check_name(key, stripe_key_of(facts.stripe, facts.owner)));
    TRY_VOID(may_publish(facts.owner, facts.person, facts.certified_by));
    return RecordFacts{facts.version, facts.expires_ms, facts.person};
  });
  validators.set(RecordType::health,
                 [rules, may_publish](const RecordKey& key, ByteView value) -> Result<RecordFacts> {
    TRY(const auto facts, read_health(value, rules.network));
    TRY_VOID(check_name(key, health_key_of(facts.epoch, facts.reporter)));
    TRY_VOID(may_publish(facts.reporter, facts.person, facts.certified_by));
    // One epoch's clocks apart: a report is of the epoch in which it was made, or about that.
    const std::uint64_t epoch = rules.epoch_of(facts.made_ms);
    if (facts.epoch > epoch + 1 || facts.epoch + 1 < epoch)
      return fail(Errc::invalid, "server {} reports on epoch {} in epoch {}", facts.reporter, facts.epoch, epoch);
    return RecordFacts{static_cast<std::uint64_t>(facts.made_ms), facts.made_ms + lasts_ms, facts.person};
  });
  return validators;
}

}  // namespace spatter
