// What the sandbox costs: four programs as pieces against the same C compiled natively (-O2, by clang and by
// gcc), in CPU seconds, run by turns, the least of each; how long a module takes to translate; how long a
// piece that does nothing takes from start to end.
//   bench_sandbox [--quick]     prints a line of JSON for each
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cycles/piece.h"
#include "cycles/translator.h"

namespace {

using namespace spatter;
using namespace spatter::cycles;
using Clock = std::chrono::steady_clock;

double seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "{}\n", why);
  std::exit(1);
}

template <class T>
T value(Result<T> result) {
  if (!result) give_up(result.error().message);
  return std::move(*result);
}

AdmittedModule module_at(const std::string& name) {
  std::ifstream in(fmt::format("{}/{}.wasm", PROGRAMS, name), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  return value(admit(as_bytes(bytes)));
}

double native_seconds(const std::string& program, const std::string& argument) {
  std::fflush(stdout);
  const auto pid = ::fork();
  if (pid == 0) {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) ::_exit(127);
    ::execl(program.c_str(), program.c_str(), argument.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  rusage used{};
  if (::wait4(pid, &status, 0, &used) != pid || status != 0) give_up(program + " failed");
  const auto of = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
  return of(used.ru_utime) + of(used.ru_stime);
}

PieceOutcome piece(const Program& program, const std::string& argument) {
  PieceWork work;
  work.program = program;
  work.arguments = {argument};
  work.limits.fuel = 1ULL << 60;
  auto running = value(Piece::start(work));
  auto outcome = value(running.wait());
  if (outcome.end != PieceEnd::exited || outcome.exit_code != 0) give_up("a piece failed: " + outcome.trap);
  return outcome;
}

void compare(Translator& translator, const std::string& name, const std::string& argument, int rounds) {
  const auto program = value(translator.translate(module_at(name)));
  double sandboxed = 1e9, clang = 1e9, gcc = 1e9;
  std::uint64_t fuel = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto outcome = piece(program, argument);
    sandboxed = std::min(sandboxed, seconds(outcome.cpu));
    fuel = outcome.fuel;
    clang = std::min(clang, native_seconds(fmt::format("{}/{}.clang-19", PROGRAMS, name), argument));
    gcc = std::min(gcc, native_seconds(fmt::format("{}/{}.gcc", PROGRAMS, name), argument));
  }
  fmt::print(R"({{"program": "{}", "argument": {}, "sandboxed_s": {:.3f}, "native_clang_s": {:.3f}, "native_gcc_s": {:.3f}, )"
             R"("against_clang": {:.2f}, "against_gcc": {:.2f}, "fuel_per_s": {:.3g}}})" "\n",
             name, argument, sandboxed, clang, gcc, sandboxed / clang, sandboxed / gcc,
             static_cast<double>(fuel) / sandboxed);
  std::fflush(stdout);
}

void translation(Log& log, const std::string& folder, const std::string& name, const std::string& compiler) {
  std::filesystem::remove_all(folder);
  TranslatorOptions options;
  options.folder = folder;
  options.compiler = compiler;
  Translator translator(options, log);
  const auto module = module_at(name);
  const auto begun = Clock::now();
  (void)value(translator.translate(module));
  const auto made = Clock::now();
  (void)value(translator.translate(module));
  const auto found = Clock::now();
  fmt::print(R"({{"translation": "{}", "module_bytes": {}, "compiler": "{}", "made_s": {:.2f}, "found_ms": {:.2f}}})" "\n",
             name, module.bytes.size(), compiler, seconds(made - begun), 1e3 * seconds(found - made));
  std::filesystem::remove_all(folder);
}

void start_time(Translator& translator, int rounds) {
  const auto program = value(translator.translate(module_at("large")));
  std::vector<double> wall, cpu;
  for (int i = 0; i < rounds; ++i) {
    const auto begun = Clock::now();
    const auto outcome = piece(program, "");
    wall.push_back(1e3 * seconds(Clock::now() - begun));
    cpu.push_back(1e3 * seconds(outcome.cpu));
  }
  std::ranges::sort(wall);
  std::ranges::sort(cpu);
  fmt::print(R"({{"empty_piece": {}, "wall_ms_median": {:.2f}, "wall_ms_p95": {:.2f}, "cpu_ms_median": {:.2f}}})" "\n", rounds,
             wall[wall.size() / 2], wall[wall.size() * 95 / 100], cpu[cpu.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  Log log(LogLevel::error, [](LogLevel, std::string_view) {});
  TranslatorOptions options;
  options.folder = PROGRAMS "/translated";
  Translator translator(options, log);
  const int rounds = quick ? 1 : 4;
  compare(translator, "sha256", quick ? "1000" : "100000", rounds);
  compare(translator, "quick_sort", quick ? "20000" : "1500000", rounds);
  compare(translator, "hash_table", quick ? "100" : "5000", rounds);
  compare(translator, "matrix", quick ? "64" : "900", rounds);
  start_time(translator, quick ? 3 : 50);
  const std::string folder = PROGRAMS "/bench_translated";
  translation(log, folder, "large", options.compiler);
  if (quick) return 0;
  translation(log, folder, "sort", options.compiler);
  translation(log, folder, "sort", "/usr/bin/gcc");
}
