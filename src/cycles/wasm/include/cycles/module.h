// Which foreign programs may run here at all. A module is parsed, validated and written anew by us
// before any translator sees it: what comes out is a small, deterministic subset of WebAssembly that
// counts its own fuel, bounds its own recursion and has one bit pattern for NaN, so that two machines
// that run it agree on every byte and on every unit. docs/sandbox-module.md has the rules and costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace spatter {

/// Part of the key under which a translation is cached, and of what a unit of fuel means: whoever
/// compares fuel compares this first. Raised by any change of the output for some input.
inline constexpr unsigned admission_version = 1;

/// The exported mutable i64: the host sets it to the budget before `_start`; afterwards, and during
/// any imported call, it holds what is left. Negative: it ran out, also when the module came to its end
/// (what it does last is paid for, but not always looked at). After another trap it holds what was left at the last call, return or loop that wrote it: at most what
/// is really left plus what was used since, and the same on every engine.
inline constexpr std::string_view fuel_export = "spatter_fuel";

/// The exported mutable i32: bytes of native stack left by our own estimate. Starts at
/// `stack_budget`; negative after the module stopped because it recursed too deeply. The host
/// leaves it alone, and gives the thread `native_stack_bytes`.
inline constexpr std::string_view stack_export = "spatter_stack";
inline constexpr std::uint32_t stack_budget = 48u << 20;
inline constexpr std::uint32_t native_stack_bytes = 64u << 20;

/// What is refused by size alone. None of these may be raised past what the translator bears.
struct ModuleLimits {
  std::size_t bytes_max = 16u << 20;
  std::uint32_t memory_pages_max = 8192;  ///< of 64 KiB; growth fails exactly above it
  std::uint32_t table_entries_max = 65536;
  std::uint32_t types_max = 10'000;
  std::uint32_t functions_max = 50'000;   ///< defined ones
  std::uint32_t globals_max = 10'000;
  std::uint32_t exports_max = 10'000;
  std::uint32_t segments_max = 50'000;    ///< of data, and as many of elements
  std::uint32_t body_bytes_max = 1u << 20;
  std::uint32_t params_max = 128;         ///< and as many results
  std::uint32_t locals_max = 8192;        ///< of one function, parameters included
  std::uint32_t operands_max = 4096;      ///< of one function at one time
  std::uint32_t nesting_max = 1024;
  std::uint32_t branch_targets_max = 16384;  ///< of one br_table
};

struct AdmittedModule {
  Bytes bytes;                       ///< what to translate and run
  std::uint32_t memory_pages = 0;      ///< at the start
  std::uint32_t memory_pages_max = 0;  ///< the host must be able to give as many, or refuse to start
  std::vector<std::string> imports;  ///< names within wasi_snapshot_preview1, in the module's order
};

/// Pure, in time and memory linear in the module's size. Errors are Errc::invalid and name the
/// section or function, the byte and the offending thing:
/// "function 12 at byte 0x3a4: v128.load: SIMD is not admitted".
Result<AdmittedModule> admit(ByteView module, const ModuleLimits& limits = {});

}  // namespace spatter
