#include "cycles/translator.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "crypto/hash.h"
#include "embedded.h"
#include "program_cache.h"

namespace spatter::cycles {

namespace {

constexpr std::uint64_t scratch_bytes_max = 1ULL << 30;
constexpr std::uint64_t program_bytes_max = 128ULL << 20;
constexpr int wasm2c_failed = 10, compiler_failed = 11, output_unknown = 12;

/// $1 wasm2c, $2 the compiler, $3 its further options. -ffp-contract=off and no -march: the same
/// results on every machine. The header goes in front of the first use of what it defines anew. Loops' heads get an empty
/// piece of assembly, so that a loop is gone through turn by turn: else the compiler sums up the fuel of one that does nothing,
/// and work that nobody did would be counted.
constexpr auto script = R"(
cd /tmp
"$1" --no-debug-names -n m -o m.c /module.wasm || exit 10
sed -e '/^DEFINE_LOAD(i32_load, u32, u32, u32)/i #include "access.h"' \
  -e 's/^ *w2c_L[0-9]*: $/&__asm__ volatile("" ::);/' m.c > module.c
grep -q '^#include "access.h"' module.c && grep -q 'Z_mZ_spatter_fuel' m.h || exit 12
"$2" -O2 -ffp-contract=off -fno-math-errno -static -w $3 -I/tmp -I/host -o program /host/piece.c -lm || exit 11
cat program
)";

Digest key_of(const AdmittedModule& module, const TranslatorOptions& options) {
  Sha256 hash;
  const auto add = [&hash](ByteView part) {
    hash.update(as_bytes(fmt::format("{}:", part.size())));
    hash.update(part);
  };
  add(as_bytes(fmt::format("spatter program {} {}", translator_version, admission_version)));
  for (const std::string_view part :
       {std::string_view(script), piece_runtime(), piece_header(), piece_access(),
        std::string_view(options.wasm2c), std::string_view(options.compiler)})
    add(as_bytes(part));
  add(module.bytes);
  return hash.finish();
}

/// The first lines of what a translator said, without what would be noise in an error.
std::string gist(const std::string& said) {
  constexpr std::size_t length_max = 300;
  auto text = said.substr(0, length_max);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

Result<Program> sealed(ByteView bytes, std::uint32_t memory_pages_max) {
  auto file = std::make_shared<Descriptor>(::memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!*file) return fail(from_errno(errno, "make a file in memory"));
  for (auto rest = bytes; !rest.empty();) {
    const auto n = ::write(file->get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "write a file in memory"));
    rest = rest.subspan(static_cast<std::size_t>(n));
  }
  if (::fcntl(file->get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return fail(from_errno(errno, "seal a file in memory"));
  return Program{std::move(file), sha256(bytes), memory_pages_max};
}

}  // namespace

std::string TranslatorOptions::default_compiler() {
  for (const auto* path : {"/usr/bin/clang-19", "/usr/bin/clang"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return "/usr/bin/gcc";
}

SandboxLimits TranslatorOptions::default_limits() {
  SandboxLimits limits;
  limits.memory_bytes = 4ULL << 30;
  limits.cpu_seconds = 120;
  // The CPU time is what bounds it. The wall goes on while a share or somebody at the machine holds it: at 1 % of a core
  // that much CPU time of each of its few programs takes half a day.
  limits.wall = std::chrono::hours(48);
  limits.file_bytes_max = program_bytes_max;
  limits.processes_max = 64;  // a compiler starts an assembler and a linker
  return limits;
}

Result<Bytes> Translator::make(const AdmittedModule& module, const SandboxRun& run) const {
  for (const auto& tool : {options_.wasm2c, options_.compiler}) {
    if (::access(tool.c_str(), X_OK) != 0)
      return fail(Errc::unavailable, "{} is missing: without it no module is run", tool);
  }
  TRY(const auto input, file_of(module.bytes, "module"));
  TRY(const auto runtime, file_of(as_bytes(piece_runtime()), "piece"));
  TRY(const auto header, file_of(as_bytes(piece_header()), "wasm-rt"));
  TRY(const auto access, file_of(as_bytes(piece_access()), "access"));
  SandboxJob job;
  job.bwrap = options_.bwrap;
  job.line = {"/usr/bin/sh", "-c", script, "translate", options_.wasm2c, options_.compiler,
              module.imports.empty() ? "" : "-DHAS_IMPORTS"};
  job.files = {{.inside = "/module.wasm", .fd = input.get()},
               {.inside = "/host/piece.c", .fd = runtime.get()},
               {.inside = "/host/wasm-rt.h", .fd = header.get()},
               {.inside = "/host/access.h", .fd = access.get()}};
  job.scratch_bytes_max = scratch_bytes_max;
  job.environment = {{"PATH", "/usr/bin"}, {"TMPDIR", "/tmp"}, {"LC_ALL", "C"}};
  job.limits = options_.limits;
  TRY(auto end, run(job));
  if (end.ended_well()) return to_bytes(as_bytes(end.output));
  if (end.how == SandboxHow::wall_time_out) return fail(Errc::timeout, "translating the module {}", to_string(end.how));
  // The limit ends one of the compiler's processes, and what that then says to the others looks like a refusal.
  if (end.how == SandboxHow::cpu_time_out || end.cpu >= std::chrono::seconds(job.limits.cpu_seconds))
    return fail(Errc::timeout, "translating the module {}", to_string(SandboxHow::cpu_time_out));
  const auto said = gist(end.complaints);
  switch (end.how == SandboxHow::exited ? end.code : 0) {
    case wasm2c_failed: return fail(Errc::invalid, "wasm2c refuses the module: {}", said);
    case compiler_failed: return fail(Errc::invalid, "{} refuses the module: {}", options_.compiler, said);
    case output_unknown:
      return fail(Errc::unavailable, "{} writes C of a form that is not known here", options_.wasm2c);
    default:
      return fail(Errc::invalid, "translating the module {} ({}): {}", to_string(end.how), end.code, said);
  }
}

Result<Program> Translator::translate(const AdmittedModule& module, const SandboxRun& run) {
  const ProgramCache cache(options_.folder, options_.cache_bytes_max, log_);
  const auto key = key_of(module, options_);
  if (const auto kept = cache.get(key)) return sealed(*kept, module.memory_pages_max);
  TRY(const auto program, make(module, run));
  if (const auto put = cache.put(key, program); !put)  // it can be used all the same
    log_.warning("a translated program cannot be kept: {}", put.error().message);
  return sealed(program, module.memory_pages_max);
}

}  // namespace spatter::cycles
