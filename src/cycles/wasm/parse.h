// From bytes to a Module: the sections, everything that can be checked without looking into a body.
#pragma once

#include "cycles/module.h"
#include "types.h"

namespace spatter::wasm {

/// The Module's views point into `bytes`. What is in custom sections is dropped.
Result<Module> parse(ByteView bytes, const ModuleLimits& limits);

/// Whether wasi_snapshot_preview1 has this function among those admitted; its type, or null.
const FuncType* wasi_type(std::string_view name);

/// "(i32, i64) -> (i32)"
std::string to_string(const FuncType& type);

/// A name as it may stand in an error: cut short, what is not printable replaced.
std::string shown(std::string_view name);

}  // namespace spatter::wasm
