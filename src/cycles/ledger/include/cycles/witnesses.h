// Who looks, when two disagree about a lease: three persons, drawn. The asker draws when he says that it
// was asked and not given, the worker when he says that it was delivered and not receipted.
//
// The draw is over who asks whom in which epoch, and not over the lease, whose hash the asker could choose
// until his friends are drawn. What he can still do is to look for a pair and an epoch in which they
// are; docs/ledger.md says what that buys.
//
// All functions are pure; any thread.
#pragma once

#include <span>
#include <vector>

#include "cycles/entry.h"

namespace spatter::cycles {

inline constexpr std::size_t witnesses_drawn = 3, witnesses_needed = 2;

/// `epoch`: of the lease.
Draw witness_draw(const NetworkId& network, std::uint64_t epoch, const ServerId& asker, const ServerId& worker);

/// At most three of `persons`, none of them the two concerned; in the order of drawing, whatever the order of
/// `persons`, and hardly changed when some come or go.
std::vector<PersonId> drawn_witnesses(const VrfOutput& output, std::span<const PersonId> persons, const PersonId& asker,
                                      const PersonId& worker);

}  // namespace spatter::cycles
