// An invented network with reviews, for the tests of trust: persons, their keys, and the records they
// sign, as an honest member would make them from what he knows.
#pragma once

#include "crypto/hash.h"
#include "crypto/secret.h"
#include "trust/clip.h"
#include "trust/draws.h"
#include "trust/standing.h"

namespace spatter {

struct Villager {
  explicit Villager(Random& random)
      : secret(PersonSecret::generate(random)), key(secret.numbered(1).signing_key()),
        id(person_id(key.public_key())) {}
  PersonSecret secret;
  SigningKey key;
  PersonId id;
};

class Village {
 public:
  explicit Village(TrustRules rules = TrustRules::reviewed(), std::uint64_t seed = 1)
      : random(seed) {
    persons.emplace_back(random);
    GenesisExtras extras{rules, recovery_commitment(founder().secret.recovery_key())};
    genesis_record = make_genesis(founder().key, random, 1000, 3600, extras);
    genesis = check_genesis(genesis_record).value();
  }

  Villager& founder() { return persons.front(); }
  const NetworkId& network() const { return genesis.network; }
  Villager& of(const PersonId& id) {
    return *std::ranges::find(persons, id, &Villager::id);
  }

  bool knows(const PersonId& id) const {
    return std::ranges::find(persons, id, &Villager::id) != persons.end();
  }

  /// Checks it, keeps it, and says its id.
  Digest add(wire::TrustRecord record) {
    auto facts = check_trust_record(record, genesis);
    if (!facts) throw std::runtime_error(facts.error().message);
    wire_records.push_back(std::move(record));
    records.push_back(*facts);
    return records.back().id;
  }
  Standings now(std::uint64_t epoch) const { return evaluate(records, genesis, epoch); }
  const Standing standing(const Villager& who, std::uint64_t epoch) const {
    return now(epoch).of(who.id);
  }

  static VrfProof proof_by(const Villager& who, const Draw& draw) {
    return make_draw(who.key, draw).proof.proof;
  }

  Villager& guest(const Villager& inviter, std::uint64_t epoch) {
    const auto by = inviter;  // the list of persons grows
    auto& fresh = persons.emplace_back(random);
    add(admission_record(make_admission(by.key, network(), fresh.id,
                                        static_cast<WallMs>(1000 + epoch * 3600'000))));
    return fresh;
  }

  wire::TrustRecord vouch_record(const Villager& voucher, const PersonId& person,
                                 std::uint32_t number, std::uint64_t epoch) {
    const auto draw =
        proof_by(voucher, reviewers_draw(network(), voucher.id, number));
    return make_vouch(voucher.key, network(), voucher.id, person, number, epoch, draw);
  }
  Digest vouch(const Villager& voucher, const Villager& person, std::uint64_t epoch) {
    return add(vouch_record(voucher, person.id, now(epoch).of(voucher.id).next_vouch, epoch));
  }

  GivenLot lot(const Villager& giver, const Digest& basis, std::uint64_t epoch) {
    return {giver.id, person_id(giver.key.public_key()),
            proof_by(giver, phrase_draw(network(), basis, epoch))};
  }
  NewAnnounce new_announce(const Villager& person, const Digest& basis,
                           const std::vector<PersonId>& givers, std::uint64_t epoch) {
    NewAnnounce fresh;
    fresh.person = person.id;
    fresh.basis = basis;
    fresh.epoch = fresh.phrase_epoch = epoch;
    for (const auto& id : givers) fresh.lots.push_back(lot(of(id), basis, epoch));
    fresh.clip = random.id<Digest>();
    fresh.clip_bytes = 1000;
    fresh.clip_key.resize(sealed_clip_key_bytes);
    fresh.recovery = recovery_commitment(person.secret.recovery_key());
    return fresh;
  }
  /// With the lots of all who are asked; of the voucher while there is nobody.
  Digest announce(const Villager& person, const Digest& basis, std::uint64_t epoch) {
    const auto clip = now(epoch).clips.at(basis);
    auto givers = clip.asked(epoch, genesis.rules);
    if (givers.empty() && !clip.renewal)
      givers = {std::get<Vouch>(find(basis).what).voucher};
    return add(make_announce(person.key, network(), new_announce(person, basis, givers, epoch)));
  }
  wire::TrustRecord review_record(const Villager& reviewer, const Digest& announce,
                                  Verdict verdict, std::uint64_t epoch) {
    const auto draw = proof_by(reviewer, contribution_draw(network(), announce));
    return make_review(reviewer.key, network(), reviewer.id, announce, verdict, "why", epoch, draw);
  }
  Digest review(const Villager& reviewer, const Digest& announce, Verdict verdict,
                std::uint64_t epoch) {
    return add(review_record(reviewer, announce, verdict, epoch));
  }
  /// A guest of the founder, whose clip waits for its reviewers.
  struct Announced {
    Villager& person;
    Digest basis;
    std::vector<PersonId> drawn;
    Digest said;
  };
  Announced announced_guest(std::uint64_t epoch) {
    auto& fresh = guest(founder(), epoch);
    const auto basis = vouch(founder(), fresh, epoch);
    auto drawn = now(epoch).clips.at(basis).drawn;
    const auto said = announce(fresh, basis, epoch);
    return {fresh, basis, std::move(drawn), said};
  }

  Digest renew(const Villager& person, std::uint64_t epoch) {
    const auto round = now(epoch).of(person.id).next_round;
    const auto draw =
        proof_by(person, procedure_draw(network(), person.id, round));
    return add(make_renewal(person.key, network(), person.id, round, epoch, draw));
  }

  /// The whole way of a newcomer, everybody honest.
  Villager& newcomer(Villager& inviter, std::uint64_t epoch) {
    const auto by = inviter.id;
    auto& fresh = guest(inviter, epoch);
    const auto basis = vouch(of(by), fresh, epoch);
    const auto said = announce(fresh, basis, epoch);
    for (const auto& id : now(epoch).clips.at(basis).asked(epoch, genesis.rules))
      review(of(id), said, Verdict::vouch, epoch);
    return fresh;
  }
  /// The founder and `count` others, all trusted, one an epoch from 1 on.
  void grow(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) newcomer(founder(), 1 + i);
  }

  const TrustFacts& find(const Digest& id) const {
    return *std::ranges::find(records, id, &TrustFacts::id);
  }

  SeededRandom random;
  std::deque<Villager> persons;  ///< stay where they are
  wire::Signed genesis_record;
  GenesisFacts genesis;
  std::vector<wire::TrustRecord> wire_records;
  std::vector<TrustFacts> records;
};

}  // namespace spatter
