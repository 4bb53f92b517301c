// What is refused, and that the error names the thing and where it is.
#include <gmock/gmock.h>

#include "validate.h"
#include "wat.h"

namespace spatter {
namespace {

using testing::HasSubstr;

std::string refusal(ByteView bytes, const ModuleLimits& limits = {}) {
  const auto result = admit(bytes, limits);
  if (result) return "admitted";
  EXPECT_EQ(result.error().code, Errc::invalid);
  return result.error().message;
}

std::string refusal_of_text(const std::string& text, const ModuleLimits& limits = {}) {
  return refusal(wat(text, "--enable-all --no-check"), limits);
}

std::string refusal_of_body(const std::string& body, const std::string& inside = "") {
  return refusal_of_text(module_text(body, inside));
}

Bytes hex(std::string text) {
  std::erase(text, ' ');
  return from_hex(text).value();
}
constexpr auto header = "0061736d01000000";

TEST(Refuse, WhatIsNoModule) {
  EXPECT_EQ(refusal({}), "at byte 0x0: not a WebAssembly module");
  EXPECT_EQ(refusal(as_bytes("#!/bin/sh\necho hello\n")), "at byte 0x0: not a WebAssembly module");
  EXPECT_EQ(refusal(hex("0061736d02000000")), "at byte 0x4: only version 1 of the format is admitted");
  EXPECT_EQ(refusal(hex("0061736d0d000100")), "at byte 0x4: only version 1 of the format is admitted");
  ModuleLimits small;
  small.bytes_max = 10;
  EXPECT_EQ(refusal(Bytes(11, 0), small), "module of 11 bytes, where at most 10 are admitted");
}

TEST(Refuse, SectionsThatDoNotHold) {
  EXPECT_EQ(refusal(hex(std::string(header) + "01 7f 00")), "at byte 0xa: 127 bytes are announced where 1 are left");
  EXPECT_EQ(refusal(hex(std::string(header) + "01 ff")), "at byte 0xa: the module ends in the middle of something");
  EXPECT_EQ(refusal(hex(std::string(header) + "01 ff ff ff ff ff 00")), "at byte 0x9: a number of more than 32 bits");
  EXPECT_EQ(refusal(hex(std::string(header) + "0e 01 00")), "at byte 0x8: no section has number 14");
  EXPECT_EQ(refusal(hex(std::string(header) + "0d 01 00")), "at byte 0x8: tag section: exceptions are not admitted");
  EXPECT_EQ(refusal(hex(std::string(header) + "03 01 00 01 01 00")), "at byte 0xb: type section: out of order or twice");
  EXPECT_EQ(refusal(hex(std::string(header) + "01 01 00 01 01 00")), "at byte 0xb: type section: out of order or twice");
  EXPECT_EQ(refusal(hex(std::string(header) + "01 02 00 00")), "at byte 0xb: type section: 1 bytes too many");
  EXPECT_EQ(refusal(hex(std::string(header) + "01 03 01 5f 00")),
            "type section: at byte 0xc: type 0: only function types are admitted");
  EXPECT_EQ(refusal(hex(std::string(header) + "01 05 ff ff ff ff 0f")),
            "type section: at byte 0xa: 4294967295 types, where at most 10000 are admitted");
  EXPECT_EQ(refusal(hex(std::string(header) + "00 03 02 c0 80")), "custom section: at byte 0xd: a name that is not UTF-8");
}

TEST(Refuse, TablesThatTheTranslatorCannotBear) {
  // As the translator lets it through, with a table that it could not allocate.
  EXPECT_EQ(refusal(hex(std::string(header) + "04 08 01 70 00 ff ff ff ff 0f")).substr(0, 100),
            "table section: at byte 0xb: table 0: 4294967295 entries, where at most 65536 are admitted");
  EXPECT_THAT(refusal(hex(std::string(header) + "04 04 01 6f 00 01")), HasSubstr("only tables of funcref"));
  EXPECT_THAT(refusal(hex(std::string(header) + "04 07 02 70 00 01 70 00 01")),
              HasSubstr("2 tables, where at most 1 are admitted"));
}

TEST(Refuse, MemoriesOfTheWrongKind) {
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") 8193))"),
              HasSubstr("memory 0: 8193 pages, where at most 8192 are admitted"));
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") 1 2 shared))"), HasSubstr("threads"));
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") i64 1))"), HasSubstr("memory64"));
  EXPECT_THAT(refusal_of_text("(module (memory 1) (memory 1))"), HasSubstr("2 memories, where at most 1"));
  EXPECT_THAT(refusal_of_text("(module (memory 5 4))"), HasSubstr("its maximum is below its minimum"));
}

