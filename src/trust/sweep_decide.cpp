#include <algorithm>

#include "chance/choice.h"
#include "crypto/hash.h"
#include "sweep.h"

namespace spatter {

Digest tagged(std::string_view tag, std::initializer_list<ByteView> pieces) {
  Sha256 hash;
  hash.update(as_bytes(tag)).update(Bytes{0});
  for (const auto piece : pieces) hash.update(piece);
  return hash.finish();
}

// What an epoch's records decide -------------------------------------------------------------

void Sweep::decide_trial(Trial& trial, std::uint64_t epoch) {
  auto& facts = trial.facts;
  if (facts.state != ClipCase::State::open || !trial.announce) return;
  if (trial.voucher && !trusted_before(*find(*trial.voucher), epoch)) return;  // a fraud by now
  facts.vouches = facts.refusals = 0;
  std::vector<std::size_t> vouching;
  for (const auto& [place, vote] : trial.votes) {
    if (vote.verdict == Verdict::unclear) continue;
    if (facts.vouches + facts.refusals == facts.reviewers) break;  // seats are taken in draw order
    if (vote.verdict == Verdict::vouch) {
      ++facts.vouches;
      vouching.push_back(place);
    } else {
      ++facts.refusals;
    }
  }
  if (facts.vouches >= facts.vouches_needed) {
    facts.state = ClipCase::State::accepted;
    trial.closed = epoch;
    if (!facts.renewal) {
      accept_newcomer(trial, vouching, epoch);
    } else if (auto* person = find(facts.subject); !person->fraud_since) {
      for (const auto place : vouching) {
        const auto& id = facts.drawn[place];
        if (std::ranges::find(person->vouchers, id) == person->vouchers.end())
          person->vouchers.push_back(id);
      }
      if (!person->recovery) person->recovery = trial.announce->recovery;
      procedure_done(rounds_.at(facts.basis), epoch);
    }
  } else if (facts.refusals > facts.reviewers - facts.vouches_needed) {
    facts.state = ClipCase::State::refused;
    trial.closed = epoch;
    if (facts.renewal) prove_fraud(facts.subject, epoch, Proof::clip_refused);
  }
}

void Sweep::accept_newcomer(Trial& trial, const std::vector<std::size_t>& vouching,
                            std::uint64_t epoch) {
  auto* person = find(trial.facts.subject);
  if (!person || person->trusted_since || person->fraud_since) return;
  person->trusted_since = epoch;
  person->renewed = epoch;
  person->inviter = trial.voucher;
  person->vouchers = {*trial.voucher};
  find(*trial.voucher)->guests.push_back(person->id);
  if (!person->recovery) person->recovery = trial.announce->recovery;
  // The seed chain begins at the video, and goes on by what others gave when they had seen it.
  auto anchor = tagged("spatter/1 anchor", {trial.announce->clip.view()});
  for (const auto place : vouching) {
    person->vouchers.push_back(trial.facts.drawn[place]);
    anchor = tagged("spatter/1 anchor", {anchor.view(), trial.votes.at(place).draw});
  }
  person->anchor = anchor;
}

void Sweep::decide_round(Round& round, std::uint64_t epoch) {
  const auto& facts = round.facts;
  if (facts.done || epoch > facts.epoch + rules_.vouch_epochs) return;
  const bool enough =
      facts.procedure == Procedure::recovery_words ? round.words_shown
      : facts.procedure == Procedure::countersign
          ? round.signers.size() >= facts.countersigns_needed
          : false;  // clips are decided by their reviewers
  if (enough) procedure_done(round, epoch);
}

void Sweep::procedure_done(Round& round, std::uint64_t epoch) {
  round.facts.done = true;
  auto* person = find(round.facts.person);
  const bool clip = round.facts.procedure == Procedure::new_clip;
  if (person->forced) {
    if (!clip || round.facts.epoch < *person->forced) return;  // a clip was asked for, since
    person->forced.reset();
    person->doubters.clear();
  }
  person->renewed = epoch;
}

void Sweep::force_clip(Person& person, std::uint64_t epoch) {
  if (person.trusted_since && !person.forced) person.forced = std::max<std::uint64_t>(epoch, 1);
}

void Sweep::prove_fraud(const PersonId& who, std::uint64_t epoch, Proof proof) {
  auto* person = find(who);
  if (!person || !person->trusted_since) return;
  if (proof == Proof::clip_refused) person->fraud_by_conflict = false;
  if (person->fraud_since) return;
  person->fraud_since = epoch;
  person->fraud_by_conflict = proof == Proof::conflict;
  for (std::size_t i = 0; i < person->vouchers.size(); ++i) {
    const auto percent = i == 0 ? rules_.inviter_loss_percent : rules_.reviewer_loss_percent;
    if (auto* voucher = find(person->vouchers[i])) voucher->losses.push_back({epoch, percent, who});
  }
  for (const auto& guest : person->guests) force_clip(*find(guest), epoch);
}

void Sweep::pardon(Person& person) {
  person.fraud_since.reset();
  person.fraud_by_conflict = false;
  for (const auto& id : person.vouchers) {
    if (auto* voucher = find(id))
      std::erase_if(voucher->losses, [&](const Loss& loss) { return loss.cause == person.id; });
  }
}

// What follows from the state ----------------------------------------------------------------

Sweep::Person* Sweep::find(const PersonId& person) {
  const auto found = persons_.find(person);
  return found == persons_.end() ? nullptr : &found->second;
}

const Sweep::Person* Sweep::find(const PersonId& person) const {
  const auto found = persons_.find(person);
  return found == persons_.end() ? nullptr : &found->second;
}

Sweep::Person* Sweep::signer(const PersonId& person, const TrustFacts& facts) {
  auto* found = find(person);
  return found && found->key == facts.key ? found : nullptr;
}

bool Sweep::trusted_before(const Person& person, std::uint64_t epoch) const {
  if (!person.trusted_since || (person.fraud_since && *person.fraud_since < epoch)) return false;
  return *person.trusted_since < epoch || rules_.reviewers == 0 || person.id == genesis_.founder;
}

unsigned Sweep::weight(const Person& person, std::uint64_t epoch) const {
  std::uint64_t lost = 0;
  for (const auto& loss : person.losses) {
    if (loss.epoch < epoch && epoch <= loss.epoch + rules_.fraud_memory_epochs) lost += loss.percent;
  }
  return lost >= 100 ? 0 : static_cast<unsigned>(100 - lost);
}

/// The epoch from which a procedure is due; 0: never.
std::uint64_t Sweep::due(const Person& person) const {
  if (!person.trusted_since) return 0;
  const auto regular = rules_.aging_epochs == 0 ? 0 : person.renewed + rules_.aging_epochs;
  if (!person.forced) return regular;
  return regular == 0 ? *person.forced : std::min(regular, *person.forced);
}

bool Sweep::overdue(const Person& person, std::uint64_t epoch) const {
  const auto from = due(person);
  return from != 0 && epoch > from + rules_.grace_epochs;
}

bool Sweep::drawable(const Person& person, std::uint64_t epoch) const {
  return trusted_before(person, epoch) && !overdue(person, epoch) && weight(person, epoch) >= 50;
}

bool Sweep::is_open(const Trial& trial, std::uint64_t epoch) const {
  if (epoch > trial.facts.epoch + rules_.vouch_epochs) return false;
  return trial.facts.state == ClipCase::State::open || trial.closed >= epoch;
}

unsigned Sweep::open_vouches(const Person& person, std::uint64_t epoch) const {
  const auto open = [&](const Digest& id) { return is_open(trials_.at(id), epoch); };
  return static_cast<unsigned>(std::ranges::count_if(person.vouches, open));
}

unsigned Sweep::open_vouches_max(const Person& person, std::uint64_t epoch) const {
  return rules_.vouches_open_max * weight(person, epoch) / 100;
}

Sweep::Trial Sweep::make_trial(const Digest& basis, const PersonId& subject,
                               const std::optional<PersonId>& voucher, const Digest& seed,
                               std::uint64_t epoch) const {
  std::vector<std::pair<Digest, PersonId>> seats;
  for (const auto& [id, person] : persons_) {
    if (id == subject || id == voucher || !drawable(person, epoch)) continue;
    seats.emplace_back(tagged("spatter/1 seat", {seed.view(), id.view()}), id);
  }
  const auto count = std::min<std::size_t>(seats.size(), 2 * std::size_t{rules_.reviewers});
  std::ranges::partial_sort(seats, seats.begin() + static_cast<std::ptrdiff_t>(count));
  Trial trial;
  trial.voucher = voucher;
  trial.facts.basis = basis;
  trial.facts.subject = subject;
  trial.facts.renewal = !voucher;
  trial.facts.epoch = epoch;
  for (std::size_t i = 0; i < count; ++i) trial.facts.drawn.push_back(seats[i].second);
  trial.facts.reviewers = static_cast<unsigned>(std::min<std::size_t>(rules_.reviewers, count));
  trial.facts.vouches_needed = std::min(rules_.vouches_needed, trial.facts.reviewers);
  return trial;
}

/// Lots by those who may judge: only their givers know that the phrase was not known before. While
/// the network has nobody to review, the voucher's.
unsigned Sweep::lots_that_count(const Trial& trial, const Announce& announce) const {
  const auto counts = [&](const PhraseLot& lot) {
    const auto owner = owner_of_key_.find(lot.key);
    if (owner == owner_of_key_.end() || owner->second != lot.giver) return false;
    const auto& drawn = trial.facts.drawn;
    return drawn.empty() ? lot.giver == trial.voucher
                         : std::ranges::find(drawn, lot.giver) != drawn.end();
  };
  return static_cast<unsigned>(std::ranges::count_if(announce.lots, counts));
}

Procedure Sweep::procedure_for(const Person& person, const Digest& seed,
                               const std::vector<PersonId>& countersigners) const {
  if (person.forced) return Procedure::new_clip;
  const auto drawn = static_cast<Procedure>(Stream(seed.view(), "procedure").below(procedures));
  if (drawn == Procedure::recovery_words && !person.recovery) return Procedure::new_clip;
  if (drawn == Procedure::countersign && countersigners.empty()) return Procedure::new_clip;
  return drawn;
}

Standing Sweep::standing_of(const Person& person) const {
  Standing standing;
  standing.key = person.key;
  standing.key_number = person.key_number;
  standing.keys = person.keys;
  standing.inviter = person.inviter ? person.inviter : person.admitted_by;
  standing.vouchers = person.vouchers;
  standing.recovery = person.recovery;
  standing.weight = weight(person, now_ + 1);  // also what was lost in this epoch
  standing.next_vouch = person.last_vouch + 1;
  standing.next_round = person.last_round + 1;
  standing.state = Standing::State::guest;
  standing.since = *person.admitted_since;
  if (person.fraud_since) {
    standing.state = Standing::State::fraud;
    standing.since = *person.fraud_since;
  } else if (person.trusted_since) {
    standing.state = Standing::State::trusted;
    standing.since = *person.trusted_since;
    standing.vouches_open = open_vouches(person, now_);
    if (trusted_before(person, now_)) standing.vouches_open_max = open_vouches_max(person, now_);
    standing.due = due(person);
    standing.overdue = overdue(person, now_);
    standing.allowance = standing.weight;
    if (standing.overdue) standing.allowance = standing.weight * rules_.overdue_percent / 100;
  }
  return standing;
}

}  // namespace spatter
