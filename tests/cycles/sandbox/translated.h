// Real modules, admitted and translated once for all tests: what they are translated to is kept where they
// are built.
#pragma once

#include <fstream>
#include <string>

#include "../../base/temporary_folder.h"
#include "cycles/translator.h"

namespace spatter::cycles {

inline std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline Log& quiet() {
  static Log log(LogLevel::error, [](LogLevel, std::string_view) {});
  return log;
}

/// Machines that run tests may be busy.
inline TranslatorOptions patient_options(const std::string& folder) {
  TranslatorOptions options;
  options.folder = folder;
  options.limits.wall = std::chrono::minutes(4);
  return options;
}

inline Result<AdmittedModule> admitted(const std::string& name) {
  return admit(as_bytes(bytes_of(fmt::format("{}/{}.wasm", PROGRAMS, name))));
}

inline Result<Program> translated(const std::string& name) {
  static Translator translator(patient_options(PROGRAMS "/translated"), quiet());
  TRY(const auto module, admitted(name));
  return translator.translate(module);
}

}  // namespace spatter::cycles