TEST(Refuse, AnInterfaceThatIsNotACommand) {
  EXPECT_EQ(refusal_of_text("(module (memory (export \"memory\") 1))"), "export section: no function _start is exported");
  EXPECT_EQ(refusal_of_text("(module (memory (export \"memory\") 1) (func (export \"_start\") (param i32)))"),
            "export _start: has type (i32) -> (), must have () -> ()");
  EXPECT_EQ(refusal_of_text("(module (func (export \"_start\")))"), "memory section: no memory is defined");
  EXPECT_EQ(refusal_of_text("(module (memory 1) (func (export \"_start\")))"),
            "export section: the memory is not exported as memory");
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") 1) (start $a) (func $a (export \"_start\")))"),
              HasSubstr("start section: at byte"));
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") 1) (func (export \"_start\") (export \"_start\")))"),
              HasSubstr("export _start: exported twice"));
  EXPECT_EQ(refusal_of_text("(module (memory (export \"memory\") 1) (func (export \"_start\"))"
                            "(global (export \"spatter_fuel\") (mut i64) (i64.const 9)))"),
            "export section: spatter_fuel and spatter_stack are names of ours");
  EXPECT_THAT(refusal_of_text("(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))"
                              "(memory (export \"memory\") 1) (export \"_start\" (func 0)))"),
              HasSubstr("export _start: has type () -> (i32)"));
}

TEST(Refuse, ImportsThatNobodyGives) {
  const auto import = [](const std::string& what) {
    return refusal_of_text("(module (import " + what + ") (memory (export \"memory\") 1) (func (export \"_start\")))");
  };
  EXPECT_THAT(import("\"wasi_snapshot_preview1\" \"sock_open\" (func)"),
              HasSubstr("import wasi_snapshot_preview1.sock_open: no such function is given to modules"));
  EXPECT_THAT(import("\"env\" \"fork\" (func)"),
              HasSubstr("import env.fork: only wasi_snapshot_preview1 may be imported from"));
  EXPECT_THAT(import("\"wasi_snapshot_preview1\" \"fd_write\" (func (param i32))"),
              HasSubstr("fd_write: has type (i32, i32, i32, i32) -> (i32), imported as (i32) -> ()"));
  EXPECT_THAT(import("\"env\" \"memory\" (memory 1)"), HasSubstr("import env.memory: only functions may be imported"));
  EXPECT_THAT(import("\"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32))) (import "
                     "\"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32))"),
              HasSubstr("imported twice"));
}

