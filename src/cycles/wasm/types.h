// The pieces of a parsed module. Everything refers by index or by a span into the input.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace spatter::wasm {

/// As in the binary format; `any` is the unknown type of unreachable code and never encoded.
enum class ValType : std::uint8_t { any = 0, i32 = 0x7f, i64 = 0x7e, f32 = 0x7d, f64 = 0x7c };

std::string_view to_string(ValType type);

struct FuncType {
  std::vector<ValType> params;
  std::vector<ValType> results;
  bool operator==(const FuncType&) const = default;
};

struct Limits {
  std::uint32_t min = 0;
  std::uint32_t max = 0;  ///< always set here: the limit that applies when the module names none
};

/// An initial value: only constants of the own type are admitted.
struct Global {
  ValType type = ValType::i32;
  bool is_mutable = false;
  ByteView initial;  ///< the constant's encoding, opcode included, `end` excluded
};

struct ElementSegment {
  std::uint32_t offset = 0;
  std::vector<std::uint32_t> functions;
};

struct DataSegment {
  bool passive = false;
  std::uint32_t offset = 0;
  ByteView bytes;
};

struct Import {
  std::string_view name;  ///< within wasi_snapshot_preview1
  std::uint32_t type = 0;
};

struct LocalGroup {
  std::uint32_t count = 0;
  ValType type = ValType::i32;
};

struct Body {
  std::uint32_t offset = 0;       ///< of the first instruction, in the file
  ByteView code;                  ///< instructions, the last `end` included
  std::vector<LocalGroup> locals;
  std::uint32_t local_count = 0;  ///< parameters not included
};

struct Module {
  std::vector<FuncType> types;
  std::vector<Import> imports;
  std::vector<std::uint32_t> functions;  ///< type indices of the defined functions
  bool has_table = false;
  Limits table;
  bool has_memory = false;
  Limits memory;
  std::vector<Global> globals;
  std::vector<ElementSegment> elements;
  bool has_data_count = false;
  std::uint32_t data_count = 0;
  std::vector<DataSegment> data;
  std::vector<Body> bodies;
  std::uint32_t start_function = 0;      ///< what `_start` names
  bool has_start = false;
  bool exports_memory = false;
  bool has_own_exports = false;          ///< spatter_fuel or spatter_stack

  std::uint32_t function_count() const {
    return static_cast<std::uint32_t>(imports.size() + functions.size());
  }
  const FuncType& type_of(std::uint32_t function) const {
    const auto imported = imports.size();
    return types[function < imported ? imports[function].type : functions[function - imported]];
  }
};

}  // namespace spatter::wasm
