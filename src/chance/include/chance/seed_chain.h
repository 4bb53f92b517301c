// Seed chains: each person's own course of chance, from his announce video onwards.
//
// A chain begins with a *root*, which names the hash of the encrypted video, and goes on in *links*. What a
// link leaves behind is its *head*: a hash of the last head, of the person's own draw over it, and of
// what others contributed (the digests of their signed audit results and vouches). So nobody can
// compute a head early: the person lacks the others' statements, the others lack his key. And
// everybody can check it later, link by link, with nothing but the chain and the network's id.
//
// Links are numbered, signed by the person, at most one in an epoch. Two different links with one
// number prove by themselves that the person tells different people different things.
//
// A head hashes the draw's *output*, not its proof: outputs are unique, proofs are not.
//
// What a chain does not promise. A person sees his draw and the contributions before he signs, and may leave
// some out or let an epoch pass: with m contributions he can choose among 2^m heads. What he leaves out
// is seen by its maker, and a skipped epoch by everyone, but not prevented. So a head may decide only
// what is nearly as good either way for who bends it (which of several procedures he must
// perform, see procedure.h), and never who judges him: that is drawn by others. Before the first
// link with contributions the course is the person's own choice, for he may record his video as often as he
// likes, and decides nothing. Which root counts is settled by those who vouch for its video.
//
// All functions are pure; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "chance/draw.h"
#include "crypto/sign.h"

namespace spatter {

/// What somebody else said of the person, by the SHA-256 of the signed statement.
struct Contribution {
  enum class Kind : std::uint8_t { audit = 1, vouch = 2 };
  Kind kind = Kind::audit;
  Digest statement;
  auto operator<=>(const Contribution&) const = default;
};
std::string_view to_string(Contribution::Kind kind);

/// A link with more is refused.
inline constexpr std::size_t seed_contributions_max = 256;

struct SeedRoot {
  NetworkId network;
  PersonId person;
  Digest video;  ///< SHA-256 of the encrypted announce video
  std::uint64_t epoch = 0;
  Signature signature{};  ///< the person's, over "spatter/1 seed root\0" network person video le64(epoch)
};

struct SeedLink {
  std::uint64_t number = 0;  ///< from 1
  std::uint64_t epoch = 0;   ///< later than the last link's
  Digest previous;           ///< the last head
  VrfProof proof{};          ///< of Draw{network, epoch, chain, previous} by the person's key
  std::vector<Contribution> contributions;  ///< ascending, none twice
  /// The person's, over "spatter/1 seed link\0" root le64(number) le64(epoch) previous proof
  /// le32(contributions) and, for each of them, kind (1 byte) and statement.
  Signature signature{};
};

/// Where a chain stands after a link that was checked; all that is needed to go on.
struct SeedHead {
  NetworkId network;
  PersonId person;
  Digest root;  ///< the chain's name: SHA-256("spatter/1 seed root\0" network person video le64(epoch))
  std::uint64_t number = 0;  ///< 0: the root
  std::uint64_t epoch = 0;
  Digest head;  ///< the root itself, then of each link SHA-256("spatter/1 seed head\0" root
                ///< le64(number) le64(epoch) previous output le32(contributions) contributions)
  VrfOutput output{};  ///< the own draw; zeros at the root
};

struct SeedChain {
  SeedRoot root;
  std::vector<SeedLink> links;
};

SeedRoot make_seed_root(const SigningKey& person, const NetworkId& network, const Digest& video,
                        std::uint64_t epoch);

/// The next link, with the contributions put in order and each taken once. Errc::exists when `last`
/// has a link for this epoch or a later one already, Errc::denied when the chain is of another
/// person, Errc::invalid for too many contributions. The link must be durable before anyone
/// sees it: a person who forgets it and makes another one has proved himself a cheat.
Result<SeedLink> make_seed_link(const SigningKey& person, const SeedHead& last, std::uint64_t epoch,
                                std::vector<Contribution> contributions);

/// Errc::denied for another network's, Errc::corrupt for a signature that does not match.
Result<SeedHead> check_seed_root(const SeedRoot& root, const NetworkId& network);

/// One step. Errors name the link: Errc::invalid (number, epoch, order of contributions, malformed
/// proof), Errc::corrupt (does not follow `last`, signature, draw). `steps` as in vrf_verify.
Result<SeedHead> check_seed_link(const SeedHead& last, const SeedLink& link, VrfSteps* steps = nullptr);

/// The whole chain: the root's head and each link's.
Result<std::vector<SeedHead>> check_seed_chain(const SeedChain& chain, const NetworkId& network);

/// Two links of one chain that cannot both be honest.
struct SeedConflict {
  SeedRoot root;
  SeedLink one, other;
};

/// Whether it is the proof it claims to be: the person's signatures under root and both links, one
/// number, and different content. (Proofs of one draw that differ in their nonce alone are one
/// content.) The error says what is missing.
Result<void> check_seed_conflict(const SeedConflict& conflict, const NetworkId& network);

/// The first links in which two chains of one root part; nothing when one continues the other or
/// they have different roots. Both must have been checked.
std::optional<SeedConflict> find_seed_conflict(const SeedChain& one, const SeedChain& other);

}  // namespace spatter
