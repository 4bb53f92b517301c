// What an admitted module looks like from outside.
#include <gmock/gmock.h>

#include "parse.h"
#include "validate.h"
#include "wat.h"

namespace spatter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string listing(const Bytes& module) {
  write_file(scratch() / "listed.wasm", module);
  return run_command("wasm-objdump -x " + (scratch() / "listed.wasm").string()).output;
}

Bytes admitted(const std::string& text, const ModuleLimits& limits = {}) {
  auto result = admit(wat(text), limits);
  EXPECT_TRUE(result) << (result ? "" : result.error().message);
  return result ? result->bytes : Bytes{};
}

TEST(Admit, TheSmallestModule) {
  const auto result = admit(wat(R"((module (memory (export "memory") 2 5) (func (export "_start"))))"));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->memory_pages, 2u);
  EXPECT_EQ(result->memory_pages_max, 5u);
  EXPECT_TRUE(result->imports.empty());
  const auto text = listing(result->bytes);
  EXPECT_THAT(text, HasSubstr("spatter_fuel"));
  EXPECT_THAT(text, HasSubstr("spatter_stack"));
  EXPECT_THAT(text, HasSubstr("initial=2 max=5"));
}

TEST(Admit, MemoryWithoutAMaximumGetsTheLimit) {
  ModuleLimits limits;
  limits.memory_pages_max = 77;
  const auto open = admit(wat(R"((module (memory (export "memory") 2) (func (export "_start"))))"), limits);
  ASSERT_TRUE(open);
  EXPECT_EQ(open->memory_pages_max, 77u);
  const auto wide = admit(wat(R"((module (memory (export "memory") 2 65536) (func (export "_start"))))"), limits);
  ASSERT_TRUE(wide);
  EXPECT_EQ(wide->memory_pages_max, 77u);
}

TEST(Admit, DropsNamesAndCustomSectionsAndOtherExports) {
  const auto text = R"((module (memory (export "memory") 1) (table (export "table") 3 funcref)
    (global (export "g") i32 (i32.const 1)) (func $secret (export "other")) (func (export "_start"))))";
  const auto bytes = admit(wat(text, "--debug-names"));
  ASSERT_TRUE(bytes);
  const auto shown = listing(bytes->bytes);
  EXPECT_THAT(shown, HasSubstr("Export[4]"));
  EXPECT_EQ(shown.find("secret"), std::string::npos);
  EXPECT_EQ(shown.find("Custom"), std::string::npos);
  EXPECT_THAT(shown, HasSubstr("initial=3 max=3"));
}

TEST(Admit, NamesTheImportsInOrder) {
  const auto result = admit(wat(R"((module
    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
      (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1) (func (export "_start"))))"));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(result->imports, ElementsAre("proc_exit", "fd_write", "clock_time_get", "path_open"));
}

TEST(Admit, KeepsDataElementsAndPassiveSegments) {
  const auto bytes = admitted(R"((module (memory (export "memory") 1) (table 4 funcref) (elem (i32.const 1) $a $a)
    (data (i32.const 65530) "abcdef") (data $p "xyz") (func $a)
    (func (export "_start") (memory.init $p (i32.const 0) (i32.const 0) (i32.const 3)) (data.drop $p))))");
  const auto shown = listing(bytes);
  EXPECT_THAT(shown, HasSubstr("init i32=65530"));
  EXPECT_THAT(shown, HasSubstr("Elem[1]"));
  EXPECT_THAT(shown, HasSubstr("Data[2]"));
  EXPECT_TRUE(wasm::validate(bytes, {}));
}

TEST(Admit, FunctionsThatGiveSeveralResults) {
  const auto ran = run_text(module_text("(call $pair (i32.const 9)) (i32.sub) (call $exit)", R"(
    (func $pair (param i32) (result i32 i32) (local $i i32)
      (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
      (return (local.get $i) (i32.const 4))))"));
  EXPECT_EQ(ran.end, "exit");
  EXPECT_EQ(ran.code, 5);
}

TEST(Admit, FloatImmediatesAndBigConstantsSurvive) {
  const auto ran = run_text(module_text(R"(
    (f64.store (i32.const 8) (f64.const -0x1.23456789abcdep-3))
    (if (i64.ne (i64.load (i32.const 8)) (i64.const 0xbfc23456789abcde)) (then (call $exit (i32.const 1))))
    (f32.store (i32.const 8) (f32.const 0x1.fffffep+127))
    (if (i32.ne (i32.load (i32.const 8)) (i32.const 0x7f7fffff)) (then (call $exit (i32.const 2))))
    (i64.store (i32.const 8) (i64.const -9223372036854775808))
    (if (i32.ne (i32.load (i32.const 12)) (i32.const -2147483648)) (then (call $exit (i32.const 3))))
    (call $exit (i32.const 42)))"));
  EXPECT_EQ(ran.code, 42);
}

}  // namespace
}  // namespace spatter
