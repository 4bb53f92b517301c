// Trust ages: from time to time a person must do something that a thief of his key, or a machine, could
// not. When and what, his seed chain draws.
//
// When: between half a period and a whole one after the last, as the head at that time says; so it can be
// known beforehand, for people need time, but no bending of the chain puts it off for longer. What: as
// the first head at or after the due epoch says, which nobody knows before. Who bends his chain can
// at best choose among three procedures, each of which needs the person himself.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "chance/seed_chain.h"

namespace spatter {

/// Part of the format: append, never renumber.
enum class Procedure : std::uint8_t {
  new_clip = 0,        ///< a new announce video with a new phrase
  countersign = 1,     ///< two earlier vouchers sign again
  recovery_words = 2,  ///< a signature made from the recovery words
};
inline constexpr std::uint64_t procedures = 3;
std::string_view to_string(Procedure procedure);

struct NextProcedure {
  std::uint64_t due_epoch = 0;
  std::optional<Procedure> what;  ///< none while the chain has no link at or after `due_epoch`
  std::uint64_t drawn_by = 0;     ///< the number of that link
};

/// `heads` are a checked chain's (check_seed_chain), at least the root; `done_epoch` is when the last
/// procedure was completed (or trust began), `period_epochs` the network's, at least 1.
///
///   due = done + ceil(period / 2) + Stream(h, "procedure due").below(floor(period / 2) + 1)
///   what = Stream(g, "procedure").below(3)
///
/// with h the head of the last link of an epoch up to `done_epoch` (else the root) and g the head of the
/// first link of an epoch from `due` on.
NextProcedure next_procedure(std::span<const SeedHead> heads, std::uint64_t done_epoch,
                             std::uint64_t period_epochs);

}  // namespace spatter
