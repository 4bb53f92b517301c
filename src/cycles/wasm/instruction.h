// The admitted instructions: what each is called, takes, gives and costs; and how to read one.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reader.h"

namespace spatter::wasm {

/// Opcodes that some rule here names; 0xfc-prefixed ones are 0x100 plus their second number.
enum class Op : std::uint16_t {
  unreachable = 0x00, nop = 0x01, block = 0x02, loop = 0x03, if_ = 0x04, else_ = 0x05, end = 0x0b,
  br = 0x0c, br_if = 0x0d, br_table = 0x0e, return_ = 0x0f, call = 0x10, call_indirect = 0x11,
  drop = 0x1a, select = 0x1b, local_get = 0x20, local_set = 0x21, local_tee = 0x22,
  global_get = 0x23, global_set = 0x24, i32_store = 0x36, i64_store = 0x37, f32_store = 0x38, f64_store = 0x39,
  memory_grow = 0x40, i32_const = 0x41, i64_const = 0x42, f32_const = 0x43, f64_const = 0x44,
  i32_lt_s = 0x48, i64_lt_s = 0x53, f32_eq = 0x5b, f32_ne = 0x5c, f64_eq = 0x61, f64_ne = 0x62,
  i32_add = 0x6a, i32_sub = 0x6b, i64_sub = 0x7d, i64_shr_u = 0x88,
  f32_copysign = 0x98, f64_copysign = 0xa6, i64_extend_i32_u = 0xad,
  f32_convert_i32_s = 0xb2, f32_convert_i64_u = 0xb5, f64_convert_i32_s = 0xb7, f64_convert_i64_u = 0xba,
  i32_reinterpret_f32 = 0xbc, i64_reinterpret_f64 = 0xbd,
  memory_init = 0x108, data_drop = 0x109, memory_copy = 0x10a, memory_fill = 0x10b,
};

enum class Immediate : std::uint8_t {
  none, block_type, label, label_table, function, indirect, local, global, memory_access, memory,
  two_memories, data_and_memory, data, i32, i64, f32, f64,
};

struct OpInfo {
  std::string_view name;      ///< empty: no such instruction, or none that is admitted
  std::string_view takes;     ///< one letter an operand: i, l, f, d for i32, i64, f32, f64
  std::string_view gives;
  Immediate immediate = Immediate::none;
  std::uint8_t cost = 0;      ///< in fuel, where it does not depend on anything else
  std::uint8_t align_max = 0; ///< logarithm of the bytes accessed
};

const OpInfo& info_of(Op op);

/// Past the fixed costs of the table: what a call into the host costs, and growing the memory.
inline constexpr std::uint32_t import_call_cost = 100;
inline constexpr std::uint32_t memory_grow_cost = 1000;
/// memory.fill, memory.copy and memory.init cost one more for each so many bytes.
inline constexpr unsigned bulk_bytes_shift = 3;

struct Instruction {
  Op op = Op::nop;
  std::uint32_t offset = 0;  ///< in the file
  std::uint32_t begin = 0;   ///< in the code
  std::uint32_t end = 0;
  std::uint32_t index = 0;   ///< label, function, type of call_indirect, local, global, data, alignment
  std::int64_t block_type = 0;  ///< >= 0: a type's index; else -64 for none or a value type's code - 128
};

inline constexpr std::int64_t block_without_type = -64;

/// Reads a function's instructions one after the other.
class Decoder {
 public:
  Decoder(ByteView code, std::size_t base, std::uint32_t branch_targets_max)
      : reader_(code, base), branch_targets_max_(branch_targets_max) {}

  bool at_end() const { return reader_.at_end(); }
  std::size_t offset() const { return reader_.offset(); }
  /// Refuses what is not admitted by name.
  Result<Instruction> next();
  /// The labels of the br_table read last, the default one at the end.
  const std::vector<std::uint32_t>& targets() const { return targets_; }

 private:
  Result<Op> opcode();
  Result<void> immediate(Instruction& instruction, Immediate kind);

  Reader reader_;
  std::uint32_t branch_targets_max_;
  std::vector<std::uint32_t> targets_;
};

/// A block's type as two views; `storage` keeps a lone result type alive.
struct BlockType {
  std::span<const ValType> params;
  std::span<const ValType> results;
};
/// Null views for a type index that is not there are the caller's to prevent: check first.
BlockType block_type_of(std::int64_t code, const std::vector<FuncType>& types);

}  // namespace spatter::wasm
