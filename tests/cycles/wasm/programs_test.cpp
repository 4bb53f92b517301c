// Programs in C give the same bytes natively and admitted, in an engine that shares nothing with the
// translator; and their fuel is the same every time, to the unit.
#include "wat.h"

namespace spatter {
namespace {

const std::filesystem::path programs = SPATTER_PROGRAMS;

struct Program {
  std::string name;
  std::string arguments;
};

class Programs : public testing::TestWithParam<Program> {};

TEST_P(Programs, GiveTheBytesOfTheNativeProgram) {
  const auto& [name, arguments] = GetParam();
  const auto input = scratch() / "input";
  write_file(input, as_bytes("seven wise women went away\n"));
  const auto native = run_command("{ " + (programs / (name + ".native")).string() + " " + arguments + " < " +
                                  input.string() + " 2>/dev/null; }");
  const auto module = programs / (name + ".admitted.wasm");
  constexpr std::int64_t budget = 1'000'000'000'000;
  const auto ran = run_in_node(module, {budget}, arguments, input)[0];
  EXPECT_EQ(ran.end, "exit");
  EXPECT_EQ(ran.code, native.status);
  EXPECT_FALSE(ran.output.empty());
  EXPECT_EQ(ran.output, native.output);
  EXPECT_GT(ran.fuel, 1000);

  const auto runs = run_in_node(module, {ran.fuel, ran.fuel - 1, ran.fuel / 2}, arguments, input);
  EXPECT_EQ(runs[0].end, "exit") << "with just the fuel that it needs";
  EXPECT_EQ(runs[0].left, 0);
  EXPECT_EQ(runs[0].output, ran.output);
  EXPECT_EQ(runs[1].end, "fuel");
  EXPECT_EQ(runs[2].end, "fuel");
  EXPECT_LT(runs[2].left, 0);
  EXPECT_GT(runs[2].left, -10'000) << "stops soon after it ran out";
}

INSTANTIATE_TEST_SUITE_P(All, Programs,
                         testing::Values(Program{"echo", "one 'and two'"}, Program{"fibonacci", "20"},
                                         Program{"floats", "5000"}, Program{"hash_table", "50"},
                                         Program{"matrix", "60"}, Program{"memory", "40"}, Program{"nan", ""},
                                         Program{"recursion", "3000"}, Program{"sha256", "20"},
                                         Program{"sort", "20000"}),
                         [](const auto& info) { return info.param.name; });

TEST(ProgramsAtTheirLimits, DeepRecursionStopsByRuleAtTheSamePlace) {
  constexpr std::int64_t budget = 1'000'000'000'000;
  const auto runs = run_in_node(programs / "recursion.admitted.wasm", {budget, budget}, "100000000");
  EXPECT_EQ(runs[0].end, "stack");
  EXPECT_EQ(runs[1].end, "stack");
  EXPECT_EQ(runs[0].fuel, runs[1].fuel);
}

TEST(ProgramsAtTheirLimits, MemoryGrowsToTheMaximumAndNoFurther) {
  ModuleLimits limits;
  limits.memory_pages_max = 20 * 16;
  const auto admitted = admit(read_file(programs / "memory.wasm"), limits);
  ASSERT_TRUE(admitted) << admitted.error().message;
  EXPECT_EQ(admitted->memory_pages_max, 320u);
  write_file(scratch() / "small.wasm", admitted->bytes);
  const auto ran = run_in_node(scratch() / "small.wasm", {1'000'000'000'000}, "500")[0];
  EXPECT_EQ(ran.end, "exit");
  // 20 MiB hold 4 of the C stack and what malloc needs besides.
  EXPECT_TRUE(ran.output.starts_with("15 MiB")) << ran.output;
}

TEST(ProgramsAtTheirLimits, AdmittingIsDeterministic) {
  const auto bytes = read_file(programs / "sort.wasm");
  const auto first = admit(bytes);
  const auto second = admit(bytes);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->bytes, second->bytes);
  EXPECT_EQ(first->bytes, read_file(programs / "sort.admitted.wasm"));
}

TEST(ProgramsAtTheirLimits, TheTranslatorTakesWhatIsAdmitted) {
  for (const auto* name : {"echo", "memory", "nan", "sort"}) {
    const auto module = (programs / (std::string(name) + ".admitted.wasm")).string();
    EXPECT_EQ(run_command("wasm-validate " + module).status, 0) << name;
    const auto ended = run_command("wasm2c --no-debug-names " + module + " -o " + (scratch() / "out.c").string());
    EXPECT_EQ(ended.status, 0) << ended.output;
  }
}

}  // namespace
}  // namespace spatter
