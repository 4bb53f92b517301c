#include "trust/trust_record.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/spoken.h"
#include "trust/clip.h"
#include "trust_kinds.h"

namespace spatter {
namespace {

/// Reads the fields that many kinds share; errors name kind and field.
class Fields {
 public:
  Fields(std::string_view kind, const GenesisFacts& genesis) : kind_(kind), genesis_(genesis) {}

  Result<void> network(const std::string& raw) const {
    if (raw == genesis_.network.raw()) return {};
    return fail(Errc::denied, "a {} record of another network", kind_);
  }
  template <class IdType>
  Result<IdType> id(const std::string& raw, std::string_view field) const {
    auto id = IdType::from(raw);
    if (!id)
      return fail(Errc::invalid, "a {} record whose {} has {} bytes instead of 32", kind_, field,
                  raw.size());
    return *id;
  }
  Result<std::uint64_t> epoch(std::uint64_t value) const {
    if (value <= epoch_max) return value;
    return fail(Errc::invalid, "a {} record of epoch {}", kind_, value);
  }
  Result<std::uint32_t> number(std::uint32_t value) const {
    if (value >= 1 && value <= trust_number_max) return value;
    return fail(Errc::invalid, "a {} record with number {}", kind_, value);
  }
  Result<std::string> reason(const std::string& text) const {
    if (text.size() <= reason_bytes_max) return text;
    return fail(Errc::invalid, "a {} record with a reason of {} bytes, at most {} are allowed",
                kind_, text.size(), reason_bytes_max);
  }
  Result<std::optional<Digest>> commitment(const std::string& raw) const {
    if (raw.empty()) return std::optional<Digest>();
    TRY(auto digest, id<Digest>(raw, "recovery commitment"));
    return std::optional(digest);
  }
  Result<VrfOutput> draw(const PersonId& key, const Draw& draw, const std::string& raw) const {
    DrawProof proof;
    if (raw.size() != proof.proof.size())
      return fail(Errc::invalid, "a {} record with a draw of {} bytes", kind_, raw.size());
    proof.key = key.bytes;
    std::ranges::copy(as_bytes(raw), proof.proof.begin());
    auto output = check_draw(draw, proof);
    if (!output) return fail(output.error().during(fmt::format("a {} record", kind_)));
    return *output;
  }
  const NetworkId& network() const { return genesis_.network; }

