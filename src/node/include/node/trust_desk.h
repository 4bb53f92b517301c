// What a person does about trust on a server of his: vouches, gets a phrase, announces a clip, watches
// and judges others' clips, renews his own trust. Each ends in one signed record that travels
// (directory/trust_exchange.h).
//
// All calls on the executor. Errors are for people: they say what stands in the way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crypto/secret.h"
#include "directory/clip_store.h"
#include "directory/trust_exchange.h"

namespace spatter {

/// What must be said into the camera now.
struct TrustPhrase {
  Digest basis;             ///< the vouch or renewal that asks for a clip
  bool renewal = false;
  std::string key_words;    ///< the twelve that stand for the person's key
  std::string phrase;
  std::uint64_t epoch = 0;  ///< of the lots
  WallMs until_ms = 0;      ///< the clip must be announced before
  std::vector<GivenLot> lots;
};

/// A clip that somebody judges.
struct TrustReview {
  Digest announce;
  PersonId person;
  bool renewal = false;
  std::string key_words;
  std::string phrase;
  std::uint64_t clip_bytes = 0;
  unsigned vouches = 0;
  unsigned refusals = 0;
  unsigned vouches_needed = 0;
  std::optional<Verdict> mine;  ///< what this person has said
};

class TrustDesk {
 public:
  /// References outlive it.
  struct Parts {
    Runtime& runtime;
    const Identity& identity;
    Digest recovery;             ///< that the person commits to
    GossipMembers& members;
    TrustExchange& exchange;
    ClipStore& clips;
    Key members_key;             ///< trust/clip.h
  };
  explicit TrustDesk(Parts parts);

  void start();  ///< vouches for those whom the person lets in; fetches clips to be judged
  Task<void> stop();

  /// "I know this person." Numbered, and two of one number prove a fraud: so only the person's server of
  /// the lowest id makes them (denied elsewhere, naming it), and renewals likewise.
  Task<Result<Digest>> vouch(PersonId person);
  /// Asks those who will judge the person's clip for their lots. The phrase stays until its time is over
  /// or the server ends. not_found: nobody asks for a clip of this person.
  Task<Result<TrustPhrase>> phrase();
  /// Seals a clip that says the phrase last given, and announces it. Durable on return.
  Task<Result<Digest>> announce(Bytes clip);

  /// Clips that the person judges, undecided ones, oldest first.
  std::vector<TrustReview> reviews() const;
  /// The one whose id begins so.
  Result<TrustReview> review_of(std::string_view id) const;
  Task<Result<Bytes>> watch(Digest announce);
  Task<Result<Digest>> judge(Digest announce, Verdict verdict, std::string reason);

  /// Begins the procedure that is due, or says which is under way.
  Task<Result<RenewalCase>> renew();
  /// Shows that the recovery words are at hand, for a renewal that asks for it.
  Task<Result<Digest>> show_words(const PersonSecret& words);
  /// Stands by a person whom this one vouched for, whose renewal's id begins so.
  Task<Result<Digest>> countersign(std::string_view renewal);
  Task<Result<Digest>> doubt(PersonId person, std::string reason);

 private:
  const Standing& own() const;
  const ClipCase* own_case() const;
  VrfProof draw(const Draw& occasion) const;
  std::vector<ServerId> servers_of(const PersonId& person) const;
  Result<void> may_number() const;
  Result<void> may_vouch_for(const PersonId& person) const;
  std::optional<PersonId> named_by_own_vouch(std::uint32_t number) const;
  Task<Result<Digest>> sign_vouch(PersonId person, std::uint32_t number);
  std::optional<std::pair<Review, std::uint64_t>> own_review(const Digest& announce) const;
  Task<void> date_anew(Digest announce);
  TrustExchange::Counts counts_in(const Digest& announce, Verdict verdict) const;
  Task<void> vouch_for_guests();
  void fetch_what_is_asked();
  Task<void> fetch_ahead(Digest announce);

  Parts parts_;
  std::optional<TrustPhrase> phrase_;
  std::set<Digest> fetching_;
  bool vouching_ = false;
  Mutex numbering_;
  TaskGroup tasks_;
};

}  // namespace spatter
