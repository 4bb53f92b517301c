// What counting, the stack's rule and the one NaN do to programs, seen by running them.
#include <gmock/gmock.h>

#include "wat.h"

namespace spatter {
namespace {

TEST(Fuel, EachInstructionCostsWhatTheTableSays) {
  // i32.const 1, drop 0, i32.const 1, i32.const 1, div 8, drop 0, loop 1, call of proc_exit 100 and its constant.
  const auto ran = run_text(module_text(R"((drop (i32.const 1)) (drop (i32.div_u (i32.const 8) (i32.const 2)))
                                           (loop) (call $exit (i32.const 7)))"));
  EXPECT_EQ(ran.code, 7);
  EXPECT_EQ(ran.fuel, 1 + 1 + 1 + 8 + 1 + 1 + 100);
}

TEST(Fuel, ALoopPaysInEveryRound) {
  const auto loop = [](int rounds) {
    return run_text(module_text("(local $i i32) (loop $l (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i)"
                                "(i32.const 1))) (i32.const " + std::to_string(rounds) + "))))")).fuel;
  };
  // loop, local.get, i32.const, i32.add, local.tee, i32.const, i32.ne, br_if
  EXPECT_EQ(loop(1), 8);
  EXPECT_EQ(loop(1000), 8000);
}

TEST(Fuel, AnEndlessLoopStops) {
  const auto ran = run_text(module_text("(loop $l (br $l))"), 1'000'000);
  EXPECT_EQ(ran.end, "fuel");
  EXPECT_EQ(ran.left, -2) << "two a round, looked at in every round";
}

TEST(Fuel, EndlessRecursionThroughTheTableStops) {
  const auto ran = run_text(module_text("(call_indirect (i32.const 0))",
                                        "(table 1 funcref) (elem (i32.const 0) $f)"
                                        "(func $f (call_indirect (i32.const 0)) (call_indirect (i32.const 0)))"),
                            100'000);
  EXPECT_EQ(ran.end, "fuel");
}

TEST(Fuel, TwoToTheThirtiethCallsWithoutALoopStop) {
  std::string inside = "(func $f0 (drop (i32.const 1)))";
  for (int i = 1; i <= 30; ++i) {
    const auto below = "(call $f" + std::to_string(i - 1) + ")";
    inside += "(func $f" + std::to_string(i) + " " + below + below + ")";
  }
  EXPECT_EQ(run_text(module_text("(call $f30)", inside), 1'000'000).end, "fuel");
}

TEST(Fuel, MovingMemoryCostsByLengthAndIsPaidBefore) {
  const auto fill = [](std::uint32_t bytes, std::int64_t fuel) {
    return run_text(module_text("(memory.fill (i32.const 0) (i32.const 7) (i32.const " + std::to_string(bytes) + "))"),
                    fuel);
  };
  const auto none = fill(0, 1000);
  EXPECT_EQ(none.end, "exit");
  EXPECT_EQ(fill(65536, 100'000).fuel - none.fuel, 65536 / 8);
  EXPECT_EQ(fill(65536, 8000).end, "fuel");
  // Past the end of memory: a trap, but paid for; with too little fuel it is not even tried.
  EXPECT_EQ(fill(0xffffffff, 1'000'000'000).end, "trap");
  EXPECT_EQ(fill(0xffffffff, 1'000'000).end, "fuel");
}

TEST(Fuel, ASmallLeafIsPaidByItsCallers) {
  const auto inside = "(func $leaf (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))";
  const auto ran = run_text(module_text("(call $exit (call $leaf (i32.const 5)))", inside));
  EXPECT_EQ(ran.code, 15);
  // i32.const, call 4, in it local.get, i32.const, i32.mul 2; then the host's 100.
  EXPECT_EQ(ran.fuel, 1 + 4 + 1 + 1 + 2 + 100);
}

TEST(Fuel, HoldsWhatWasLeftWhenTheModuleTraps) {
  const auto ran = run_text(module_text("(loop (drop (i32.const 1))) (unreachable)"), 1000);
  EXPECT_EQ(ran.end, "trap");
  EXPECT_EQ(ran.fuel, 2);
}

TEST(Fuel, EarlyReturnsAndBranchesOutWriteItBack) {
  const auto body = [](const std::string& leave) {
    return run_text(module_text("(call $f (i32.const 1)) (call $f (i32.const 0))", "(func $f (param i32) (local $i i32)"
      "(loop $l (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))"
      "(if (local.get 0) (then " + leave + "))"
      "(loop $m (br_if $m (i32.ne (local.tee $i (i32.sub (local.get $i) (i32.const 1))) (i32.const 0)))))"));
  };
  const auto returned = body("(return)");
  const auto branched = body("(br 1)");
  EXPECT_EQ(returned.end, "exit");
  EXPECT_EQ(returned.fuel, branched.fuel);
  // Three loops of ten rounds of eight at least.
  EXPECT_GT(returned.fuel, 240);
  EXPECT_LT(returned.fuel, 300);
}

TEST(Stack, RecursionStopsByRuleAndReturnsGiveBack) {
  const auto inside = R"((func $down (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1))))))))";
  const auto to = [&](const std::string& depth, const std::string& times) {
    return run_text(module_text("(local $i i32) (loop $l (drop (call $down (i32.const " + depth + ")))"
                                "(br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1)))"
                                "(i32.const " + times + "))))", inside));
  };
  EXPECT_EQ(to("50000", "1").end, "exit");
  EXPECT_EQ(to("50000", "20").end, "exit") << "what returned gives its stack back";
  EXPECT_EQ(to("10000000", "1").end, "stack");
}

TEST(Stack, RecursionThroughTheTableIsCountedToo) {
  EXPECT_EQ(run_text(module_text("(call $f)", "(table 1 funcref) (elem (i32.const 0) $f)"
                                 "(func $f (call_indirect (i32.const 0)))"), 1'000'000'000'000).end, "stack");
}

TEST(Stack, ManyLocalsCostMore) {
  const auto deepest = [](int locals) {
    std::string inside = "(global $depth (mut i32) (i32.const 0)) (func $f (local";
    for (int i = 0; i < locals; ++i) inside += " i64";
    inside += ") (global.set $depth (i32.add (global.get $depth) (i32.const 1)))"
              "(if (i32.eq (global.get $depth) (i32.const 10000)) (then (call $exit (i32.const 1)))) (call $f))";
    return run_text(module_text("(call $f)", inside)).end;
  };
  EXPECT_EQ(deepest(10), "exit");
  EXPECT_EQ(deepest(5000), "stack");
}

TEST(Nan, IsTheSameInMemoryWhateverMadeIt) {
  const auto ran = run_text(module_text(R"(
    (f64.store (i32.const 0) (f64.neg (f64.div (f64.const 0) (f64.const 0))))
    (if (i64.ne (i64.load (i32.const 0)) (i64.const 0x7ff8000000000000)) (then (call $exit (i32.const 1))))
    (f64.store offset=16 (i32.const 8) (f64.reinterpret_i64 (i64.const 0xfff0000000000123)))
    (if (i64.ne (i64.load (i32.const 24)) (i64.const 0x7ff8000000000000)) (then (call $exit (i32.const 2))))
    (f32.store (i32.const 0) (f32.demote_f64 (f64.const nan:0x8000000000001)))
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 0x7fc00000)) (then (call $exit (i32.const 3))))
    (if (i32.ne (i32.reinterpret_f32 (f32.neg (f32.const nan))) (i32.const 0x7fc00000))
      (then (call $exit (i32.const 4))))
    (if (i64.ne (i64.reinterpret_f64 (f64.sqrt (f64.const -1))) (i64.const 0x7ff8000000000000))
      (then (call $exit (i32.const 5))))
    (if (f64.ne (f64.copysign (f64.const 3) (f64.neg (f64.const nan))) (f64.const 3)) (then (call $exit (i32.const 6))))
    (if (f32.ne (f32.copysign (f32.const 3) (f32.const -nan)) (f32.const 3)) (then (call $exit (i32.const 7))))
    (f64.store (i32.const 0) (f64.const nan:0x4))
    (if (i64.ne (i64.load (i32.const 0)) (i64.const 0x7ff8000000000000)) (then (call $exit (i32.const 8))))
    (f64.store (i32.const 0) (f64.neg (f64.const 0)))
    (if (i64.ne (i64.load (i32.const 0)) (i64.const 0x8000000000000000)) (then (call $exit (i32.const 9))))
    (f64.store (i32.const 0) (f64.convert_i32_s (i32.const -2)))
    (if (i64.ne (i64.load (i32.const 0)) (i64.const 0xc000000000000000)) (then (call $exit (i32.const 10))))
    (call $exit (i32.const 42)))"));
  EXPECT_EQ(ran.end, "exit");
  EXPECT_EQ(ran.code, 42);
}

TEST(Memory, GrowsExactlyToItsMaximum) {
  ModuleLimits limits;
  limits.memory_pages_max = 10;
  const auto ran = run_text(module_text(R"(
    (if (i32.ne (memory.grow (i32.const 10)) (i32.const -1)) (then (call $exit (i32.const 1))))
    (if (i32.ne (memory.grow (i32.const 9)) (i32.const 1)) (then (call $exit (i32.const 2))))
    (if (i32.ne (memory.size) (i32.const 10)) (then (call $exit (i32.const 3))))
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (call $exit (i32.const 4))))
    (if (i32.ne (memory.grow (i32.const 0)) (i32.const 10)) (then (call $exit (i32.const 5))))
    (call $exit (i32.const 42)))"), 1'000'000, limits);
  EXPECT_EQ(ran.code, 42);
}

}  // namespace
}  // namespace spatter
