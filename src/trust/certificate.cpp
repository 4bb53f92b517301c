#include "trust/certificate.h"

#include "crypto/hash.h"

namespace spatter {
namespace {

std::string key_text(const SigningKey& key) {
  const auto bytes = key.public_key();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<void> check_network(const std::string& raw, const NetworkId& network,
                           std::string_view record) {
  if (raw == network.raw()) return {};
  auto other = NetworkId::from(raw);
  return fail(Errc::denied, "a {} of another network ({}, ours is {})", record,
              other ? other->brief() : "unreadable", network);
}

}  // namespace

wire::Signed make_genesis(const SigningKey& founder, Random& entropy, WallMs now,
                          std::uint32_t epoch_seconds, const GenesisExtras& extras) {
  Bytes nonce(32);
  entropy.fill(nonce);
  wire::Genesis genesis;
  genesis.set_founder(key_text(founder));
  genesis.set_created_ms(static_cast<std::uint64_t>(now));
  genesis.set_epoch_seconds(epoch_seconds);
  genesis.set_nonce(nonce.data(), nonce.size());
  if (extras.rules) *genesis.mutable_trust() = to_wire(*extras.rules);
  if (extras.mend) *genesis.mutable_mend() = to_wire(*extras.mend);
  if (extras.recovery) genesis.set_recovery(extras.recovery->raw());
  if (extras.cycles_month_epochs) genesis.set_cycles_month_epochs(*extras.cycles_month_epochs);
  return sign_message(founder, kind::genesis, genesis);
}

Result<GenesisFacts> check_genesis(const wire::Signed& record) {
  TRY(auto message, open_signed<wire::Genesis>(record, kind::genesis));
  if (message.founder() != record.key())
    return fail(Errc::denied, "a genesis record that its founder has not signed");
  if (message.epoch_seconds() < 1 || message.epoch_seconds() > 30 * 24 * 3600)
    return fail(Errc::invalid, "a genesis record with epochs of {} seconds",
                message.epoch_seconds());
  GenesisFacts facts;
  TRY(facts.founder, PersonId::from(message.founder()));
  facts.network.bytes = sha256(as_bytes(record.body())).bytes;
  facts.created_ms = message.created_ms();
  facts.epoch_seconds = message.epoch_seconds();
  if (message.has_trust()) {
    TRY(facts.rules, check_rules(message.trust()));
  }
  if (message.has_mend()) {
    TRY(facts.mend, check_mend_rules(message.mend()));
  }
  if (const auto epochs = message.cycles_month_epochs(); epochs != 0) {
    if (epochs < cycles_month_epochs_min || epochs > cycles_month_epochs_max)
      return fail(Errc::invalid, "a genesis record with months of {} epochs: from {} to {}", epochs, cycles_month_epochs_min,
                  cycles_month_epochs_max);
    facts.cycles_month_epochs = epochs;
  }
  if (!message.recovery().empty()) {
    TRY(facts.recovery, Digest::from(message.recovery()));
  }
  return facts;
}

std::uint64_t GenesisFacts::epoch_of(WallMs moment) const {
  const auto at = static_cast<std::uint64_t>(std::max<WallMs>(moment, 0));
  return at <= created_ms ? 0 : (at - created_ms) / (1000ULL * epoch_seconds);
}

wire::Signed make_certificate(const SigningKey& key, const NetworkId& network,
                              ByteView server_key, WallMs now, std::optional<PersonId> person) {
  wire::Certificate certificate;
  certificate.set_network(network.raw());
  certificate.set_server_key(server_key.data(), server_key.size());
  certificate.set_person(person.value_or(person_id(key.public_key())).raw());
  certificate.set_issued_ms(static_cast<std::uint64_t>(now));
  return sign_message(key, kind::certificate, certificate);
}

Result<CertificateFacts> check_certificate(const wire::Signed& record, const NetworkId& network) {
  TRY(auto message, open_signed<wire::Certificate>(record, kind::certificate));
  TRY_VOID(check_network(message.network(), network, "certificate"));
  if (message.server_key().size() != 32)
    return fail(Errc::invalid, "a certificate for a key of {} bytes", message.server_key().size());
  CertificateFacts facts;
  TRY(facts.person, PersonId::from(message.person()));
  TRY(facts.signed_by, PersonId::from(record.key()));
  facts.server_key = to_bytes(as_bytes(message.server_key()));
  facts.server = server_id(facts.server_key);
  return facts;
}

namespace {

wire::Signed signed_claim(const NetworkId& network, const PersonId& person, const Digest& recovery) {
  wire::Signed claim;
  claim.set_body(network.raw() + person.raw() + recovery.raw());
  claim.set_key(person.raw());
  return claim;
}

}  // namespace

RecoveryClaim make_recovery_claim(const SigningKey& first_key, const NetworkId& network,
                                  const Digest& recovery) {
  auto claim = signed_claim(network, person_id(first_key.public_key()), recovery);
  return {recovery, sign(first_key, kind::recovery_key, claim.body()).signature()};
}

Result<void> check_recovery_claim(const RecoveryClaim& claim, const NetworkId& network,
                                  const PersonId& person) {
  auto made = signed_claim(network, person, claim.recovery);
  made.set_signature(claim.signature);
  return check(made, kind::recovery_key);
}

wire::Signed make_admission(const SigningKey& key, const NetworkId& network, const PersonId& person,
                            WallMs now, std::optional<PersonId> inviter,
                            const std::optional<RecoveryClaim>& recovery) {
  wire::Admission admission;
  admission.set_network(network.raw());
  admission.set_person(person.raw());
  admission.set_inviter(inviter.value_or(person_id(key.public_key())).raw());
  admission.set_issued_ms(static_cast<std::uint64_t>(now));
  if (recovery) {
    admission.set_recovery(recovery->recovery.raw());
    admission.set_recovery_signature(recovery->signature);
  }
  return sign_message(key, kind::admission, admission);
}

Result<AdmissionFacts> check_admission(const wire::Signed& record, const NetworkId& network) {
  TRY(auto message, open_signed<wire::Admission>(record, kind::admission));
  TRY_VOID(check_network(message.network(), network, "admission"));
  AdmissionFacts facts;
  TRY(facts.person, PersonId::from(message.person()));
  TRY(facts.inviter, PersonId::from(message.inviter()));
  TRY(facts.signed_by, PersonId::from(record.key()));
  facts.issued_ms = message.issued_ms();
  if (!message.recovery().empty()) {
    TRY(facts.recovery, Digest::from(message.recovery()));
    const RecoveryClaim claim{*facts.recovery, message.recovery_signature()};
    if (auto held = check_recovery_claim(claim, network, facts.person); !held)
      return fail(held.error().during("an admission's recovery key"));
  }
  return facts;
}

Identity make_identity(const NetworkId& network, SigningKey person_key, SigningKey server_key,
                       WallMs now, std::optional<PersonId> person) {
  const auto first = person.value_or(person_id(person_key.public_key()));
  const auto public_key = server_key.public_key();
  auto certificate = make_certificate(person_key, network, public_key, now, first);
  return Identity{network,
                  first,
                  server_id(public_key),
                  std::move(server_key),
                  std::move(person_key),
                  std::move(certificate)};
}

}  // namespace spatter
