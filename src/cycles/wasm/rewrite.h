// Writes a validated body anew, with its fuel and its stack counted and its NaNs made one.
#pragma once

#include "call_graph.h"
#include "types.h"

namespace spatter::wasm {

struct RewriteContext {
  const Module& module;
  const CallRules& rules;
  std::uint32_t fuel_global = 0;
  std::uint32_t stack_global = 0;
  std::uint32_t branch_targets_max = 0;
};

/// Appends the body of defined function `function` (imports not counted), without the length in front.
/// `block_type` is the encoding of a block that gives the function's results.
void rewrite(const RewriteContext& context, std::uint32_t function, std::int64_t block_type, Bytes& out);

}  // namespace spatter::wasm
