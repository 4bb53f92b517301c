#include "trust/record_book.h"

#include <algorithm>
#include <ranges>

#include "crypto/hash.h"

namespace spatter {
namespace {

std::size_t places_for(TrustKind kind) {
  switch (kind) {
    case TrustKind::admission: return 0;
    case TrustKind::vouch: return RecordBook::vouches_max;
    case TrustKind::renewal: return RecordBook::renewals_max;
    case TrustKind::announce: return RecordBook::announces_max;
    case TrustKind::review: return RecordBook::reviews_max;
    case TrustKind::countersign: return RecordBook::countersigns_max;
    case TrustKind::words: return RecordBook::words_max;
    case TrustKind::doubt: return RecordBook::doubts_max;
    case TrustKind::rotation: return RecordBook::rotations_max;
  }
  panic(__FILE__, __LINE__, "a kind of trust record without places");
}

Digest digest_of(const PersonId& person) {
  Digest digest;
  digest.bytes = person.bytes;
  return digest;
}

Digest numbered(std::uint32_t number) {
  Digest digest;
  for (std::size_t i = 0; i < 4; ++i) digest.bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return digest;
}

/// What a record is about.
struct SlotOf {
  Digest operator()(const Admitted& what) const { return digest_of(what.person); }
  Digest operator()(const Vouch& what) const { return numbered(what.number); }
  Digest operator()(const Renewal& what) const { return numbered(what.round); }
  Digest operator()(const Announce& what) const { return what.basis; }
  Digest operator()(const Review& what) const {
    auto slot = what.announce;
    slot.bytes[0] = static_cast<std::uint8_t>(slot.bytes[0] ^ static_cast<unsigned>(what.verdict));
    return slot;
  }
  Digest operator()(const Countersign& what) const { return what.renewal; }
  Digest operator()(const WordsProof& what) const { return what.renewal; }
  Digest operator()(const Doubt& what) const { return digest_of(what.person); }
  Digest operator()(const Rotation& what) const { return numbered(what.number); }
};

std::uint64_t rank_of(const TrustFacts& facts) {
  if (const auto* vouch = std::get_if<Vouch>(&facts.what)) return vouch->number;
  if (const auto* renewal = std::get_if<Renewal>(&facts.what)) return renewal->round;
  if (const auto* rotation = std::get_if<Rotation>(&facts.what)) return rotation->number;
  return facts.epoch;
}

/// A clip's announcement commits who has committed to nothing yet, and whose key can't have changed therefore.
std::optional<std::pair<PersonId, Digest>> commitment_in(const TrustFacts& facts) {
  const auto* announce = std::get_if<Announce>(&facts.what);
  if (!announce || !announce->recovery || facts.key != announce->person) return std::nullopt;
  return std::pair(announce->person, *announce->recovery);
}

}  // namespace

RecordBook::RecordBook(GenesisFacts genesis, std::function<bool(const PersonId&)> is_admitted,
                       CommitmentOf commitment_of)
    : genesis_(std::move(genesis)), is_admitted_(std::move(is_admitted)),
      commitment_of_(std::move(commitment_of)) {}

bool RecordBook::has_committed(const PersonId& person, const PersonId& recovery) const {
  const auto commitment = sha256(recovery.view());
  auto first = genesis_.recovery;
  if (person != genesis_.founder) first = commitment_of_ ? commitment_of_(person) : std::nullopt;
  return first ? *first == commitment : commitments_.contains({person, commitment});
}

/// What a recovery key signs says whose it is: nobody else's counts for it, whoever is known.
bool RecordBook::key_is_known(const TrustFacts& facts) const {
  if (const auto* rotation = std::get_if<Rotation>(&facts.what)) return has_committed(rotation->person, facts.key);
  if (is_admitted_(facts.key) || new_keys_.contains(facts.key)) return true;
  const auto* words = std::get_if<WordsProof>(&facts.what);
  return words && has_committed(words->person, facts.key);
}

Result<void> RecordBook::check_known(const TrustFacts& facts) const {
  if (!key_is_known(facts))
    return fail(Errc::not_found, "a trust record signed by {}, whom nobody here knows", facts.key);
  const auto held = [&](const Digest& id) -> const TrustFacts* {
    const auto found = records_.find(id);
    return found == records_.end() ? nullptr : &found->second.facts;
  };
  const auto missing = [&](std::string_view what, const Digest& id) {
    return fail(Errc::not_found, "a trust record about {} {}, which is not known here", what, id);
  };
  if (const auto* announce = std::get_if<Announce>(&facts.what)) {
    const auto* basis = held(announce->basis);
    const auto* vouch = basis ? std::get_if<Vouch>(&basis->what) : nullptr;
    const auto* renewal = basis ? std::get_if<Renewal>(&basis->what) : nullptr;
    if (!(vouch && vouch->person == announce->person) &&
        !(renewal && renewal->person == announce->person))
      return missing("vouch or renewal", announce->basis);
  }
  if (const auto* review = std::get_if<Review>(&facts.what)) {
    const auto* announce = held(review->announce);
    if (!announce || announce->kind() != TrustKind::announce)
      return missing("announce", review->announce);
  }
  const auto* countersign = std::get_if<Countersign>(&facts.what);
  const auto* words = std::get_if<WordsProof>(&facts.what);
  if (countersign || words) {
    const auto& id = countersign ? countersign->renewal : words->renewal;
    const auto* renewal = held(id);
    if (!renewal || renewal->kind() != TrustKind::renewal) return missing("renewal", id);
  }
  return {};
}

Result<bool> RecordBook::add(const wire::TrustRecord& record) {
  if (record.kind() == static_cast<std::uint32_t>(TrustKind::admission))
    return fail(Errc::invalid, "an admission among trust records");
  TRY(auto facts, check_trust_record(record, genesis_));
  if (records_.contains(facts.id)) return false;
  TRY_VOID(check_known(facts));

  const auto kind = facts.kind();
  auto& shelf = shelves_[{facts.key, kind}];
  const Held fresh{rank_of(facts), facts.epoch, facts.id, std::visit(SlotOf{}, facts.what)};
  const auto age = [](const Held& held) { return std::tuple(held.epoch, held.id); };
  const auto order = [](const Held& held) { return std::tuple(held.rank, held.epoch, held.id); };

  std::vector<Digest> dropped;
  const auto give_up = [&](std::vector<Held>::iterator at) {
    dropped.push_back(at->id);
    shelf.erase(at);
  };
  shelf.push_back(fresh);
  const auto same_slot = [&](const Held& held) { return held.slot == fresh.slot; };
  if (std::ranges::count_if(shelf, same_slot) > static_cast<std::ptrdiff_t>(per_slot_max)) {
    auto about_the_same = shelf | std::views::filter(same_slot);
    give_up(std::ranges::max_element(about_the_same, {}, age).base());
  }
  if (shelf.size() > places_for(kind)) give_up(std::ranges::max_element(shelf, {}, order));

  const bool stays = std::ranges::find(dropped, fresh.id) == dropped.end();
  for (const auto& id : dropped) {
    if (id != fresh.id) drop(id);
  }
  if (stays) hold({record, std::move(facts)});
  return stays;
}

void RecordBook::hold(Entry entry) {
  if (const auto commitment = commitment_in(entry.facts)) ++commitments_[*commitment];
  const auto id = entry.facts.id;
  if (const auto* rotation = std::get_if<Rotation>(&entry.facts.what)) {
    ++new_keys_[rotation->new_key];
    rotations_[rotation->person].emplace(rotation->number, id);
  }
  records_.emplace(id, std::move(entry));
}

void RecordBook::drop(const Digest& id) {
  const auto found = records_.find(id);
  const auto& facts = found->second.facts;
  const auto less = [](auto& counts, const auto& key) {
    if (const auto at = counts.find(key); --at->second == 0) counts.erase(at);
  };
  if (const auto commitment = commitment_in(facts)) less(commitments_, *commitment);
  if (const auto* rotation = std::get_if<Rotation>(&facts.what)) {
    less(new_keys_, rotation->new_key);
    const auto at = rotations_.find(rotation->person);
    at->second.erase({rotation->number, id});
    if (at->second.empty()) rotations_.erase(at);
  }
  records_.erase(found);
}

std::vector<const RecordBook::Entry*> RecordBook::rotations_of(const PersonId& person) const {
  std::vector<const Entry*> result;
  if (const auto found = rotations_.find(person); found != rotations_.end())
    for (const auto& [number, id] : found->second) result.push_back(&records_.at(id));
  return result;
}

Digest RecordBook::digest() const {
  Sha256 hash;
  for (const auto& [id, entry] : records_) hash.update(id.view());
  return hash.finish();
}

Standings RecordBook::standings(std::span<const TrustFacts> admissions, std::uint64_t now) const {
  std::vector<TrustFacts> all(admissions.begin(), admissions.end());
  all.reserve(all.size() + records_.size());
  for (const auto& [id, entry] : records_) all.push_back(entry.facts);
  return evaluate(all, genesis_, now);
}

}  // namespace spatter
