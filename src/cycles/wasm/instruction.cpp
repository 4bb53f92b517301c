#include "instruction.h"

#include <array>

namespace spatter::wasm {
namespace {

constexpr auto ops = [] {
  std::array<OpInfo, 0x110> table{};
#define SPATTER_OP(code, name, takes, gives, immediate, cost, align) \
  table[code] = OpInfo{name, takes, gives, Immediate::immediate, cost, align};
#include "instructions.inc"
#undef SPATTER_OP
  return table;
}();

std::string_view reason_against(std::uint8_t code) {
  switch (code) {
    case 0x06: case 0x07: case 0x08: case 0x09: case 0x0a: case 0x18: case 0x19: case 0x1f:
      return "exceptions are not admitted";
    case 0x12: case 0x13: return "tail calls are not admitted";
    case 0x14: case 0x15: case 0xd3: case 0xd4: case 0xd5: case 0xd6:
      return "function references are not admitted";
    case 0x1c: case 0x25: case 0x26: case 0xd0: case 0xd1: case 0xd2:
      return "reference types are not admitted";
    case 0xfb: return "garbage collection is not admitted";
    case 0xfd: return "SIMD is not admitted";
    case 0xfe: return "threads and atomics are not admitted";
    default: return "there is no such instruction";
  }
}

std::string name_of_refused(std::uint8_t code, std::uint32_t second) {
  if (code == 0xfd && second == 0) return "v128.load";
  if (code == 0xfd && second == 11) return "v128.store";
  if (code == 0xfd && second == 12) return "v128.const";
  if (code == 0xfe && second == 3) return "atomic.fence";
  switch (code) {
    case 0x12: return "return_call";
    case 0x13: return "return_call_indirect";
    case 0x06: return "try";
    case 0x07: return "catch";
    case 0x08: return "throw";
    case 0x1c: return "select with a type";
    case 0x25: return "table.get";
    case 0x26: return "table.set";
    case 0xd0: return "ref.null";
    case 0xd1: return "ref.is_null";
    case 0xd2: return "ref.func";
    case 0xfb: case 0xfc: case 0xfd: case 0xfe:
      return fmt::format("instruction {:#x} {:#x}", code, second);
    default: return fmt::format("instruction {:#x}", code);
  }
}

constexpr ValType i32_result[] = {ValType::i32}, i64_result[] = {ValType::i64},
                  f32_result[] = {ValType::f32}, f64_result[] = {ValType::f64};

}  // namespace

const OpInfo& info_of(Op op) { return ops[static_cast<std::size_t>(op)]; }

Result<Op> Decoder::opcode() {
  const auto begin = reader_.offset();
  TRY(const auto code, reader_.byte());
  std::uint32_t second = 0;
  if (code >= 0xfb && code <= 0xfe) {
    TRY(second, reader_.u32());
  }
  if (code == 0xfc) {
    if (second < 0x10 && !ops[0x100 + second].name.empty()) return static_cast<Op>(0x100 + second);
    if (second >= 12 && second <= 17) {
      return Reader::at(begin, fmt::format("table instruction 0xfc {:#x}: "
                                           "reference types are not admitted", second));
    }
  } else if (code < 0xfb && !ops[code].name.empty()) {
    return static_cast<Op>(code);
  }
  return Reader::at(begin, fmt::format("{}: {}", name_of_refused(code, second), reason_against(code)));
}

Result<Instruction> Decoder::next() {
  Instruction instruction;
  instruction.offset = static_cast<std::uint32_t>(reader_.offset());
  instruction.begin = static_cast<std::uint32_t>(reader_.position());
  TRY(instruction.op, opcode());
  TRY_VOID(immediate(instruction, info_of(instruction.op).immediate));
  instruction.end = static_cast<std::uint32_t>(reader_.position());
  return instruction;
}

Result<void> Decoder::immediate(Instruction& instruction, Immediate kind) {
  const auto name = info_of(instruction.op).name;
  const auto memory_zero = [&]() -> Result<void> {
    TRY(const auto memory, reader_.u32());
    if (memory != 0) return Reader::at(instruction.offset, fmt::format("{}: several memories are not admitted", name));
    return {};
  };
  switch (kind) {
    case Immediate::none: break;
    case Immediate::block_type: {
      const auto begin = reader_.offset();
      TRY(instruction.block_type, reader_.signed_leb(33));
      const auto code = instruction.block_type;
      if (code == -5) return Reader::at(begin, "block of type v128: SIMD is not admitted");
      if (code == -16 || code == -17) return Reader::at(begin, "reference types are not admitted");
      if (code < 0 && code != block_without_type && code < -4) {
        return Reader::at(begin, fmt::format("{}: no such block type", name));
      }
      break;
    }
    case Immediate::label_table: {
      TRY(const auto count, reader_.u32());
      if (count >= branch_targets_max_ || count >= reader_.left()) {
        return Reader::at(instruction.offset, fmt::format("br_table: {} targets, where at most {} are admitted",
                                                          count, branch_targets_max_ - 1));
      }
      targets_.resize(count + 1);
      for (auto& target : targets_) {
        TRY(target, reader_.u32());
      }
      break;
    }
    case Immediate::label: case Immediate::function: case Immediate::local: case Immediate::global:
    case Immediate::data: {
      TRY(instruction.index, reader_.u32());
      break;
    }
    case Immediate::indirect: {
      TRY(instruction.index, reader_.u32());
      TRY(const auto table, reader_.u32());
      if (table != 0) return Reader::at(instruction.offset, "call_indirect: several tables are not admitted");
      break;
    }
    case Immediate::memory_access: {
      TRY(instruction.index, reader_.u32());
      if (instruction.index > info_of(instruction.op).align_max) {
        return Reader::at(instruction.offset, fmt::format("{}: alignment 2^{} is larger than natural",
                                                          name, instruction.index));
      }
      TRY([[maybe_unused]] const auto offset, reader_.u32());
      break;
    }
    case Immediate::memory: return memory_zero();
    case Immediate::two_memories: {
      TRY_VOID(memory_zero());
      return memory_zero();
    }
    case Immediate::data_and_memory: {
      TRY(instruction.index, reader_.u32());
      return memory_zero();
    }
    case Immediate::i32: {
      TRY([[maybe_unused]] const auto value, reader_.signed_leb(32));
      break;
    }
    case Immediate::i64: {
      TRY([[maybe_unused]] const auto value, reader_.signed_leb(64));
      break;
    }
    case Immediate::f32: {
      TRY([[maybe_unused]] const auto value, reader_.take(4));
      break;
    }
    case Immediate::f64: {
      TRY([[maybe_unused]] const auto value, reader_.take(8));
      break;
    }
  }
  return {};
}

BlockType block_type_of(std::int64_t code, const std::vector<FuncType>& types) {
  switch (code) {
    case block_without_type: return {};
    case -1: return {{}, i32_result};
    case -2: return {{}, i64_result};
    case -3: return {{}, f32_result};
    case -4: return {{}, f64_result};
    default: break;
  }
  const auto& type = types[static_cast<std::size_t>(code)];
  return {type.params, type.results};
}

}  // namespace spatter::wasm
