// Where a function counts its fuel, and how much at each place.
//
// Code is cut into stretches that run from their first instruction to their last. A stretch pays when
// it begins; but a short one that runs at most once for each run of an earlier one is paid with that
// one, whether it then runs or not, so that the counting does not stand between an `if` and its few
// instructions. A loop's first stretch always pays for itself, in every round, and is where it is
// looked whether anything is left.
#pragma once

#include <vector>

#include "call_graph.h"
#include "types.h"

namespace spatter::wasm {

struct Charge {
  std::uint32_t position = 0;  ///< in the code: before the instruction that begins here
  std::uint64_t amount = 0;
  bool in_loop_head = false;
};

/// In order of position. The first one, at position 0 where there is any, is the function's own.
std::vector<Charge> plan_charges(const Module& module, const Body& body, const CallRules& rules,
                                 std::uint32_t branch_targets_max);

}  // namespace spatter::wasm
