// Translation in its sandbox, and the cache of programs on disk.
#include "cycles/translator.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "translated.h"

namespace spatter::cycles {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> entries(const std::string& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
  return found;
}

/// Counts what is written to the log.
struct Watched {
  int warnings = 0;
  Log log{LogLevel::warning, [this](LogLevel, std::string_view) { ++warnings; }};
};

TEST(Translator, AProgramIsMadeOnceAndKept) {
  const TemporaryFolder folder;
  Translator translator(patient_options(folder.path()), quiet());
  const auto module = admitted("dead_load");
  ASSERT_TRUE(module) << module.error().message;
  const auto first = translator.translate(*module);
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_EQ(entries(folder.path()).size(), 1u);
  // Were it made again, this translator could not.
  auto options = patient_options(folder.path());
  options.bwrap = "/nothing";
  Translator unable(options, quiet());
  const auto second = unable.translate(*module);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->digest, first->digest);
}

TEST(Translator, AnEntryThatChangedOnDiskIsNoticedAndMadeAnew) {
  const TemporaryFolder folder;
  Watched watched;
  Translator translator(patient_options(folder.path()), watched.log);
  const auto module = admitted("dead_load");
  ASSERT_TRUE(module) << module.error().message;
  const auto first = translator.translate(*module);
  ASSERT_TRUE(first) << first.error().message;
  const auto entry = entries(folder.path()).front();
  const auto good = bytes_of(entry);
  auto changed = good;
  changed[changed.size() / 2] ^= 1;
  for (const auto& bad : {changed, good.substr(0, 1000), good + "x"}) {
    std::ofstream(entry, std::ios::binary | std::ios::trunc) << bad;
    watched.warnings = 0;
    const auto again = translator.translate(*module);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->digest, first->digest);
    EXPECT_EQ(watched.warnings, 1);
    EXPECT_EQ(bytes_of(entry), good);
  }
}

TEST(Translator, AnotherModulesEntryUnderItsNameIsNoticed) {
  const TemporaryFolder folder;
  Watched watched;
  Translator translator(patient_options(folder.path()), watched.log);
  const auto one = translator.translate(*admitted("dead_load"));
  const auto entry = entries(folder.path()).front();
  const auto kept = bytes_of(entry);
  fs::remove(entry);
  ASSERT_TRUE(translator.translate(*admitted("edge")));
  std::ofstream(entries(folder.path()).front(), std::ios::binary | std::ios::trunc) << kept;
  const auto other = translator.translate(*admitted("edge"));
  ASSERT_TRUE(one && other);
  EXPECT_NE(other->digest, one->digest);
  EXPECT_EQ(watched.warnings, 1);
}

TEST(Translator, WhatWasNotUsedForLongestMakesRoom) {
  const TemporaryFolder folder;
  auto options = patient_options(folder.path());
  Translator translator(options, quiet());
  ASSERT_TRUE(translator.translate(*admitted("dead_load")));
  const auto first = entries(folder.path()).front();
  ASSERT_TRUE(translator.translate(*admitted("edge")));
  for (const auto& entry : entries(folder.path()))
    fs::last_write_time(entry, fs::file_time_type::clock::now() - std::chrono::hours(entry == first ? 2 : 1));
  ASSERT_TRUE(translator.translate(*admitted("dead_load")));  // its use counts
  options.cache_bytes_max = 2 * fs::file_size(first) + 1000;
  Translator bounded(options, quiet());
  ASSERT_TRUE(bounded.translate(*admitted("large")));
  EXPECT_EQ(entries(folder.path()).size(), 2u);
  EXPECT_TRUE(fs::exists(first));
}

TEST(Translator, AFolderThatCannotBeWrittenCostsOnlyTheCache) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() + "/file") << "";
  Watched watched;
  Translator translator(patient_options(folder.path() + "/file/cache"), watched.log);
  const auto program = translator.translate(*admitted("dead_load"));
  EXPECT_TRUE(program) << program.error().message;
  EXPECT_EQ(watched.warnings, 1);
}

std::string complaint(const TranslatorOptions& options, const AdmittedModule& module) {
  Translator translator(options, quiet());
  const auto program = translator.translate(module);
  return program ? "" : fmt::format("{}: {}", to_string(program.error().code), program.error().message);
}

