// One working out of trust/standing.h: the state that grows from epoch to epoch.
#pragma once

#include <set>

#include "trust/standing.h"

namespace spatter {

/// SHA-256 of the tag, a zero byte, and the pieces laid end to end.
Digest tagged(std::string_view tag, std::initializer_list<ByteView> pieces);

class Sweep {
 public:
  Sweep(const GenesisFacts& genesis, std::uint64_t now);
  Standings run(std::vector<const TrustFacts*> records);

 private:
  struct Loss {
    std::uint64_t epoch;
    unsigned percent;
    PersonId cause;
  };
  struct Person {
    PersonId id;
    std::optional<std::uint64_t> admitted_since;
    std::optional<PersonId> admitted_by;
    std::optional<std::uint64_t> trusted_since;
    std::optional<std::uint64_t> fraud_since;
    bool fraud_by_conflict = false;  ///< and not by a clip that was refused
    std::optional<PersonId> inviter;
    std::vector<PersonId> vouchers;
    std::vector<PersonId> guests;  ///< whom his vouches made trusted
    std::optional<Digest> recovery;
    Digest anchor;                 ///< of his seed chain
    PersonId key;
    std::uint32_t key_number = 0;
    std::vector<Standing::Key> keys;
    std::vector<Loss> losses;
    std::uint32_t last_vouch = 0;
    std::vector<Digest> vouches;   ///< ids of those with a trial
    std::uint32_t last_round = 0;
    std::optional<Digest> renewal; ///< the newest
    std::uint64_t renewed = 0;     ///< epoch of becoming trusted, or of the last procedure done
    std::optional<std::uint64_t> forced;  ///< a new clip is due from here on
    std::set<PersonId> doubters;       ///< since the last accepted clip
    std::set<PersonId> doubters_ever;  ///< nobody's doubt counts twice
  };
  struct Vote {
    Verdict verdict = Verdict::unclear;
    std::uint64_t epoch = 0;
    VrfOutput draw{};
  };
  struct Trial {
    ClipCase facts;
    std::optional<PersonId> voucher;
    std::uint64_t closed = 0;      ///< epoch of its end, unless still open
    const Announce* announce = nullptr;  ///< in the records given
    std::map<std::size_t, Vote> votes;  ///< by place in `drawn`
  };
  struct Round {
    RenewalCase facts;
    std::set<PersonId> signers;
    bool words_shown = false;
  };

  void take_admissions(const std::vector<const TrustFacts*>& records);
  std::vector<Standing::Key> keys_of(const PersonId& person, const Digest& recovery,
                                     const std::vector<const TrustFacts*>& records) const;
  void take_epoch(std::span<const TrustFacts* const> records, std::uint64_t epoch);
  void take(const TrustFacts&, const Admitted&) {}  // see take_admissions
  void take(const TrustFacts& facts, const Rotation& rotation);
  void take(const TrustFacts& facts, const Vouch& vouch);
  void take(const TrustFacts& facts, const Renewal& renewal);
  void take(const TrustFacts& facts, const Announce& announce);
  void take(const TrustFacts& facts, const Review& review);
  void take(const TrustFacts& facts, const Countersign& countersign);
  void take(const TrustFacts& facts, const WordsProof& proof);
  void take(const TrustFacts& facts, const Doubt& doubt);

  void decide_trial(Trial& trial, std::uint64_t epoch);
  void decide_round(Round& round, std::uint64_t epoch);
  void accept_newcomer(Trial& trial, const std::vector<std::size_t>& vouching, std::uint64_t epoch);
  enum class Proof { conflict, clip_refused };
  void prove_fraud(const PersonId& who, std::uint64_t epoch, Proof proof);
  void pardon(Person& person);
  void force_clip(Person& person, std::uint64_t epoch);
  void procedure_done(Round& round, std::uint64_t epoch);

  Person* find(const PersonId& person);
  const Person* find(const PersonId& person) const;
  /// The record is signed with the key that this person has in its epoch.
  Person* signer(const PersonId& person, const TrustFacts& facts);
  bool trusted_before(const Person& person, std::uint64_t epoch) const;
  unsigned weight(const Person& person, std::uint64_t epoch) const;
  std::uint64_t due(const Person& person) const;
  bool overdue(const Person& person, std::uint64_t epoch) const;
  bool drawable(const Person& person, std::uint64_t epoch) const;
  unsigned open_vouches(const Person& person, std::uint64_t epoch) const;
  unsigned open_vouches_max(const Person& person, std::uint64_t epoch) const;
  bool is_open(const Trial& trial, std::uint64_t epoch) const;
  Procedure procedure_for(const Person& person, const Digest& seed,
                          const std::vector<PersonId>& countersigners) const;
  Trial make_trial(const Digest& basis, const PersonId& subject,
                   const std::optional<PersonId>& voucher, const Digest& seed,
                   std::uint64_t epoch) const;
  unsigned lots_that_count(const Trial& trial, const Announce& announce) const;
  Standing standing_of(const Person& person) const;

  const GenesisFacts& genesis_;
  const TrustRules& rules_;
  std::uint64_t now_;
  std::map<PersonId, Person> persons_;
  std::map<PersonId, PersonId> owner_of_key_;  ///< every key that is or was somebody's
  std::map<Digest, Trial> trials_;             ///< by basis
  std::map<Digest, Digest> trial_of_announce_;
  std::map<Digest, Round> rounds_;
  std::map<std::pair<PersonId, std::uint32_t>, PersonId> vouched_;  ///< by voucher and number
  std::map<std::pair<PersonId, Digest>, Verdict> judged_;           ///< by reviewer and announce
  std::set<Digest> touched_;                   ///< trials to decide at the end of the epoch
  std::set<Digest> touched_rounds_;
};

}  // namespace spatter
