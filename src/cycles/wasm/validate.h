// Checks a function body as the WebAssembly specification's appendix describes (a stack of types and
// a stack of control frames), and sums up what the rules for fuel and recursion need to know of it.
#pragma once

#include "cycles/module.h"
#include "instruction.h"
#include "types.h"

namespace spatter::wasm {

struct BodySummary {
  std::vector<std::uint32_t> callees;  ///< one for each call, imported functions too
  std::uint32_t indirect_calls = 0;
  bool has_loop = false;
  bool has_bulk = false;               ///< memory.fill, memory.copy, memory.init
  std::uint32_t operands_max = 0;      ///< at any one time
  std::uint32_t values = 0;            ///< instructions whose result a compiler may want to keep
  std::uint64_t cost = 0;              ///< of all instructions that can be reached, calls' callees not included
};

/// `function` counts imports too. Errors begin with "function N at byte ...".
Result<BodySummary> validate(const Module& module, std::uint32_t function, const ModuleLimits& limits);

/// Parses a module and validates every body.
Result<void> validate(ByteView module, const ModuleLimits& limits);

}  // namespace spatter::wasm