/// What holds foreign work to a share needs the group while it lives.
TEST(Translator, WhoRunsItHearsOfItAndOfWhatItTook) {
  const TemporaryFolder folder;
  Translator translator(patient_options(folder.path()), quiet());
  int runs = 0;
  const SandboxRun run = [&](const SandboxJob& job) -> Result<SandboxEnd> {
    ++runs;
    TRY(auto sandboxed, Sandboxed::start(job));
    EXPECT_EQ(::kill(-sandboxed.group(), 0), 0);
    auto end = sandboxed.wait();
    EXPECT_TRUE(end && end->cpu > Duration(0));
    return end;
  };
  ASSERT_TRUE(translator.translate(*admitted("dead_load"), run));
  EXPECT_EQ(runs, 1);
  ASSERT_TRUE(translator.translate(*admitted("dead_load"), run));  // it was kept
  EXPECT_EQ(runs, 1);
}

TEST(Translator, OneThatIsKilledLeavesNothing) {
  const TemporaryFolder folder;
  Translator translator(patient_options(folder.path()), quiet());
  const auto program = translator.translate(*admitted("sort"), [](const SandboxJob& job) -> Result<SandboxEnd> {
    TRY(auto sandboxed, Sandboxed::start(job));
    sandboxed.stop();  // so that it cannot be done before
    sandboxed.kill();
    TRY(const auto end, sandboxed.wait());
    EXPECT_EQ(end.how, SandboxHow::killed);
    return fail(Errc::cancelled, "given up");
  });
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, Errc::cancelled);
  EXPECT_TRUE(!fs::exists(folder.path()) || entries(folder.path()).empty());
  EXPECT_TRUE(translator.translate(*admitted("sort")));
}

TEST(Translator, WhatIsMissingIsNamed) {
  const TemporaryFolder folder;
  const auto module = *admitted("dead_load");
  auto options = patient_options(folder.path());
  options.wasm2c = "/usr/bin/no-wasm2c";
  EXPECT_TRUE(complaint(options, module).contains("/usr/bin/no-wasm2c is missing"));
  options = patient_options(folder.path());
  options.compiler = "/usr/bin/no-compiler";
  EXPECT_TRUE(complaint(options, module).contains("/usr/bin/no-compiler is missing"));
  options = patient_options(folder.path());
  options.bwrap = "/usr/bin/no-bwrap";
  EXPECT_TRUE(complaint(options, module).contains("/usr/bin/no-bwrap is missing"));
}

TEST(Translator, ATranslationThatTakesTooLongOrTooMuchIsGivenUp) {
  const TemporaryFolder folder;
  const auto module = *admitted("sort");
  auto options = patient_options(folder.path());
  options.limits.wall = std::chrono::milliseconds(30);
  EXPECT_TRUE(complaint(options, module).contains("took too long")) << complaint(options, module);
  options = patient_options(folder.path());
  options.limits.memory_bytes = 64 << 20;
  EXPECT_TRUE(complaint(options, module).contains("invalid")) << complaint(options, module);
  EXPECT_TRUE(entries(folder.path()).empty());
}

/// The limit ends a compiler below the one that was started, and that one says only that something failed.
TEST(Translator, ACompilerThatUsedUpItsTimeHasNotRefusedTheModule) {
  const TemporaryFolder folder;
  Translator translator(patient_options(folder.path()), quiet());
  const auto ends_after = [](Duration cpu) {
    return [cpu](const SandboxJob&) -> Result<SandboxEnd> {
      SandboxEnd end;
      end.code = 11;
      end.cpu = cpu;
      end.complaints = "clang: error: unable to execute command: Killed";
      return end;
    };
  };
  const Duration limit = std::chrono::seconds(patient_options(folder.path()).limits.cpu_seconds);
  const auto late = translator.translate(*admitted("sort"), ends_after(limit));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timeout) << late.error().message;
  const auto refused = translator.translate(*admitted("sort"), ends_after(limit / 2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid) << refused.error().message;
}

/// Admission stands before it; but were something to slip through, it is an error and no crash.
TEST(Translator, WhatTheTranslatorsRefuseIsAnError) {
  const TemporaryFolder folder;
  AdmittedModule module;
  module.bytes = to_bytes(as_bytes("\0asm but not really"));
  EXPECT_TRUE(complaint(patient_options(folder.path()), module).contains("wasm2c refuses the module"))
      << complaint(patient_options(folder.path()), module);
}

TEST(Translator, HostileModulesDoNotReachIt) {
  // A table of 2^32-1 entries, which wasm2c lets through with a null table.
  const std::uint8_t table[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 4, 8, 1, 0x70, 0,
                                0xff, 0xff, 0xff, 0xff, 0x0f};
  EXPECT_FALSE(admit(table));
}

TEST(Translator, GccServesWhereClangIsMissing) {
  const TemporaryFolder folder;
  auto options = patient_options(folder.path());
  options.compiler = "/usr/bin/gcc";
  EXPECT_EQ(complaint(options, *admitted("echo")), "");
}

}  // namespace
}  // namespace spatter::cycles
