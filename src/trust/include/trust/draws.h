// The occasions on which trust draws (chance/draw.h), and what makes their draws safe: a person's key
// is older than what is mixed into the draws of reviewers and procedures before they decide anything.
// That is the anchor of his seed chain, to which those who watched his clip contributed
// (trust/standing.h).
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "chance/draw.h"

namespace spatter {

/// Who reviews the person of the voucher's `number`-th vouch. Not of the person vouched for: else a
/// key could be ground until friends are drawn.
Draw reviewers_draw(const NetworkId& network, const PersonId& voucher, std::uint32_t number);
/// Which procedure a person must perform in his `round`-th renewal, and who reviews it.
Draw procedure_draw(const NetworkId& network, const PersonId& person, std::uint32_t round);
/// A lot for the phrase that a person must say: of the vouch or renewal `basis` that his clip answers.
Draw phrase_draw(const NetworkId& network, const Digest& basis, std::uint64_t epoch);
/// A reviewer's contribution to the person's seed chain.
Draw contribution_draw(const NetworkId& network, const Digest& announce);

}  // namespace spatter
