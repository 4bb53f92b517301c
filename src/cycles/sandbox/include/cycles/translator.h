// Makes a program for this machine of an admitted module: wasm2c makes C of it, a C compiler a static
// executable, both inside the sandbox, for both read what a stranger wrote. Programs are kept in a
// folder, for the same module comes again with every piece of a job.
//
// Blocks, for seconds when the module is new and large, and for as much longer as what it runs is held to a
// share: not on the executor. Any thread; the folder may be shared by processes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"
#include "cycles/descriptor.h"
#include "cycles/module.h"
#include "cycles/sandbox.h"

namespace spatter::cycles {

/// Raised when a program made by an earlier version must not be used any more.
inline constexpr unsigned translator_version = 1;

/// A translated module: an executable in memory, checked, that nobody can change. To be copied freely.
struct Program {
  std::shared_ptr<const Descriptor> file;
  Digest digest{};                      ///< of its bytes
  std::uint32_t memory_pages_max = 0;   ///< the module's own bound
};

struct TranslatorOptions {
  std::string folder;                        ///< of the cache; made when it is not there
  std::uint64_t cache_bytes_max = 1ULL << 30;
  std::string bwrap = "/usr/bin/bwrap";
  std::string wasm2c = "/usr/bin/wasm2c";
  /// clang makes quicker programs of wasm2c's C (docs/sandbox.md); gcc does where it is missing.
  std::string compiler = default_compiler();
  SandboxLimits limits = default_limits();   ///< of one translation

  static std::string default_compiler();
  static SandboxLimits default_limits();
};

/// As run_sandboxed, which it may call: where a caller hears of the process group while it lives, holds it to a share, ends it.
using SandboxRun = std::function<Result<SandboxEnd>(const SandboxJob&)>;

class Translator {
 public:
  Translator(TranslatorOptions options, Log& log) : options_(std::move(options)), log_(log) {}

  /// Errors: unavailable (no sandbox, no translator), invalid (the translators refuse the module),
  /// timeout (it takes them too long), no_space, io, and what `run` fails with: then nothing is kept. A
  /// program that is kept already runs nothing.
  Result<Program> translate(const AdmittedModule& module, const SandboxRun& run = run_sandboxed);

 private:
  Result<Bytes> make(const AdmittedModule& module, const SandboxRun& run) const;

  TranslatorOptions options_;
  Log& log_;
};

}  // namespace spatter::cycles
