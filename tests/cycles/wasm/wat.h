// Modules for the tests: from the text format by wat2wasm, run by Node.js.
#pragma once

#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cycles/module.h"

namespace spatter {

inline std::filesystem::path scratch() {
  static const auto folder = [] {
    std::string name = (std::filesystem::temp_directory_path() / "spatter-wasm-XXXXXX").string();
    SPATTER_ASSERT(::mkdtemp(name.data()));
    static struct Remover {
      std::filesystem::path path;
      ~Remover() { std::filesystem::remove_all(path); }
    } remover{name};
    return std::filesystem::path(name);
  }();
  return folder;
}

inline Bytes read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::filesystem::path& path, ByteView bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

struct Ended {
  int status = -1;
  std::string output;  ///< standard output and error
};

inline Ended run_command(const std::string& command) {
  Ended ended;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return ended;
  char part[4096];
  for (std::size_t got; (got = ::fread(part, 1, sizeof part, pipe)) > 0;) ended.output.append(part, got);
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) ended.status = WEXITSTATUS(status);
  return ended;
}

/// The module that the text means; `--no-check` lets through what the tool would refuse.
inline Bytes wat(const std::string& text, const std::string& options = "") {
  write_file(scratch() / "module.wat", as_bytes(text));
  const auto path = (scratch() / "module").string();
  const auto ended = run_command("wat2wasm " + options + " " + path + ".wat -o " + path + ".wasm");
  EXPECT_EQ(ended.status, 0) << ended.output << text;
  return read_file(path + ".wasm");
}

/// What every module needs, around `inside`: a memory of a page, `_start` with the given body.
inline std::string module_text(const std::string& start_body, const std::string& inside = "") {
  return "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
         "(memory (export \"memory\") 1) " + inside + " (func (export \"_start\") " + start_body + "))";
}

struct Ran {
  std::string end;  ///< "exit", "fuel", "stack" or "trap"
  int code = 0;
  std::int64_t fuel = 0;  ///< used
  std::int64_t left = 0;
  std::string output;
};

/// An admitted module in Node.js, once for each budget; the output is the first run's.
inline std::vector<Ran> run_in_node(const std::filesystem::path& module, const std::vector<std::int64_t>& budgets,
                                    const std::string& arguments = "",
                                    const std::filesystem::path& input = "/dev/null") {
  const auto output = scratch() / "output";
  std::string fuels;
  for (const auto budget : budgets) fuels += (fuels.empty() ? "" : ",") + std::to_string(budget);
  const auto ended = run_command("node " SPATTER_RUN_MJS " " + module.string() + " " + fuels + " " +
                                 output.string() + " " + arguments + " < " + input.string());
  const auto bytes = read_file(output);
  std::istringstream lines(ended.output);
  std::vector<Ran> runs;
  for (std::string line; std::getline(lines, line);) {
    const auto report = nlohmann::json::parse(line, nullptr, false);
    if (!report.is_object()) break;
    const auto number = [&](const char* name) { return std::stoll(report[name].get<std::string>()); };
    runs.push_back({report["end"], report["code"], number("fuel"), number("left"), std::string(as_text(bytes))});
  }
  EXPECT_EQ(runs.size(), budgets.size()) << ended.output;
  runs.resize(budgets.size());
  return runs;
}

/// Admits the text's module and runs it.
inline Ran run_text(const std::string& text, std::int64_t fuel = 1'000'000'000, const ModuleLimits& limits = {}) {
  const auto admitted = admit(wat(text), limits);
  EXPECT_TRUE(admitted) << (admitted ? "" : admitted.error().message);
  if (!admitted) return {};
  write_file(scratch() / "admitted.wasm", admitted->bytes);
  return run_in_node(scratch() / "admitted.wasm", {fuel})[0];
}

}  // namespace spatter
