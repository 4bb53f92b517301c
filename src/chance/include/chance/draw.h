// Draws: how things are decided that nobody shall choose. A draw turns a key and an *occasion* (which
// network, which epoch, for what purpose, about what) into 64 bytes that only the key's holder can
// make, that everyone can check, and of which there is just one for each key and occasion.
//
// What a draw does not do by itself: it binds the output to the key, so whoever can still choose the
// key when he knows the occasion can choose the output, by trying keys, ten thousand a second and
// core. A draw therefore counts only when its key was fixed before the occasion could be known.
// Epochs and most subjects can be known for ever, so the rule has to be kept by the subject:
//
//   - Where it pays to be drawn or not (review, procedure, admit), the subject must hold
//     something from others that is younger than the key: seeded_subject() mixes it in. For a server that
//     is the draw others made over its key when they admitted it; for a person the head of his seed
//     chain after the first link with contributions of others.
//   - Reports are drawn with the first key that a person ever had: one key and one voice, chosen once, before
//     others let him in. What that leaves open is in docs/SECURITY.md.
//   - Where others look at the draw against the drawer's will (audit: which leaves must be shown), the
//     drawer is the examiner, and the examined can't choose the examiner's key.
//   - A holder can always withhold a draw. So no draw may be worth more to him withheld than
//     shown: not to answer when drawn counts as the worst outcome.
//
// All functions are pure: no clock, no state, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "crypto/sign.h"
#include "crypto/vrf.h"

namespace spatter {

/// What a draw is for. The numbers are part of the format: append, never renumber.
enum class Purpose : std::uint8_t {
  audit = 1,       ///< which shards and leaves are challenged
  report = 2,      ///< who reports on the network's health
  review = 3,      ///< who watches a newcomer's announce video
  procedure = 4,   ///< which procedure keeps a person's trust
  admit = 5,       ///< where in the directory's key space a new server goes
  chain = 6,       ///< the own part of a seed chain's link
  coordinate = 7,  ///< who rebuilds a stripe
  work = 8,        ///< who computes, and whose results are compared
  phrase = 9,      ///< the challenge phrase of an announce video
};
std::string_view to_string(Purpose purpose);
/// Errc::invalid lists the names there are.
Result<Purpose> purpose_from(std::string_view name);
/// Errc::invalid for a number that no purpose has.
Result<Purpose> purpose_from(std::uint64_t number);

/// The occasion.
struct Draw {
  NetworkId network;
  std::uint64_t epoch = 0;
  Purpose purpose = Purpose::audit;
  Digest subject;  ///< what it is about: an id, or a hash of what names it
  bool operator==(const Draw&) const = default;
};

inline constexpr std::size_t draw_input_bytes = 92;

/// What the VRF is over: "spatter/1 vrf draw\0" network le64(epoch) purpose subject.
std::array<std::uint8_t, draw_input_bytes> draw_input(const Draw& draw);

/// A subject that could not be known before `seed` was: SHA-256("spatter/1 seeded\0" seed subject).
Digest seeded_subject(const Digest& seed, const Digest& subject);

struct DrawProof {
  PublicKey key{};
  VrfProof proof{};
  bool operator==(const DrawProof&) const = default;
};

struct MadeDraw {
  DrawProof proof;
  VrfOutput output;
};

MadeDraw make_draw(const SigningKey& key, const Draw& draw);

/// The output, when the proof is right. Whether that key may draw here, and was fixed early enough, is
/// for the caller. Errors name the purpose and the key: Errc::invalid (malformed), Errc::corrupt (of
/// another key or occasion). `steps` as in vrf_verify.
Result<VrfOutput> check_draw(const Draw& draw, const DrawProof& proof, VrfSteps* steps = nullptr);

/// The epoch at `wall_ms` in a network founded at `created_ms`; 0 before that. `epoch_seconds` is at
/// least 1.
std::uint64_t epoch_at(std::uint64_t created_ms, std::uint32_t epoch_seconds, std::int64_t wall_ms);

}  // namespace spatter
