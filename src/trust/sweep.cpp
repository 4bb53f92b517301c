#include "sweep.h"

#include <algorithm>

#include "crypto/hash.h"

namespace spatter {
namespace {

std::uint32_t number_of(const TrustFacts& facts) {
  if (const auto* vouch = std::get_if<Vouch>(&facts.what)) return vouch->number;
  if (const auto* renewal = std::get_if<Renewal>(&facts.what)) return renewal->round;
  if (const auto* rotation = std::get_if<Rotation>(&facts.what)) return rotation->number;
  return 0;
}

/// Keys change before anything else of the epoch is looked at.
auto order_of(const TrustFacts& facts) {
  const auto phase = facts.kind() == TrustKind::rotation ? 0U : static_cast<unsigned>(facts.kind());
  return std::tuple(facts.epoch, phase, number_of(facts), facts.id);
}

}  // namespace

Sweep::Sweep(const GenesisFacts& genesis, std::uint64_t now)
    : genesis_(genesis), rules_(genesis.rules), now_(now) {}

Standings Sweep::run(std::vector<const TrustFacts*> records) {
  std::erase_if(records, [&](const TrustFacts* facts) {
    return facts->epoch > now_ + 1 && facts->kind() != TrustKind::admission;
  });
  std::ranges::sort(records, {}, [](const TrustFacts* facts) { return order_of(*facts); });
  const auto same = [](const TrustFacts* a, const TrustFacts* b) { return a->id == b->id; };
  const auto repeated = std::ranges::unique(records, same);
  records.erase(repeated.begin(), repeated.end());

  take_admissions(records);
  for (std::size_t begin = 0; begin < records.size();) {
    const auto epoch = records[begin]->epoch;
    auto end = begin;
    while (end < records.size() && records[end]->epoch == epoch) ++end;
    take_epoch(std::span(records).subspan(begin, end - begin), epoch);
    begin = end;
  }

  Standings result;
  for (const auto& [id, person] : persons_) result.persons.emplace(id, standing_of(person));
  for (auto& [basis, trial] : trials_) {
    if (trial.facts.state == ClipCase::State::open && !is_open(trial, now_))
      trial.facts.state = ClipCase::State::expired;
    result.clips.emplace(basis, std::move(trial.facts));
  }
  for (auto& [id, round] : rounds_) result.renewals.emplace(id, std::move(round.facts));
  return result;
}

/// The keys that a person had, by what he committed to when he was let in: to tell which admissions are
/// his. In order of the records, as `take` has them.
std::vector<Standing::Key> Sweep::keys_of(const PersonId& person, const Digest& recovery,
                                          const std::vector<const TrustFacts*>& records) const {
  std::vector<Standing::Key> keys{{person, 0}};
  for (const auto* facts : records) {
    const auto* rotation = std::get_if<Rotation>(&facts->what);
    if (rotation && rotation->person == person && rotation->number == keys.size() &&
        sha256(facts->key.view()) == recovery)
      keys.push_back({rotation->new_key, facts->epoch});
  }
  return keys;
}

/// Who is in: whoever an admission by somebody who is in names, back to the founder. Epochs don't
/// matter here, clocks differ; and it is as the list of members has it.
void Sweep::take_admissions(const std::vector<const TrustFacts*>& records) {
  std::multimap<PersonId, const TrustFacts*> by_inviter;
  for (const auto* facts : records) {
    if (const auto* admitted = std::get_if<Admitted>(&facts->what))
      by_inviter.emplace(admitted->inviter, facts);
  }
  auto& founder = persons_[genesis_.founder];
  founder.admitted_since = 0;
  founder.recovery = genesis_.recovery;
  std::vector<const TrustFacts*> rotations;
  for (const auto* facts : records)
    if (facts->kind() == TrustKind::rotation) rotations.push_back(facts);
  std::map<PersonId, std::vector<Standing::Key>> keys;
  const auto signed_by_inviter = [&](const TrustFacts& facts, const PersonId& inviter) {
    if (facts.key == inviter && rotations.empty()) return true;
    auto at = keys.find(inviter);
    if (at == keys.end()) {
      const auto& recovery = persons_.at(inviter).recovery;
      at = keys.emplace(inviter, recovery ? keys_of(inviter, *recovery, rotations)
                                          : std::vector<Standing::Key>{{inviter, 0}}).first;
    }
    return had_key(at->second, facts.key, facts.epoch);
  };
  std::vector<PersonId> reached{genesis_.founder};
  for (std::size_t i = 0; i < reached.size(); ++i) {
    const auto [begin, end] = by_inviter.equal_range(reached[i]);
    for (auto at = begin; at != end; ++at) {
      const auto& admitted = std::get<Admitted>(at->second->what);
      if (admitted.person == genesis_.founder || !signed_by_inviter(*at->second, admitted.inviter)) continue;
      auto [place, fresh] = persons_.try_emplace(admitted.person);
      if (!fresh) continue;
      place->second.recovery = admitted.recovery;
      reached.push_back(admitted.person);
    }
  }
  // The earliest of a person's admissions counts: records are in order.
  for (const auto* facts : records) {
    const auto* admitted = std::get_if<Admitted>(&facts->what);
    if (!admitted || !persons_.contains(admitted->inviter)) continue;
    if (admitted->inviter == admitted->person) continue;
    const auto found = persons_.find(admitted->person);
    if (found == persons_.end() || found->second.admitted_since ||
        !signed_by_inviter(*facts, admitted->inviter))
      continue;
    auto& person = found->second;
    person.admitted_since = facts->epoch;
    person.admitted_by = admitted->inviter;
  }
  for (auto& [id, person] : persons_) {
    person.id = id;
    person.key = id;
    person.keys = {{id, 0}};
    owner_of_key_.emplace(id, id);
    person.anchor = tagged("spatter/1 anchor", {genesis_.network.view(), id.view()});
    if (id != genesis_.founder && rules_.reviewers > 0) continue;
    person.trusted_since = person.admitted_since;
    person.renewed = *person.admitted_since;
    person.inviter = person.admitted_by;
    if (person.inviter) {
      person.vouchers = {*person.inviter};
      persons_.at(*person.inviter).guests.push_back(id);
    }
  }
}

void Sweep::take_epoch(std::span<const TrustFacts* const> records, std::uint64_t epoch) {
  for (const auto* facts : records)
    std::visit([&](const auto& what) { take(*facts, what); }, facts->what);
  for (const auto& basis : std::exchange(touched_, {})) decide_trial(trials_.at(basis), epoch);
  for (const auto& id : std::exchange(touched_rounds_, {})) decide_round(rounds_.at(id), epoch);
}

// One record ---------------------------------------------------------------------------------

void Sweep::take(const TrustFacts& facts, const Rotation& rotation) {
  auto* person = find(rotation.person);
  if (!person || !person->recovery || sha256(facts.key.view()) != *person->recovery) return;
  if (rotation.number != person->key_number + 1) return;
  if (!owner_of_key_.emplace(rotation.new_key, rotation.person).second) return;
  person->key = rotation.new_key;
  person->key_number = rotation.number;
  person->keys.push_back({rotation.new_key, facts.epoch});
  // Two records of a key that somebody else may have had prove nothing; but he must show himself.
  if (person->fraud_by_conflict) pardon(*person);
  if (rules_.reviewers > 0) force_clip(*person, facts.epoch);  // where nobody looks at clips none is asked for
}

void Sweep::take(const TrustFacts& facts, const Vouch& vouch) {
  const auto epoch = facts.epoch;
  auto* voucher = signer(vouch.voucher, facts);
  if (!voucher || !trusted_before(*voucher, epoch)) return;
  const auto [first, fresh] = vouched_.try_emplace({vouch.voucher, vouch.number}, vouch.person);
  if (!fresh && first->second != vouch.person) {
    prove_fraud(vouch.voucher, epoch, Proof::conflict);
    return;
  }
  if (vouch.number != voucher->last_vouch + 1) return;
  voucher->last_vouch = vouch.number;
  if (overdue(*voucher, epoch) || open_vouches(*voucher, epoch) >= open_vouches_max(*voucher, epoch))
    return;
  voucher->vouches.push_back(facts.id);
  const auto seed = tagged("spatter/1 reviewers", {voucher->anchor.view(), vouch.draw});
  auto trial = make_trial(facts.id, vouch.person, vouch.voucher, seed, epoch);
  trials_.emplace(facts.id, std::move(trial));
}

void Sweep::take(const TrustFacts& facts, const Renewal& renewal) {
  const auto epoch = facts.epoch;
  auto* person = signer(renewal.person, facts);
  if (!person || !trusted_before(*person, epoch) || renewal.round != person->last_round + 1) return;
  const auto from = due(*person);
  if (from == 0 || epoch + rules_.grace_epochs < from) return;
  if (person->renewal) {
    // A procedure that is under way cannot be swapped for another draw.
    const auto& last = rounds_.at(*person->renewal).facts;
    const bool over = last.done || epoch > last.epoch + rules_.vouch_epochs;
    const bool superseded = person->forced && last.epoch < *person->forced;
    if (!over && !superseded) return;
  }
  person->last_round = renewal.round;
  person->renewal = facts.id;

  Round round;
  round.facts.renewal = facts.id;
  round.facts.person = renewal.person;
  round.facts.round = renewal.round;
  round.facts.epoch = epoch;
  std::vector<PersonId> standing_by;
  for (const auto& id : person->vouchers) {
    if (const auto* voucher = find(id); voucher && trusted_before(*voucher, epoch))
      standing_by.push_back(id);
  }
  const auto seed = tagged("spatter/1 procedure", {person->anchor.view(), renewal.draw});
  round.facts.procedure = procedure_for(*person, seed, standing_by);
  if (round.facts.procedure == Procedure::countersign) {
    round.facts.countersigns_needed =
        static_cast<unsigned>(std::min<std::size_t>(2, standing_by.size()));
    round.facts.countersigners = std::move(standing_by);
  } else if (round.facts.procedure == Procedure::new_clip) {
    const auto drawn = tagged("spatter/1 reviewers", {person->anchor.view(), renewal.draw});
    trials_.emplace(facts.id, make_trial(facts.id, renewal.person, std::nullopt, drawn, epoch));
  }
  rounds_.emplace(facts.id, std::move(round));
}

void Sweep::take(const TrustFacts& facts, const Announce& announce) {
  const auto found = trials_.find(announce.basis);
  if (found == trials_.end() || !signer(announce.person, facts)) return;
  auto& trial = found->second;
  if (trial.facts.subject != announce.person || trial.announce || !is_open(trial, facts.epoch)) return;
  if (announce.phrase_epoch < trial.facts.epoch ||
      facts.epoch > announce.phrase_epoch + rules_.phrase_epochs)
    return;
  const auto all = trial.facts.drawn.empty() ? trial.voucher.has_value() : trial.facts.vouches_needed;
  if (lots_that_count(trial, announce) < all) return;
  trial.announce = &announce;
  trial.facts.announce = facts.id;
  trial.facts.announced = facts.epoch;
  trial_of_announce_.emplace(facts.id, announce.basis);
  touched_.insert(announce.basis);
}

void Sweep::take(const TrustFacts& facts, const Review& review) {
  const auto found = trial_of_announce_.find(review.announce);
  auto* reviewer = signer(review.reviewer, facts);
  if (found == trial_of_announce_.end() || !reviewer) return;
  if (!trusted_before(*reviewer, facts.epoch)) return;
  auto& trial = trials_.at(found->second);
  const auto at = std::ranges::find(trial.facts.drawn, review.reviewer);
  if (at == trial.facts.drawn.end()) return;

  if (review.verdict != Verdict::unclear) {
    const auto [first, fresh] =
        judged_.try_emplace({review.reviewer, review.announce}, review.verdict);
    if (!fresh && first->second != review.verdict) {
      prove_fraud(review.reviewer, facts.epoch, Proof::conflict);
      return;
    }
  }
  const auto place = static_cast<std::size_t>(at - trial.facts.drawn.begin());
  const bool in_time = place < trial.facts.reviewers ||
                       facts.epoch >= trial.facts.announced + rules_.substitute_epochs;
  if (!in_time || !is_open(trial, facts.epoch)) return;
  auto& vote = trial.votes[place];
  if (vote.verdict != Verdict::unclear) return;
  vote = {review.verdict, facts.epoch, review.draw};
  touched_.insert(found->second);
}

void Sweep::take(const TrustFacts& facts, const Countersign& countersign) {
  const auto found = rounds_.find(countersign.renewal);
  const auto* person = signer(countersign.signer, facts);
  if (found == rounds_.end() || !person || !trusted_before(*person, facts.epoch)) return;
  auto& round = found->second;
  if (std::ranges::find(round.facts.countersigners, countersign.signer) ==
      round.facts.countersigners.end())
    return;
  round.signers.insert(countersign.signer);
  touched_rounds_.insert(countersign.renewal);
}

void Sweep::take(const TrustFacts& facts, const WordsProof& proof) {
  const auto found = rounds_.find(proof.renewal);
  const auto* person = find(proof.person);
  if (found == rounds_.end() || !person || found->second.facts.person != proof.person) return;
  if (!person->recovery || sha256(facts.key.view()) != *person->recovery) return;
  found->second.words_shown = true;
  touched_rounds_.insert(proof.renewal);
}

void Sweep::take(const TrustFacts& facts, const Doubt& doubt) {
  const auto* doubter = signer(doubt.doubter, facts);
  auto* person = find(doubt.person);
  if (!doubter || !person || !drawable(*doubter, facts.epoch)) return;
  if (!trusted_before(*person, facts.epoch)) return;
  if (!person->doubters_ever.insert(doubt.doubter).second) return;
  person->doubters.insert(doubt.doubter);
  if (person->doubters.size() >= rules_.doubts_needed) force_clip(*person, facts.epoch);
}

}  // namespace spatter
