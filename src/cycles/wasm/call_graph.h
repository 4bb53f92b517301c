// Rules for each function that depend on who calls whom: whether its callers pay its fuel, and whether
// it counts the native stack it uses.
#pragma once

#include <vector>

#include "types.h"
#include "validate.h"

namespace spatter::wasm {

struct FunctionRules {
  /// A small function without loops and calls: each caller pays `cost` with its own instructions, and
  /// the function itself counts nothing.
  bool prepaid = false;
  std::uint32_t cost = 0;
  /// It may be under way more than once, or its frame is large: it takes `stack_bytes` from the stack's
  /// budget when it starts and gives them back when it returns.
  bool counts_stack = false;
  std::uint32_t stack_bytes = 0;
};

struct CallRules {
  std::vector<FunctionRules> functions;  ///< of the defined ones
  std::uint32_t indirect_cost = 0;       ///< the most that a prepaid function in the table costs
};

/// `summaries` are those of the defined functions. Linear in functions and calls.
CallRules call_rules(const Module& module, const std::vector<BodySummary>& summaries);

/// How many bytes of native stack a function is taken to use, itself alone.
std::uint64_t frame_bytes(const FuncType& type, const Body& body, const BodySummary& summary);

}  // namespace spatter::wasm
