// Real pieces in real sandboxes: each way of ending has its own name, nothing escapes, and another
// engine (Node.js, run.mjs) comes to the same bytes and the same fuel.
#include "cycles/piece.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <thread>

#include "translated.h"

namespace spatter::cycles {
namespace {

PieceWork work_of(const std::string& name, std::vector<std::string> arguments = {}) {
  PieceWork work;
  if (auto program = translated(name)) work.program = *program;
  else ADD_FAILURE() << program.error().message;
  work.arguments = std::move(arguments);
  work.limits.fuel = 2'000'000'000;
  work.limits.cpu_seconds = 120;
  work.limits.wall = std::chrono::minutes(4);
  return work;
}

PieceOutcome outcome_of(const PieceWork& work) {
  auto piece = Piece::start(work);
  auto outcome = piece ? piece->wait() : Result<PieceOutcome>(std::unexpected(piece.error()));
  if (outcome) return std::move(*outcome);
  ADD_FAILURE() << outcome.error().message;
  return {};
}

std::string output_of(const PieceOutcome& outcome) {
  const auto content = outcome.output_content();
  return content ? spatter::to_string(ByteView(*content)) : content.error().message;
}

std::string summary(const PieceOutcome& outcome) {
  if (outcome.end == PieceEnd::exited) return fmt::format("exited {}", outcome.exit_code);
  return outcome.trap.empty() ? std::string(to_string(outcome.end))
                              : fmt::format("{}: {}", to_string(outcome.end), outcome.trap);
}

std::string end_of(const std::string& how, std::uint64_t fuel = 2'000'000'000) {
  auto work = work_of("behave", {how});
  work.limits.fuel = fuel;
  return summary(outcome_of(work));
}

/// What Node.js makes of the same module and work: its line of JSON's end and fuel, and the output.
struct Other {
  std::string report, output;
};
Other other_engine(const std::string& name, const PieceWork& work) {
  const TemporaryFolder folder;
  const auto module = folder.path() + "/module.wasm", input = folder.path() + "/input",
             output = folder.path() + "/output", report = folder.path() + "/report";
  std::ofstream(module, std::ios::binary) << as_text(admitted(name)->bytes);
  std::ofstream(input, std::ios::binary) << as_text(work.input_bytes);
  auto line = fmt::format("node {} {} {} {} {} {} {}", OTHER_ENGINE, module, work.limits.fuel,
                          work.limits.memory_bytes >> 16, work.limits.output_bytes_max, work.seed, output);
  for (const auto& argument : work.arguments) line += " '" + argument + "'";
  EXPECT_EQ(std::system((line + " <" + input + " >" + report).c_str()), 0) << line;
  return {bytes_of(report), bytes_of(output)};
}

void expect_same(const std::string& name, const PieceWork& work) {
  const auto outcome = outcome_of(work);
  const auto other = other_engine(name, work);
  const auto start = fmt::format(R"({{"end":"{}","code":{},)", to_string(outcome.end), outcome.exit_code);
  EXPECT_TRUE(other.report.starts_with(start)) << name << ": " << other.report << start;
  EXPECT_TRUE(other.report.contains(fmt::format(R"("fuel":"{}")", outcome.fuel)))
      << name << ": " << other.report << outcome.fuel;
  if (outcome.end == PieceEnd::exited) EXPECT_EQ(output_of(outcome), other.output) << name;
}

TEST(Piece, TheSameBytesAndFuelAsInAnotherEngine) {
  for (const auto& [name, argument] : std::initializer_list<std::pair<const char*, const char*>>{
           {"sha256", "256"}, {"sort", "50000"}, {"hash_table", "100"}, {"matrix", "64"}, {"floats", "5000"},
           {"nan", "1"}, {"memory", "64"}, {"recursion", "5000"}})
    expect_same(name, work_of(name, {argument}));
}

TEST(Piece, TheSameEndAndFuelAsInAnotherEngineWhenItEndsBadly) {
  for (const auto* how : {"loop", "recurse", "divide", "overflow", "read", "write", "call", "type", "abort",
                          "exit", "babble", "log", "random"}) {
    auto work = work_of("behave", {how});
    work.limits.fuel = 50'000'000;
    work.limits.output_bytes_max = 1 << 20;
    expect_same("behave", work);
  }
  for (const auto* name : {"dead_load", "edge"}) expect_same(name, work_of(name));
}

TEST(Piece, TheWorldItSeesIsOneForAll) {
  auto work = work_of("world", {"one", "two words", ""});
  const std::string input(100'000, 'i');
  work.input_bytes = as_bytes(input);
  work.seed = 42;
  expect_same("world", work);
  const auto outcome = outcome_of(work);
  const auto output = output_of(outcome);
  for (const auto* part : {"argument 0: program\n", "argument 2: two words\n", "argument 3: \n", "environment: none\n",
                           "time: 0.001000000\n", "time: 1577836800.002000000\n", "sleep: not here\n",
                           "input: a file\n", "seek: Invalid seek\n", "input: 100000 bytes"})
    EXPECT_TRUE(output.contains(part)) << part << "\n" << output;
  EXPECT_FALSE(output.contains("opened")) << output;

  EXPECT_EQ(output, output_of(outcome_of(work)));
  work.seed = 43;
  EXPECT_NE(output, output_of(outcome_of(work)));
}

TEST(Piece, AnInputMayBeAFileAndSoTheOutput) {
  const TemporaryFolder folder;
  const auto in = folder.path() + "/in", out = folder.path() + "/out";
  std::ofstream(in) << "some text";
  std::ofstream(out) << "";
  const Descriptor input(::open(in.c_str(), O_RDONLY | O_CLOEXEC)), output(::open(out.c_str(), O_RDWR | O_CLOEXEC));
  ::lseek(input.get(), 5, SEEK_SET);  // it is read from its beginning all the same
  auto work = work_of("echo", {"argument"});
  work.input = input.get();
  work.output = output.get();
  const auto outcome = outcome_of(work);
  EXPECT_EQ(outcome.end, PieceEnd::exited);
  EXPECT_EQ(outcome.exit_code, 9 % 7);
  EXPECT_EQ(outcome.log, "9 bytes\n");
  EXPECT_TRUE(bytes_of(out).starts_with("1: argument\n20 1\n")) << bytes_of(out);
  EXPECT_EQ(bytes_of(out), output_of(outcome));
}

TEST(Piece, EachBadEndHasItsName) {
  EXPECT_EQ(end_of("loop", 10'000'000), "out of fuel");
  EXPECT_EQ(end_of("random", 10'000'000), "out of fuel");
  EXPECT_EQ(end_of("recurse"), "trapped: recursion too deep");
  EXPECT_EQ(end_of("divide"), "trapped: division by zero");
  EXPECT_EQ(end_of("overflow"), "trapped: integer overflow");
  EXPECT_EQ(end_of("read"), "trapped: out of bounds");
  EXPECT_EQ(end_of("write"), "trapped: out of bounds");
  EXPECT_EQ(end_of("call"), "trapped: call of what is not there or of another type");
  EXPECT_EQ(end_of("abort"), "trapped: unreachable code");
  EXPECT_EQ(end_of("exit"), "exited 300");
  EXPECT_EQ(summary(outcome_of(work_of("dead_load"))), "trapped: out of bounds");
  EXPECT_EQ(summary(outcome_of(work_of("edge"))), "trapped: out of bounds");
}

TEST(Piece, MemoryEndsWhereItsLimitSays) {
  auto work = work_of("behave", {"eat"});
  work.limits.memory_bytes = 64 << 20;
  EXPECT_TRUE(summary(outcome_of(work)).starts_with("out of memory"));
  expect_same("world", work_of("world"));
  work.arguments = {"refused"};  // lives with it
  const auto outcome = outcome_of(work);
  EXPECT_EQ(summary(outcome), "exited 0");
  // All but what its code, data and stack take.
  const auto megabytes = std::stoi(output_of(outcome).substr(7));
  EXPECT_GE(megabytes, 50);
  EXPECT_LT(megabytes, 64);
  // What it needs to begin with is refused at once.
  work = work_of("large");
  work.limits.memory_bytes = 63 << 20;
  EXPECT_EQ(summary(outcome_of(work)), "out of memory");
  work.limits.memory_bytes = 64 << 20;
  EXPECT_EQ(summary(outcome_of(work)), "exited 0");
}

TEST(Piece, OutputAndLogAreCapped) {
  auto work = work_of("behave", {"babble"});
  work.limits.output_bytes_max = 1'000'000;
  EXPECT_EQ(summary(outcome_of(work)), "output too large");
  work = work_of("behave", {"log"});
  work.limits.log_bytes_max = 20;
  const auto outcome = outcome_of(work);
  EXPECT_EQ(summary(outcome), "exited 0");
  EXPECT_EQ(outcome.log, "line 0\nline 1\nline 2");
  EXPECT_EQ(outcome.log_bytes_dropped, 790 - 20u);
}

TEST(Piece, FuelIsExactToTheUnit) {
  const auto used = outcome_of(work_of("sha256", {"64"})).fuel;
  ASSERT_GT(used, 1'000'000u);
  auto work = work_of("sha256", {"64"});
  work.limits.fuel = used;
  EXPECT_EQ(summary(outcome_of(work)), "exited 0");
  work.limits.fuel = used - 1;
  const auto outcome = outcome_of(work);
  EXPECT_EQ(summary(outcome), "out of fuel");
  EXPECT_EQ(outcome.fuel, used - 1);
}

/// Fuel is work that was done: a loop that does nothing still takes its time.
TEST(Piece, NoFuelIsSummedUpWithoutTheWork) {
  auto work = work_of("idle");
  work.limits.fuel = std::uint64_t{1} << 47;
  work.limits.cpu_seconds = 1;
  EXPECT_EQ(summary(outcome_of(work)), "timed out: used up its CPU time");
}

TEST(Piece, CpuTimeAndWallTimeAreBounds) {
  auto work = work_of("behave", {"loop"});
  work.limits.fuel = 1ULL << 62;
  work.limits.cpu_seconds = 1;
  EXPECT_EQ(summary(outcome_of(work)), "timed out: used up its CPU time");
  work.limits.cpu_seconds = 120;
  work.limits.wall = std::chrono::milliseconds(100);
  EXPECT_EQ(summary(outcome_of(work)), "timed out: took too long");
}

TEST(Piece, ItIsStoppedAndKilledFromOutside) {
  auto work = work_of("behave", {"loop"});
  work.limits.fuel = 1ULL << 62;
  auto piece = Piece::start(work);
  ASSERT_TRUE(piece) << piece.error().message;
  std::optional<Duration> cpu;
  while (!(cpu = piece->cpu()) || *cpu < std::chrono::milliseconds(20)) std::this_thread::yield();
  EXPECT_EQ(::kill(-piece->group(), SIGSTOP), 0);
  piece->kill();
  const auto outcome = piece->wait();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->end, PieceEnd::killed);
  EXPECT_FALSE(is_result(outcome->end));
  EXPECT_GE(outcome->cpu, std::chrono::milliseconds(20));
}

/// A program whose foreign code has broken out of its memory and tries this (programs/escape/module.c).
std::string escape_by(const std::string& attempt) {
  PieceWork work;
  const auto bytes = bytes_of(fmt::format("{}/escape_{}", PROGRAMS, attempt));
  EXPECT_FALSE(bytes.empty()) << attempt;
  auto file = file_of(as_bytes(bytes), "program");
  EXPECT_TRUE(file);
  work.program.file = std::make_shared<Descriptor>(std::move(*file));
  work.program.memory_pages_max = 1;
  auto piece = Piece::start(work);
  if (!piece) return piece.error().message;
  const auto outcome = piece->wait();
  return outcome ? summary(*outcome) : outcome.error().message;
}

TEST(Piece, CodeThatBreaksOutOfItsMemoryGetsNoFurther) {
  EXPECT_EQ(escape_by("nothing"), "exited 99");
  for (const auto* attempt : {"open", "socket", "fork", "execute", "signal", "map_code", "map", "read_report",
                              "write_input", "clock"})
    EXPECT_EQ(escape_by(attempt), "killed: tried a call that is not its own") << attempt;
  EXPECT_EQ(escape_by("fault"), "the piece cannot be run here: a fault outside of the piece's memory");
  EXPECT_EQ(escape_by("overflow_stack"), "the piece cannot be run here: the native stack overflowed");
  EXPECT_EQ(escape_by("lie"), "killed: reports what cannot be");
}

TEST(Piece, WorkThatMakesNoSenseIsNamed) {
  const auto complaint = [](const PieceWork& work) {
    const auto piece = Piece::start(work);
    return piece ? "" : piece.error().message;
  };
  EXPECT_EQ(complaint({}), "a piece without a program");
  auto work = work_of("echo");
  work.limits.fuel = 0;
  EXPECT_EQ(complaint(work), "a budget of 0 is not between 1 and 2^62");
  work = work_of("echo");
  work.limits.memory_bytes = 3ULL << 30;
  EXPECT_EQ(complaint(work), "3221225472 bytes of memory are more than 2 GiB");
  work = work_of("echo", {std::string("a\0b", 3)});
  EXPECT_EQ(complaint(work), "an argument with a zero byte");
  work = work_of("echo", {std::string(100'000, 'a')});
  EXPECT_EQ(complaint(work), "arguments of 100001 bytes are longer than 65536");
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Descriptor out(ends[0]), in(ends[1]);
  work = work_of("echo");
  work.input = out.get();
  EXPECT_EQ(complaint(work), "the input of a piece is not a plain file");
}

TEST(Piece, WithoutASandboxItDoesNotRun) {
  const TemporaryFolder folder;
  auto work = work_of("echo");
  work.bwrap = folder.path() + "/forbidden";
  std::ofstream(work.bwrap) << "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n";
  std::filesystem::permissions(work.bwrap, std::filesystem::perms::owner_all);
  auto piece = Piece::start(work);
  ASSERT_TRUE(piece) << piece.error().message;
  const auto outcome = piece->wait();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::unavailable);
  EXPECT_EQ(outcome.error().message, "no sandbox can be made (bwrap: No permissions to create new namespace)");
}

}  // namespace
}  // namespace spatter::cycles