 private:
  std::string_view kind_;
  const GenesisFacts& genesis_;
};

Result<Vouch> read(const Fields& fields, const PersonId& key, const wire::Vouch& message) {
  Vouch vouch;
  TRY(vouch.voucher, fields.id<PersonId>(message.voucher(), "voucher"));
  TRY(vouch.person, fields.id<PersonId>(message.person(), "person"));
  TRY(vouch.number, fields.number(message.number()));
  if (vouch.voucher == vouch.person)
    return fail(Errc::invalid, "person {} vouches for himself", vouch.voucher);
  TRY(vouch.draw, fields.draw(key, reviewers_draw(fields.network(), vouch.voucher, vouch.number),
                              message.draw()));
  return vouch;
}

Result<Renewal> read(const Fields& fields, const PersonId& key, const wire::Renewal& message) {
  Renewal renewal;
  TRY(renewal.person, fields.id<PersonId>(message.person(), "person"));
  TRY(renewal.round, fields.number(message.round()));
  TRY(renewal.draw,
      fields.draw(key, procedure_draw(fields.network(), renewal.person, renewal.round),
                  message.draw()));
  return renewal;
}

Result<Announce> read(const Fields& fields, const PersonId&, const wire::Announce& message) {
  Announce announce;
  TRY(announce.person, fields.id<PersonId>(message.person(), "person"));
  TRY(announce.basis, fields.id<Digest>(message.basis(), "basis"));
  TRY(announce.clip, fields.id<Digest>(message.clip(), "clip"));
  TRY(announce.recovery, fields.commitment(message.recovery()));
  TRY(announce.phrase_epoch, fields.epoch(message.phrase_epoch()));
  if (announce.phrase_epoch > message.epoch())
    return fail(Errc::invalid, "an announce record of epoch {} with a phrase of epoch {}",
                message.epoch(), announce.phrase_epoch);
  if (message.clip_bytes() < 1 || message.clip_bytes() > sealed_clip_bytes_max)
    return fail(Errc::invalid, "an announce record with a clip of {} bytes, at most {} are allowed",
                message.clip_bytes(), sealed_clip_bytes_max);
  if (message.clip_key().size() != sealed_clip_key_bytes)
    return fail(Errc::invalid, "an announce record whose clip key has {} bytes",
                message.clip_key().size());
  announce.clip_bytes = message.clip_bytes();
  announce.clip_key = to_bytes(as_bytes(message.clip_key()));
  if (message.lots_size() > static_cast<int>(lots_max))
    return fail(Errc::invalid, "an announce record with {} lots, at most {} are allowed",
                message.lots_size(), lots_max);
  const auto question = phrase_draw(fields.network(), announce.basis, announce.phrase_epoch);
  for (const auto& given : message.lots()) {
    PhraseLot lot;
    TRY(lot.giver, fields.id<PersonId>(given.giver(), "lot's giver"));
    TRY(lot.key, fields.id<PersonId>(given.key(), "lot's key"));
    if (!announce.lots.empty() && announce.lots.back().giver >= lot.giver)
      return fail(Errc::invalid, "an announce record whose lots are not in order");
    TRY(lot.draw, fields.draw(lot.key, question, given.draw()));
    announce.lots.push_back(lot);
  }
  return announce;
}

Result<Review> read(const Fields& fields, const PersonId& key, const wire::Review& message) {
  Review review;
  TRY(review.reviewer, fields.id<PersonId>(message.reviewer(), "reviewer"));
  TRY(review.announce, fields.id<Digest>(message.announce(), "announce"));
  TRY(review.reason, fields.reason(message.reason()));
  if (message.verdict() < 1 || message.verdict() > 3)
    return fail(Errc::invalid, "a review record with verdict {}", message.verdict());
  review.verdict = static_cast<Verdict>(message.verdict());
  TRY(review.draw,
      fields.draw(key, contribution_draw(fields.network(), review.announce), message.draw()));
  return review;
}

Result<Countersign> read(const Fields& fields, const PersonId&, const wire::Countersign& message) {
  Countersign countersign;
  TRY(countersign.signer, fields.id<PersonId>(message.signer(), "signer"));
  TRY(countersign.renewal, fields.id<Digest>(message.renewal(), "renewal"));
  return countersign;
}

Result<WordsProof> read(const Fields& fields, const PersonId&, const wire::WordsProof& message) {
  WordsProof proof;
  TRY(proof.person, fields.id<PersonId>(message.person(), "person"));
  TRY(proof.renewal, fields.id<Digest>(message.renewal(), "renewal"));
  return proof;
}

Result<Doubt> read(const Fields& fields, const PersonId&, const wire::Doubt& message) {
  Doubt doubt;
  TRY(doubt.doubter, fields.id<PersonId>(message.doubter(), "doubter"));
  TRY(doubt.person, fields.id<PersonId>(message.person(), "person"));
  TRY(doubt.reason, fields.reason(message.reason()));
  if (doubt.doubter == doubt.person)
    return fail(Errc::invalid, "person {} doubts himself", doubt.doubter);
  return doubt;
}

Result<Rotation> read(const Fields& fields, const PersonId&, const wire::Rotation& message) {
  Rotation rotation;
  TRY(rotation.person, fields.id<PersonId>(message.person(), "person"));
  TRY(rotation.number, fields.number(message.number()));
  TRY(rotation.new_key, fields.id<PersonId>(message.new_key(), "new key"));
  wire::Signed claim;
  claim.set_body(rotation_claim(fields.network(), rotation.person, rotation.number));
  claim.set_key(message.new_key());
  claim.set_signature(message.new_signature());
  if (auto held = check(claim, kind::rotation_key); !held)
    return fail(held.error().during("a rotation record's new key"));
  return rotation;
}

template <class Message>
Result<TrustFacts> open_record(const wire::TrustRecord& record, const GenesisFacts& genesis) {
  const auto which = static_cast<TrustKind>(record.kind());
  const auto name = kind_name(which);
  TRY(auto message, open_signed<Message>(record.record(), name));
  const Fields fields(name, genesis);
  TRY_VOID(fields.network(message.network()));
  TrustFacts facts;
  facts.id = trust_record_id(which, record.record());
  TRY(facts.key, PersonId::from(record.record().key()));
  TRY(facts.epoch, fields.epoch(message.epoch()));
  TRY(facts.what, read(fields, facts.key, message));
  return facts;
}

Result<TrustFacts> open_admission(const wire::Signed& record, const GenesisFacts& genesis) {
  TRY(auto admission, check_admission(record, genesis.network));
  TrustFacts facts;
  facts.id = trust_record_id(TrustKind::admission, record);
  facts.key = admission.signed_by;
  const auto issued = std::min<std::uint64_t>(admission.issued_ms, std::numeric_limits<WallMs>::max());
  facts.epoch = std::min(genesis.epoch_of(static_cast<WallMs>(issued)), epoch_max);
  facts.what = Admitted{admission.person, admission.inviter, admission.recovery};
  return facts;
}

}  // namespace

std::string_view kind_name(TrustKind which) {
  switch (which) {
    case TrustKind::admission: return kind::admission;
    case TrustKind::vouch: return kind::vouch;
    case TrustKind::renewal: return kind::renewal;
    case TrustKind::announce: return kind::announce;
    case TrustKind::review: return kind::review;
    case TrustKind::countersign: return kind::countersign;
    case TrustKind::words: return kind::words;
    case TrustKind::doubt: return kind::doubt;
    case TrustKind::rotation: return kind::rotation;
  }
  panic(__FILE__, __LINE__, "a kind of trust record without a name");
}

std::string rotation_claim(const NetworkId& network, const PersonId& person, std::uint32_t number) {
  std::string claim = network.raw() + person.raw();
  for (int shift = 0; shift < 64; shift += 8)
    claim += static_cast<char>(std::uint64_t{number} >> shift & 0xff);
  return claim;
}

Digest trust_record_id(TrustKind which, const wire::Signed& record) {
  return Sha256()
      .update(as_bytes(record.key()))
      .update(signed_bytes(kind_name(which), record.body()))
      .finish();
}

Result<TrustFacts> check_trust_record(const wire::TrustRecord& record,
                                      const GenesisFacts& genesis) {
  if (record.record().body().size() > trust_record_bytes_max)
    return fail(Errc::invalid, "a trust record of {} bytes: at most {} are allowed",
                record.record().body().size(), trust_record_bytes_max);
  switch (record.kind()) {
    case 1: return open_admission(record.record(), genesis);
    case 2: return open_record<wire::Vouch>(record, genesis);
    case 3: return open_record<wire::Renewal>(record, genesis);
    case 4: return open_record<wire::Announce>(record, genesis);
    case 5: return open_record<wire::Review>(record, genesis);
    case 6: return open_record<wire::Countersign>(record, genesis);
    case 7: return open_record<wire::WordsProof>(record, genesis);
    case 8: return open_record<wire::Doubt>(record, genesis);
    case 9: return open_record<wire::Rotation>(record, genesis);
    default: return fail(Errc::invalid, "a trust record of kind {}", record.kind());
  }
}

std::string phrase_of(const NetworkId& network, const Digest& basis, std::uint64_t epoch,
                      const std::vector<PhraseLot>& lots) {
  static constexpr std::string_view tag("spatter/1 phrase\0", 17);
  Bytes all = to_bytes(as_bytes(tag));
  const auto add = [&](ByteView piece) { all.insert(all.end(), piece.begin(), piece.end()); };
  add(network.view());
  add(basis.view());
  for (int shift = 0; shift < 64; shift += 8) all.push_back(static_cast<std::uint8_t>(epoch >> shift));
  for (const auto& lot : lots) {
    add(lot.giver.view());
    add(lot.draw);
  }
  return spoken_words(blake2b({}, all).bytes, phrase_words);
}

}  // namespace spatter
