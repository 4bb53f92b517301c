// The trust records that a server holds: checked, and bounded whatever is offered. Admissions are not
// among them; the list of members has those.
//
// What is held depends on what was offered, not on the order: every signer has so many places for
// each kind; of records about the same (a vouch number, a verdict on one clip, a person doubted) the four
// of the earliest epochs are kept, and when places run out those of the highest numbers or epochs go.
// Honest signers make one; two of one vouch number, or a vouch and a refusal of one clip, prove a
// fraud; more say nothing more.
//
// Order matters in one way only: a record whose signer or basis is not known yet is refused, and has
// to be offered again. Pure: no clock, no network, no disk.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "trust/standing.h"

namespace spatter {

class RecordBook {
 public:
  static constexpr std::size_t per_slot_max = 4;
  static constexpr std::size_t vouches_max = 128;  ///< of one signer, as all below
  static constexpr std::size_t renewals_max = 64;
  static constexpr std::size_t announces_max = 64;
  static constexpr std::size_t reviews_max = 128;
  static constexpr std::size_t countersigns_max = 64;
  static constexpr std::size_t words_max = 64;
  static constexpr std::size_t doubts_max = 32;
  static constexpr std::size_t rotations_max = 64;

  /// What somebody committed to when he was let in; it never changes.
  using CommitmentOf = std::function<std::optional<Digest>(const PersonId&)>;
  /// `is_admitted` says who is in the network; both are asked at every add.
  RecordBook(GenesisFacts genesis, std::function<bool(const PersonId&)> is_admitted,
             CommitmentOf commitment_of = {});

  /// True: now held. False: held already, or there is no place for it. Errors as
  /// of check_trust_record, and not_found when its signer or what it refers to is not known (yet).
  Result<bool> add(const wire::TrustRecord& record);

  struct Entry {
    wire::TrustRecord record;
    TrustFacts facts;
  };
  const std::map<Digest, Entry>& records() const { return records_; }  ///< by id
  /// Those of one person, all by recovery keys that he has committed to, by number; whether they count or not.
  std::vector<const Entry*> rotations_of(const PersonId& person) const;
  bool has_rotations() const { return !rotations_.empty(); }
  /// Equal in two books exactly when they hold the same records.
  Digest digest() const;

  /// With the admissions of the list of members.
  Standings standings(std::span<const TrustFacts> admissions, std::uint64_t now) const;

 private:
  struct Held {
    std::uint64_t rank = 0;   ///< number, or epoch: what goes last when places run out
    std::uint64_t epoch = 0;
    Digest id;
    Digest slot;              ///< what it is about
  };

  Result<void> check_known(const TrustFacts& facts) const;
  bool key_is_known(const TrustFacts& facts) const;
  bool has_committed(const PersonId& person, const PersonId& recovery) const;
  void hold(Entry entry);
  void drop(const Digest& id);

  GenesisFacts genesis_;
  std::function<bool(const PersonId&)> is_admitted_;
  CommitmentOf commitment_of_;
  std::map<Digest, Entry> records_;
  std::map<std::pair<PersonId, TrustKind>, std::vector<Held>> shelves_;
  /// By clips that persons have announced with their first keys: how many records hold each.
  std::map<std::pair<PersonId, Digest>, std::size_t> commitments_;
  std::map<PersonId, std::size_t> new_keys_;  ///< how many rotations hold each
  std::map<PersonId, std::set<std::pair<std::uint32_t, Digest>>> rotations_;  ///< by person: number and id
};

}  // namespace spatter
