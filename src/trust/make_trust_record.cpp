#include "crypto/hash.h"
#include "trust_kinds.h"

#include <algorithm>

namespace spatter {
namespace {

template <class Message>
wire::TrustRecord sign_record(const SigningKey& key, TrustKind which, const Message& message) {
  wire::TrustRecord record;
  record.set_kind(static_cast<std::uint32_t>(which));
  *record.mutable_record() = sign_message(key, kind_name(which), message);
  return record;
}

std::string raw(ByteView bytes) { return to_string(bytes); }

}  // namespace

wire::TrustRecord admission_record(const wire::Signed& admission) {
  wire::TrustRecord record;
  record.set_kind(static_cast<std::uint32_t>(TrustKind::admission));
  *record.mutable_record() = admission;
  return record;
}

wire::TrustRecord make_vouch(const SigningKey& key, const NetworkId& network,
                             const PersonId& voucher, const PersonId& person, std::uint32_t number,
                             std::uint64_t epoch, const VrfProof& draw) {
  wire::Vouch message;
  message.set_network(network.raw());
  message.set_voucher(voucher.raw());
  message.set_person(person.raw());
  message.set_number(number);
  message.set_epoch(epoch);
  message.set_draw(raw(draw));
  return sign_record(key, TrustKind::vouch, message);
}

wire::TrustRecord make_renewal(const SigningKey& key, const NetworkId& network,
                               const PersonId& person, std::uint32_t round, std::uint64_t epoch,
                               const VrfProof& draw) {
  wire::Renewal message;
  message.set_network(network.raw());
  message.set_person(person.raw());
  message.set_round(round);
  message.set_epoch(epoch);
  message.set_draw(raw(draw));
  return sign_record(key, TrustKind::renewal, message);
}

wire::TrustRecord make_announce(const SigningKey& key, const NetworkId& network,
                                NewAnnounce announce) {
  wire::Announce message;
  message.set_network(network.raw());
  message.set_person(announce.person.raw());
  message.set_basis(announce.basis.raw());
  message.set_epoch(announce.epoch);
  message.set_phrase_epoch(announce.phrase_epoch);
  std::ranges::sort(announce.lots, {}, &GivenLot::giver);
  for (const auto& given : announce.lots) {
    auto* lot = message.add_lots();
    lot->set_giver(given.giver.raw());
    lot->set_key(given.key.raw());
    lot->set_draw(raw(given.draw));
  }
  message.set_clip(announce.clip.raw());
  message.set_clip_bytes(announce.clip_bytes);
  message.set_clip_key(raw(announce.clip_key));
  if (announce.recovery) message.set_recovery(announce.recovery->raw());
  return sign_record(key, TrustKind::announce, message);
}

wire::TrustRecord make_review(const SigningKey& key, const NetworkId& network,
                              const PersonId& reviewer, const Digest& announce, Verdict verdict,
                              std::string reason, std::uint64_t epoch, const VrfProof& draw) {
  wire::Review message;
  message.set_network(network.raw());
  message.set_reviewer(reviewer.raw());
  message.set_announce(announce.raw());
  message.set_verdict(static_cast<std::uint32_t>(verdict));
  message.set_reason(std::move(reason));
  message.set_epoch(epoch);
  message.set_draw(raw(draw));
  return sign_record(key, TrustKind::review, message);
}

wire::TrustRecord make_countersign(const SigningKey& key, const NetworkId& network,
                                   const PersonId& signer, const Digest& renewal,
                                   std::uint64_t epoch) {
  wire::Countersign message;
  message.set_network(network.raw());
  message.set_signer(signer.raw());
  message.set_renewal(renewal.raw());
  message.set_epoch(epoch);
  return sign_record(key, TrustKind::countersign, message);
}

wire::TrustRecord make_words_proof(const SigningKey& recovery, const NetworkId& network,
                                   const PersonId& person, const Digest& renewal,
                                   std::uint64_t epoch) {
  wire::WordsProof message;
  message.set_network(network.raw());
  message.set_person(person.raw());
  message.set_renewal(renewal.raw());
  message.set_epoch(epoch);
  return sign_record(recovery, TrustKind::words, message);
}

wire::TrustRecord make_doubt(const SigningKey& key, const NetworkId& network,
                             const PersonId& doubter, const PersonId& person, std::string reason,
                             std::uint64_t epoch) {
  wire::Doubt message;
  message.set_network(network.raw());
  message.set_doubter(doubter.raw());
  message.set_person(person.raw());
  message.set_reason(std::move(reason));
  message.set_epoch(epoch);
  return sign_record(key, TrustKind::doubt, message);
}

wire::TrustRecord make_rotation(const SigningKey& recovery, const SigningKey& new_key,
                                const NetworkId& network, const PersonId& person,
                                std::uint32_t number, std::uint64_t epoch) {
  const auto claim =
      sign(new_key, kind::rotation_key, rotation_claim(network, person, number));
  wire::Rotation message;
  message.set_network(network.raw());
  message.set_person(person.raw());
  message.set_number(number);
  message.set_new_key(claim.key());
  message.set_new_signature(claim.signature());
  message.set_epoch(epoch);
  return sign_record(recovery, TrustKind::rotation, message);
}

Digest recovery_commitment(const SigningKey& recovery) { return sha256(recovery.public_key()); }

}  // namespace spatter
