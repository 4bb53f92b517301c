// What a set of trust records amounts to: who is trusted, since when and how far, who must review or
// perform what. A pure function of the records, the genesis and the epoch: whoever has the same
// records, in whatever order they came, gets the same answer.
//
// How it is worked out. Records are taken epoch by epoch. What somebody may do in an epoch follows
// from what he was before it, so that no two records of one epoch depend on each other's order. What
// was decided in an epoch stays decided: records that come later, or say that they are of a later
// epoch, change what follows and not what was.
//
// The way to trust (genesis.rules.reviewers > 0; with 0 an admission is enough):
//   1. a trusted person vouches (Vouch). Every vouch has a number, and who reviews is drawn from his
//      number, never from the newcomer: the reviewers are fixed before the newcomer does anything;
//   2. the reviewers' lots make the phrase, the newcomer says it and announces the clip (Announce);
//   3. the reviewers vouch or refuse (Review). As many vouches as the genesis asks make a trusted
//      person; as many refusals as make that impossible end the matter.
// Once trusted, procedures come due (Renewal, and what it draws: a clip, countersignatures, words).
//
// Fraud is proven by two conflicting records of one signer (one vouch number for two persons; a vouch
// and a refusal of one clip), or when a trusted person's later clip is refused. Who vouched for a
// fraud loses weight for a time; those whom the fraud vouched for must show themselves again.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "chance/procedure.h"
#include "trust/trust_record.h"

namespace spatter {

struct Standing {
  enum class State { stranger, guest, trusted, fraud };
  State state = State::stranger;
  std::uint64_t since = 0;      ///< epoch of becoming what he is
  PersonId key;                 ///< that he signs with now
  std::uint32_t key_number = 0; ///< of rotations so far
  /// His keys, the first one first: which, and since what epoch.
  struct Key {
    PersonId key;
    std::uint64_t since = 0;
  };
  std::vector<Key> keys;
  bool has_had(const PersonId& which) const;
  std::optional<PersonId> inviter;     ///< whose vouch made him trusted, or who let him in
  std::vector<PersonId> vouchers;      ///< inviter first, then the reviewers who vouched
  std::optional<Digest> recovery;      ///< SHA-256 of his recovery key
  unsigned weight = 100;        ///< percent: how much his word counts

  unsigned vouches_open = 0;
  unsigned vouches_open_max = 0;
  std::uint32_t next_vouch = 1; ///< the number that his next vouch must have

  std::uint64_t due = 0;        ///< epoch from which a procedure is due; 0: never
  bool overdue = false;
  std::uint32_t next_round = 1; ///< the number that his next renewal must have
  unsigned allowance = 0;       ///< percent of what the network allows a trusted person
};
std::string_view to_string(Standing::State state);

/// Whether a key was a person's in an epoch: what he signed then goes on to count.
bool had_key(std::span<const Standing::Key> keys, const PersonId& which, std::uint64_t epoch);

/// A clip that is asked for, announced or judged.
struct ClipCase {
  Digest basis;             ///< id of the vouch or renewal
  PersonId subject;
  bool renewal = false;     ///< else a newcomer's
  std::uint64_t epoch = 0;  ///< of the basis
  std::vector<PersonId> drawn;      ///< in the order of the draw; substitutes behind the reviewers
  unsigned reviewers = 0;           ///< how many of `drawn` are asked first
  unsigned vouches_needed = 0;
  std::optional<Digest> announce;   ///< id of the announce record that counts
  std::uint64_t announced = 0;      ///< its epoch
  unsigned vouches = 0;
  unsigned refusals = 0;
  enum class State { open, accepted, refused, expired };
  State state = State::open;

  /// Who may review in an epoch: the reviewers, and the substitutes once their time has come.
  std::vector<PersonId> asked(std::uint64_t epoch, const TrustRules& rules) const;
};

/// A renewal that is under way or done.
struct RenewalCase {
  Digest renewal;
  PersonId person;
  std::uint32_t round = 0;
  std::uint64_t epoch = 0;
  Procedure procedure = Procedure::new_clip;
  std::vector<PersonId> countersigners;  ///< who may, for Procedure::countersign
  unsigned countersigns_needed = 0;
  bool done = false;
};

struct Standings {
  std::map<PersonId, Standing> persons;
  std::map<Digest, ClipCase> clips;        ///< by basis
  std::map<Digest, RenewalCase> renewals;  ///< by id

  const Standing& of(const PersonId& person) const;  ///< a stranger's when unknown
};

/// `records` may hold several of anything, in any order, also what is void. Those of epochs beyond
/// `now` + 1 are left out: clocks differ by that much.
Standings evaluate(std::span<const TrustFacts> records, const GenesisFacts& genesis,
                   std::uint64_t now);

// What follows for everybody else ------------------------------------------------------------

/// Reads what is shared with him, asks where it lies.
inline bool may_read(const Standing& who) {
  return who.state == Standing::State::guest || who.state == Standing::State::trusted;
}
inline bool is_trusted(const Standing& who) { return who.state == Standing::State::trusted; }
/// His servers keep others' shards.
inline bool may_hold(const Standing& who) { return is_trusted(who); }
/// His servers stand in routing tables and keep directory records.
inline bool may_enter_routing_table(const Standing& who) { return is_trusted(who); }
/// Percent of a trusted person's allowance that he may have stored with others.
inline unsigned may_store_allowance(const Standing& who) { return who.allowance; }
/// He is drawn as reviewer, reporter or auditor: only while nothing is overdue and at least half his
/// weight is left.
inline bool may_be_drawn(const Standing& who) {
  return is_trusted(who) && !who.overdue && who.weight >= 50;
}
inline bool may_vouch(const Standing& who) {
  return is_trusted(who) && !who.overdue && who.vouches_open < who.vouches_open_max;
}

}  // namespace spatter