TEST(Refuse, InstructionsThatAreNotInTheSubset) {
  EXPECT_THAT(refusal_of_body("(drop (v128.load (i32.const 0)))"), HasSubstr("v128.load: SIMD is not admitted"));
  EXPECT_TRUE(refusal_of_body("(drop (v128.load (i32.const 0)))").starts_with("function 1 at byte 0x"));
  EXPECT_THAT(refusal_of_body("(atomic.fence)"), HasSubstr("atomic.fence: threads and atomics are not admitted"));
  EXPECT_THAT(refusal_of_body("(return_call 1)"), HasSubstr("return_call: tail calls are not admitted"));
  EXPECT_THAT(refusal_of_body("(drop (ref.null func))"), HasSubstr("ref.null: reference types are not admitted"));
  EXPECT_THAT(refusal_of_body("(drop (table.size 0))", "(table 1 funcref)"), HasSubstr("reference types are not admitted"));
  EXPECT_THAT(refusal_of_body("(drop (table.grow 0 (ref.null func) (i32.const 1)))", "(table 1 funcref)"),
              HasSubstr("reference types are not admitted"));
  EXPECT_THAT(refusal_of_body("(local v128)"), HasSubstr("function 1: at byte"));
  EXPECT_THAT(refusal_of_body("(try (do))"), HasSubstr("exceptions are not admitted"));
}

TEST(Refuse, BodiesThatDoNotType) {
  EXPECT_THAT(refusal_of_body("(drop (i32.add (i32.const 1) (i64.const 2)))"),
              HasSubstr("i32.add: takes i32 where i64 is"));
  EXPECT_THAT(refusal_of_body("(drop)"), HasSubstr("drop: a value is missing on the stack"));
  EXPECT_THAT(refusal_of_body("(i32.const 1)"), HasSubstr("end: 1 values too many on the stack"));
  EXPECT_THAT(refusal_of_body("br 3"), HasSubstr("br: there is no label 3"));
  EXPECT_THAT(refusal_of_body("call 9"), HasSubstr("call: there is no function 9"));
  EXPECT_THAT(refusal_of_body("(local.set 0 (i32.const 1))"), HasSubstr("local.set: there is no local 0"));
  EXPECT_THAT(refusal_of_body("(global.set 0 (i32.const 1))", "(global i32 (i32.const 1))"),
              HasSubstr("global.set: global 0 is not mutable"));
  EXPECT_THAT(refusal_of_body("(call_indirect (i32.const 1))"), HasSubstr("call_indirect: there is no table 0"));
  EXPECT_THAT(refusal_of_body("(if (result i32) (i32.const 1) (then (i32.const 1))) drop"),
              HasSubstr("an if without else must leave what it takes"));
  EXPECT_THAT(refusal_of_body("(drop (select (i32.const 1) (f32.const 1) (i32.const 1)))"),
              HasSubstr("select: between i32 and f32"));
  EXPECT_THAT(refusal_of_body("(block (result i32) (br_table 0 1 (i32.const 1) (i32.const 1))) drop"),
              HasSubstr("targets that take different numbers of values"));
  EXPECT_THAT(refusal_of_body("unreachable (i32.add (f32.const 1)) drop"), HasSubstr("takes i32 where f32 is"));
  EXPECT_THAT(refusal_of_body("(memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0))"), HasSubstr("memory.init: "));
}

