#include "node/trust_desk.h"

#include "crypto/spoken.h"

namespace spatter {
namespace {

constexpr Duration fetch_again_after = std::chrono::seconds(20);

std::string procedure_words(Procedure procedure) {
  switch (procedure) {
    case Procedure::new_clip: return "a new clip";
    case Procedure::countersign: return "countersignatures";
    default: return "the recovery words";
  }
}

}  // namespace

TrustDesk::TrustDesk(Parts parts)
    : parts_(std::move(parts)), numbering_(parts_.runtime.executor()), tasks_(parts_.runtime.executor()) {}

void TrustDesk::start() {
  parts_.clips.is_needed = [this](const Digest& clip) {
    for (const auto& [basis, one] : parts_.exchange.standings().clips) {
      if (one.state != ClipCase::State::open || !one.announce) continue;
      const auto* facts = parts_.exchange.find(*one.announce);
      if (facts && std::get<Announce>(facts->what).clip == clip) return true;
    }
    return false;
  };
  const auto look = [this] {
    fetch_what_is_asked();
    if (!vouching_ && parts_.exchange.genesis().rules.reviewers > 0) tasks_.spawn(vouch_for_guests());
  };
  parts_.exchange.on_changed = look;
  look();
}

Task<void> TrustDesk::stop() {
  parts_.exchange.on_changed = nullptr;
  co_await tasks_.stop();
}

const Standing& TrustDesk::own() const {
  return parts_.exchange.standings().of(parts_.identity.person);
}

VrfProof TrustDesk::draw(const Draw& occasion) const {
  return make_draw(parts_.identity.person_key, occasion).proof.proof;
}

/// Those that are up, this one first.
std::vector<ServerId> TrustDesk::servers_of(const PersonId& person) const {
  std::vector<ServerId> result;
  if (person == parts_.identity.person) result.push_back(parts_.identity.server);
  for (const auto& member : parts_.members.others())
    if (member.person == person && member.up) result.push_back(member.id);
  return result;
}

// Vouching -----------------------------------------------------------------------------------

Result<void> TrustDesk::may_number() const {
  auto first = parts_.identity.server;
  for (const auto& member : parts_.members.others())
    if (member.person == parts_.identity.person) first = std::min(first, member.id);
  if (first != parts_.identity.server)
    return fail(Errc::denied, "of your servers {} is the one that vouches and renews: do it there (or retire it with "
                "spatter forget, if it is gone)", first.brief());
  if (!parts_.exchange.knows_own_records())
    return fail(Errc::unavailable, "no other member could be asked yet what you have signed before: try again when one is up");
  return {};
}

Result<void> TrustDesk::may_vouch_for(const PersonId& person) const {
  const auto& identity = parts_.identity;
  const auto& standings = parts_.exchange.standings();
  if (parts_.exchange.genesis().rules.reviewers == 0)
    return fail(Errc::invalid, "in this network whoever is invited is trusted: there is nothing to vouch for");
  if (person == identity.person) return fail(Errc::invalid, "nobody vouches for himself");
  const auto& who = standings.of(person);
  if (who.state == Standing::State::stranger)
    return fail(Errc::not_found, "no person {} is in this network", person);
  if (who.state == Standing::State::trusted) return fail(Errc::exists, "person {} is trusted already", person);
  if (who.state == Standing::State::fraud)
    return fail(Errc::denied, "person {} was found to be a fraud", person);
  const auto& mine = standings.of(identity.person);
  if (!is_trusted(mine))
    return fail(Errc::denied, "you are not trusted yourself yet: only trusted persons vouch");
  TRY_VOID(may_number());
  if (mine.overdue)
    return fail(Errc::denied, "your own trust has to be renewed first: spatter renew");
  if (mine.vouches_open >= mine.vouches_open_max)
    return fail(Errc::busy, "{} of your vouches wait for a verdict, and no more may at a time", mine.vouches_open);
  for (const auto& [basis, one] : standings.clips) {
    const auto* facts = parts_.exchange.find(basis);
    const auto* vouch = facts ? std::get_if<Vouch>(&facts->what) : nullptr;
    if (vouch && vouch->voucher == identity.person && one.subject == person && one.state == ClipCase::State::open)
      return fail(Errc::exists, "you vouch for person {} already", person);
  }
  return {};
}

/// Whom a vouch of this number names that the person has signed, whether it counts or not. One by a key
/// that was changed counted before the change or does not count any more, and may be a thief's.
std::optional<PersonId> TrustDesk::named_by_own_vouch(std::uint32_t number) const {
  for (const auto* facts : parts_.exchange.signed_by(own().key)) {
    const auto* vouch = std::get_if<Vouch>(&facts->what);
    if (vouch && vouch->number == number) return vouch->person;
  }
  return std::nullopt;
}

Task<Result<Digest>> TrustDesk::sign_vouch(PersonId person, std::uint32_t number) {
  const auto& identity = parts_.identity;
  co_return co_await parts_.exchange.publish(
      make_vouch(identity.person_key, identity.network, identity.person, person, number,
                 parts_.exchange.epoch(), draw(reviewers_draw(identity.network, identity.person, number))),
      [=, me = identity.person](const Standings& then, const Digest&) { return then.of(me).next_vouch > number; });
}

Task<Result<Digest>> TrustDesk::vouch(PersonId person) {
  const auto alone = co_await numbering_.lock();
  while (true) {
    CO_TRY_VOID(may_vouch_for(person));
    const auto number = own().next_vouch;
    // A clock that was wrong may have dated a vouch so that it does not count. Its number is used up all
    // the same: it is for whom it names, or it proves a fraud. Dated anew it counts.
    const auto named = named_by_own_vouch(number);
    if (!named || *named == person) co_return co_await sign_vouch(person, number);
    if (const auto again = co_await sign_vouch(*named, number); !again && again.error().code != Errc::exists)
      co_return again;
    if (own().next_vouch == number)
      co_return fail(Errc::busy, "your vouch for person {} comes first, and does not count yet: is this machine's clock "
                     "right?", *named);
  }
}

/// An invite is the inviter's vouch: for whom the person has let in and never vouched for, as soon as
/// another may be open.
Task<void> TrustDesk::vouch_for_guests() {
  if (vouching_) co_return;
  vouching_ = true;
  struct Done {
    bool& flag;
    ~Done() { flag = false; }
  } done{vouching_};
  while (may_number() && may_vouch(own())) {
    const auto& standings = parts_.exchange.standings();
    std::set<PersonId> vouched_for;
    for (const auto& [basis, one] : standings.clips) {
      const auto* facts = parts_.exchange.find(basis);
      const auto* vouch = facts ? std::get_if<Vouch>(&facts->what) : nullptr;
      if (vouch && vouch->voucher == parts_.identity.person) vouched_for.insert(one.subject);
    }
    const auto next = std::ranges::find_if(standings.persons, [&](const auto& one) {
      const auto& [person, standing] = one;
      return standing.state == Standing::State::guest && standing.inviter == parts_.identity.person &&
             !vouched_for.contains(person);
    });
    if (next == standings.persons.end()) co_return;
    const auto person = next->first;
    if (const auto vouched = co_await vouch(person); !vouched) {
      parts_.runtime.log().warning("person {} is not vouched for: {}", person, vouched.error().message);
      co_return;
    }
    parts_.runtime.log().info("vouched for person {}, whom this person invited", person);
  }
}

// Announcing ---------------------------------------------------------------------------------

/// The newest clip that is asked of the own person.
const ClipCase* TrustDesk::own_case() const {
  const ClipCase* found = nullptr;
  for (const auto& [basis, one] : parts_.exchange.standings().clips) {
    if (one.subject != parts_.identity.person || one.state != ClipCase::State::open || one.announce) continue;
    if (!found || one.epoch > found->epoch) found = &one;
  }
  return found;
}

Task<Result<TrustPhrase>> TrustDesk::phrase() {
  const auto now = parts_.exchange.epoch();
  const auto& rules = parts_.exchange.genesis().rules;
  const auto* wanted = own_case();
  if (!wanted) {
    phrase_.reset();
    const auto& mine = own();
    for (const auto& [basis, one] : parts_.exchange.standings().clips)
      if (one.subject == parts_.identity.person && one.state == ClipCase::State::open)
        co_return fail(Errc::exists, "your clip is announced and waits for {} of its reviewers", one.vouches_needed - std::min(one.vouches_needed, one.vouches));
    if (is_trusted(mine))
      co_return fail(Errc::not_found, "no clip is asked of you: you are trusted");
    co_return fail(Errc::not_found, "nobody vouches for you at present: ask who invited you to do it with "
                   "spatter vouch {}", parts_.identity.person.brief());
  }
  if (phrase_ && phrase_->basis == wanted->basis && now <= phrase_->epoch + rules.phrase_epochs) co_return *phrase_;

  TrustPhrase fresh;
  fresh.basis = wanted->basis;
  fresh.renewal = wanted->renewal;
  fresh.key_words = spoken_key(parts_.identity.person);
  auto judges = wanted->asked(now, rules);
  auto needed = wanted->vouches_needed;
  if (judges.empty()) {
    // Nobody but the voucher is trusted yet.
    const auto* facts = parts_.exchange.find(wanted->basis);
    if (const auto* vouch = facts ? std::get_if<Vouch>(&facts->what) : nullptr) judges = {vouch->voucher};
    needed = 1;
  }
  std::vector<PhraseLot> lots;
  std::string last = "none of their servers is up";
  for (const auto& judge : judges) {
    for (const auto& server : servers_of(judge)) {
      auto given = co_await parts_.exchange.ask_lot(server, fresh.basis);
      if (!given) {
        last = given.error().message;
        continue;
      }
      if (given->epoch != fresh.epoch) {
        // An epoch has begun meanwhile: all lots must be of one.
        fresh.lots.clear();
        lots.clear();
        fresh.epoch = given->epoch;
      }
      lots.push_back({given->lot.giver, given->lot.key, given->draw});
      fresh.lots.push_back(std::move(given->lot));
      break;
    }
  }
  if (fresh.lots.size() < needed)
    co_return fail(Errc::unavailable, "{} of {} reviewers could be asked for their part of the phrase, and {} "
                   "are needed: {}", fresh.lots.size(), judges.size(), needed, last);
  std::ranges::sort(fresh.lots, {}, &GivenLot::giver);
  std::ranges::sort(lots, {}, &PhraseLot::giver);
  fresh.phrase = phrase_of(parts_.identity.network, fresh.basis, fresh.epoch, lots);
  const auto& genesis = parts_.exchange.genesis();
  fresh.until_ms = static_cast<WallMs>(genesis.created_ms) +
                   static_cast<WallMs>(fresh.epoch + rules.phrase_epochs + 1) * genesis.epoch_seconds * 1000;
  phrase_ = fresh;
  co_return fresh;
}

Task<Result<Digest>> TrustDesk::announce(Bytes clip) {
  const auto& rules = parts_.exchange.genesis().rules;
  const auto* wanted = own_case();
  if (!wanted || !phrase_ || phrase_->basis != wanted->basis ||
      parts_.exchange.epoch() > phrase_->epoch + rules.phrase_epochs) {
    CO_TRY(const auto fresh, co_await phrase());
    co_return fail(Errc::invalid, "the clip must say a phrase that was given for it: ask for yours with "
                   "spatter announce, and record the clip then");
  }
  CO_TRY(auto sealed, seal_clip(clip, parts_.members_key, parts_.identity.person, parts_.runtime.entropy()));
  const auto bytes = sealed.sealed.size();
  CO_TRY_VOID(co_await parts_.clips.keep(sealed.clip, std::move(sealed.sealed)));
  if (!phrase_) co_return fail(Errc::busy, "the clip is being announced already");
  NewAnnounce fresh;
  fresh.person = parts_.identity.person;
  fresh.basis = phrase_->basis;
  fresh.epoch = parts_.exchange.epoch();
  fresh.phrase_epoch = phrase_->epoch;
  fresh.lots = phrase_->lots;
  fresh.clip = sealed.clip;
  fresh.clip_bytes = bytes;
  fresh.clip_key = std::move(sealed.clip_key);
  fresh.recovery = parts_.recovery;
  const auto basis = fresh.basis;
  auto said = co_await parts_.exchange.publish(
      make_announce(parts_.identity.person_key, parts_.identity.network, std::move(fresh)),
      [basis](const Standings& then, const Digest& id) { return then.clips.at(basis).announce == id; });
  phrase_.reset();  // one that did not count would not the next time either
  co_return said;
}

// Judging ------------------------------------------------------------------------------------

std::vector<TrustReview> TrustDesk::reviews() const {
  std::vector<std::pair<std::uint64_t, TrustReview>> found;
  const auto now = parts_.exchange.epoch();
  for (const auto& [basis, one] : parts_.exchange.standings().clips) {
    if (one.state != ClipCase::State::open || !one.announce) continue;
    const auto judges = one.asked(now, parts_.exchange.genesis().rules);
    if (std::ranges::find(judges, parts_.identity.person) == judges.end()) continue;
    const auto* facts = parts_.exchange.find(*one.announce);
    if (!facts) continue;
    const auto& announce = std::get<Announce>(facts->what);
    TrustReview review;
    review.announce = *one.announce;
    review.person = one.subject;
    review.renewal = one.renewal;
    review.key_words = spoken_key(one.subject);
    review.phrase = phrase_of(parts_.identity.network, basis, announce.phrase_epoch, announce.lots);
    review.clip_bytes = announce.clip_bytes;
    review.vouches = one.vouches;
    review.refusals = one.refusals;
    review.vouches_needed = one.vouches_needed;
    if (const auto mine = own_review(*one.announce)) review.mine = mine->first.verdict;
    found.emplace_back(one.announced, std::move(review));
  }
  std::ranges::sort(found, {}, [](const auto& one) { return std::pair(one.first, one.second.announce); });
  std::vector<TrustReview> result;
  for (auto& [epoch, review] : found) result.push_back(std::move(review));
  return result;
}

/// The definite verdict if there is one, and the latest epoch of saying it.
std::optional<std::pair<Review, std::uint64_t>> TrustDesk::own_review(const Digest& announce) const {
  std::optional<std::pair<Review, std::uint64_t>> found;
  for (const auto& [key, since] : own().keys) {
    for (const auto* facts : parts_.exchange.signed_by(key)) {
      const auto* review = std::get_if<Review>(&facts->what);
      if (!review || review->announce != announce) continue;
      const auto rank = [](const Review& one, std::uint64_t epoch) { return std::pair(one.verdict != Verdict::unclear, epoch); };
      if (!found || rank(*review, facts->epoch) > rank(found->first, found->second)) found = {*review, facts->epoch};
    }
  }
  return found;
}

Result<TrustReview> TrustDesk::review_of(std::string_view id) const {
  std::vector<TrustReview> matching;
  for (auto& review : reviews())
    if (review.announce.hex().starts_with(id)) matching.push_back(std::move(review));
  if (id.empty() || matching.empty())
    return fail(Errc::not_found, "no clip that you are asked to judge has an id that begins with \"{}\": see "
                "spatter reviews", id);
  if (matching.size() > 1) return fail(Errc::invalid, "{} clips have ids that begin with {}", matching.size(), id);
  return matching.front();
}

Task<Result<Bytes>> TrustDesk::watch(Digest announce) {
  const auto* facts = parts_.exchange.find(announce);
  const auto* said = facts ? std::get_if<Announce>(&facts->what) : nullptr;
  if (!said) co_return fail(Errc::not_found, "no clip {} is known", announce);
  const auto copy = *said;
  auto from = servers_of(copy.person);
  for (const auto& [basis, one] : parts_.exchange.standings().clips) {
    if (one.announce != announce) continue;
    for (const auto& judge : one.drawn)
      for (const auto& server : servers_of(judge)) from.push_back(server);
  }
  std::erase(from, parts_.identity.server);
  CO_TRY(const auto sealed, co_await parts_.clips.fetch(copy.clip, copy.clip_bytes, std::move(from)));
  co_return open_clip(sealed, copy, parts_.members_key);
}

/// A definite verdict changes the count of its case.
TrustExchange::Counts TrustDesk::counts_in(const Digest& announce, Verdict verdict) const {
  const auto total = [announce](const Standings& standings) {
    for (const auto& [basis, one] : standings.clips)
      if (one.announce == announce) return one.vouches + one.refusals;
    return 0U;
  };
  return [=, before = total(parts_.exchange.standings())](const Standings& then, const Digest&) {
    return verdict == Verdict::unclear || total(then) > before;
  };
}

Task<Result<Digest>> TrustDesk::judge(Digest announce, Verdict verdict, std::string reason) {
  const auto& identity = parts_.identity;
  CO_TRY(const auto review, review_of(announce.hex()));
  if (review.mine && *review.mine != Verdict::unclear)
    co_return fail(Errc::exists, "you have {} this clip already, and a verdict cannot be changed",
                   *review.mine == Verdict::vouch ? "vouched for" : "refused");
  if (reason.size() > reason_bytes_max)
    co_return fail(Errc::invalid, "a reason of {} bytes: at most {}", reason.size(), reason_bytes_max);
  co_return co_await parts_.exchange.publish(
      make_review(identity.person_key, identity.network, identity.person, announce, verdict, std::move(reason),
                  parts_.exchange.epoch(), draw(contribution_draw(identity.network, announce))),
      counts_in(announce, verdict));
}

/// Whoever will judge a clip gets it now: the newcomer's machine may be off when he does.
void TrustDesk::fetch_what_is_asked() {
  for (const auto& review : reviews()) {
    if (review.mine && *review.mine != Verdict::unclear) {
      tasks_.spawn(date_anew(review.announce));
      continue;
    }
    if (fetching_.insert(review.announce).second) tasks_.spawn(fetch_ahead(review.announce));
  }
}

/// A verdict that a wrong clock dated before the clip, or into the future, is said again.
Task<void> TrustDesk::date_anew(Digest announce) {
  const auto said = own_review(announce);
  const auto* clip = parts_.exchange.find(announce);
  const auto now = parts_.exchange.epoch();
  if (!said || !clip || now < clip->epoch || (said->second >= clip->epoch && said->second <= now + 1)) co_return;
  const auto& identity = parts_.identity;
  co_await parts_.exchange.publish(make_review(identity.person_key, identity.network, identity.person, announce,
                                               said->first.verdict, said->first.reason, now,
                                               draw(contribution_draw(identity.network, announce))),
                                   counts_in(announce, said->first.verdict));
}

Task<void> TrustDesk::fetch_ahead(Digest announce) {
  while (true) {
    const auto got = co_await watch(announce);
    if (got || got.error().code == Errc::corrupt) co_return;
    co_await parts_.runtime.sleep(fetch_again_after);
    if (!review_of(announce.hex())) co_return;
  }
}

// Renewing -----------------------------------------------------------------------------------

Task<Result<RenewalCase>> TrustDesk::renew() {
  const auto& identity = parts_.identity;
  const auto now = parts_.exchange.epoch();
  const auto& rules = parts_.exchange.genesis().rules;
  const auto newest = [&]() -> const RenewalCase* {
    const RenewalCase* found = nullptr;
    for (const auto& [id, one] : parts_.exchange.standings().renewals)
      if (one.person == identity.person && (!found || one.round > found->round)) found = &one;
    return found;
  };
  if (const auto* last = newest(); last && !last->done && now <= last->epoch + rules.vouch_epochs) co_return *last;
  const auto& mine = own();
  if (!is_trusted(mine)) co_return fail(Errc::denied, "you are not trusted: there is nothing to renew");
  if (mine.due == 0 || now + rules.grace_epochs < mine.due)
    co_return fail(Errc::invalid, "nothing is due{}", mine.due == 0 ? ": trust does not age in this network"
                   : fmt::format(" before epoch {}; it is {}", mine.due, now));
  CO_TRY_VOID(may_number());
  const auto alone = co_await numbering_.lock();
  const auto round = own().next_round;
  CO_TRY(const auto id, co_await parts_.exchange.publish(
                            make_renewal(identity.person_key, identity.network, identity.person, round, now,
                                         draw(procedure_draw(identity.network, identity.person, round))),
                            [](const Standings& then, const Digest& id) { return then.renewals.contains(id); }));
  const auto& renewals = parts_.exchange.standings().renewals;
  const auto at = renewals.find(id);
  if (at == renewals.end()) co_return fail(Errc::invalid, "the renewal does not count");
  co_return at->second;
}

Task<Result<Digest>> TrustDesk::show_words(const PersonSecret& words) {
  CO_TRY(const auto wanted, co_await renew());
  if (wanted.procedure != Procedure::recovery_words)
    co_return fail(Errc::invalid, "what is drawn for you is {}, not the recovery words", procedure_words(wanted.procedure));
  if (recovery_commitment(words.recovery_key()) != own().recovery)
    co_return fail(Errc::denied, "these are not the words of this person");
  co_return co_await parts_.exchange.publish(make_words_proof(words.recovery_key(), parts_.identity.network,
                                                              parts_.identity.person, wanted.renewal,
                                                              parts_.exchange.epoch()),
                                             [renewal = wanted.renewal](const Standings& then, const Digest&) {
                                               return then.renewals.at(renewal).done;
                                             });
}

Task<Result<Digest>> TrustDesk::countersign(std::string_view renewal) {
  const auto& identity = parts_.identity;
  std::vector<const RenewalCase*> matching;
  for (const auto& [id, one] : parts_.exchange.standings().renewals) {
    if (!one.done && id.hex().starts_with(renewal) &&
        std::ranges::find(one.countersigners, identity.person) != one.countersigners.end())
      matching.push_back(&one);
  }
  if (renewal.empty() || matching.empty())
    co_return fail(Errc::not_found, "no renewal that you may countersign has an id that begins with \"{}\"", renewal);
  if (matching.size() > 1) co_return fail(Errc::invalid, "{} renewals have ids that begin so", matching.size());
  co_return co_await parts_.exchange.publish(make_countersign(identity.person_key, identity.network, identity.person,
                                                              matching.front()->renewal, parts_.exchange.epoch()),
                                             [](const Standings&, const Digest&) { return true; });
}

Task<Result<Digest>> TrustDesk::doubt(PersonId person, std::string reason) {
  const auto& identity = parts_.identity;
  if (reason.size() > reason_bytes_max)
    co_return fail(Errc::invalid, "a reason of {} bytes: at most {}", reason.size(), reason_bytes_max);
  if (!is_trusted(parts_.exchange.standings().of(person)))
    co_return fail(Errc::not_found, "no trusted person {} is in this network", person);
  co_return co_await parts_.exchange.publish(make_doubt(identity.person_key, identity.network, identity.person, person,
                                                        std::move(reason), parts_.exchange.epoch()),
                                             [](const Standings&, const Digest&) { return true; });
}

}  // namespace spatter