TEST(Refuse, BodiesThatEndWrongly) {
  // type () -> (), one function, and its body given.
  const auto body = [](const std::string& code) {
    const auto bytes = hex(code);
    auto module = hex(std::string(header) + "01 04 01 60 00 00 03 02 01 00");
    module.insert(module.end(), {10, static_cast<std::uint8_t>(bytes.size() + 3), 1,
                                 static_cast<std::uint8_t>(bytes.size() + 1), 0});
    module.insert(module.end(), bytes.begin(), bytes.end());
    const auto result = wasm::validate(module, {});
    return result ? std::string("valid") : result.error().message;
  };
  EXPECT_EQ(body("0b"), "valid");
  EXPECT_EQ(body("01"), "function 0 at byte 0x18: the body ends without its end");
  EXPECT_EQ(body("0b 01 0b"), "function 0 at byte 0x18: instructions after the body's end");
  EXPECT_EQ(body("05 0b"), "function 0 at byte 0x17: else: without an if");
  EXPECT_EQ(body("c5 0b"), "function 0 at byte 0x17: instruction 0xc5: there is no such instruction");
  EXPECT_EQ(body("fc 20 0b"), "function 0 at byte 0x17: instruction 0xfc 0x20: there is no such instruction");
  EXPECT_EQ(body("02 7b 0b 0b"), "function 0 at byte 0x18: block of type v128: SIMD is not admitted");
  EXPECT_EQ(body("02 05 0b 0b"), "function 0 at byte 0x17: block: there is no type 5");
  EXPECT_EQ(body("41 ff ff ff ff 7f 1a 0b"), "valid");
  EXPECT_EQ(body("41 ff ff ff ff 0f 1a 0b"), "function 0 at byte 0x18: a number of more than 32 bits");
  EXPECT_EQ(body("41 00 28 03 00 1a 0b"), "function 0 at byte 0x19: i32.load: alignment 2^3 is larger than natural");
  EXPECT_EQ(body("41 00 28 02 00 1a 0b"), "function 0 at byte 0x19: i32.load: there is no memory 0");
  EXPECT_EQ(body("41 00 0e ff ff ff ff 0f 00 0b"),
            "function 0 at byte 0x19: br_table: 4294967295 targets, where at most 16383 are admitted");
}

TEST(Refuse, SegmentsOutOfBounds) {
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") 1) (data (i32.const 65534) \"abc\"))"),
              HasSubstr("data section: at byte"));
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") 1) (data (i32.const -1) \"a\"))"),
              HasSubstr("segment 0: bytes 0xffffffff to 0x100000000 of a memory of 1 pages"));
  EXPECT_THAT(refusal_of_text("(module (table 2 funcref) (elem (i32.const 1) 0 0) (func))"),
              HasSubstr("segment 0: entries 1 to 3 of a table of 2"));
  EXPECT_THAT(refusal_of_text("(module (table 2 funcref) (elem funcref (ref.func 0)) (func))"),
              HasSubstr("reference types are not admitted"));
  EXPECT_THAT(refusal_of_text("(module (memory (export \"memory\") 1) (data (f32.const 0) \"a\"))"),
              HasSubstr("an initial value that is no constant of type i32"));
  EXPECT_THAT(refusal_of_text("(module (memory 1) (global i32 (i32.const 1))"
                              "(global i32 (global.get 0)))"),
              HasSubstr("global section: at byte"));
}

TEST(Refuse, WhatIsTooLarge) {
  ModuleLimits limits;
  limits.locals_max = 10;
  limits.nesting_max = 5;
  limits.operands_max = 5;
  limits.body_bytes_max = 100;
  const auto body = [&](const std::string& text) { return refusal_of_text(module_text(text), limits); };
  EXPECT_THAT(body("(local i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64)"), HasSubstr("11 locals, where at most 10"));
  EXPECT_THAT(body("block block block block block end end end end end"), HasSubstr("admitted"));
  EXPECT_THAT(body("block block block block block block end end end end end end"), HasSubstr("nested more than 5 deep"));
  std::string constants;
  for (int i = 0; i < 6; ++i) constants += " i32.const 1";
  EXPECT_THAT(body(constants + " drop drop drop drop drop drop"), HasSubstr("more than 5 values on the stack"));
  std::string nops;
  for (int i = 0; i < 120; ++i) nops += " nop";
  EXPECT_THAT(body(nops), HasSubstr("a body of 122 bytes, where at most 100 are admitted"));
}

TEST(Refuse, CountsOfLocalsThatOverflow) {
  // Two groups of 2^32-1 locals.
  EXPECT_THAT(refusal(hex(std::string(header) + "01 04 01 60 00 00 03 02 01 00 0a 11 01 0f 02 ff ff ff ff 0f 7f "
                          "ff ff ff ff 0f 7f 0b 00")),
              HasSubstr("function 0: at byte 0x1d: 4294967295 locals, where at most 8192 are admitted"));
}

}  // namespace
}  // namespace spatter
