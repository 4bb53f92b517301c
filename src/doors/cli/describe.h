// The command line as data, read from the very tree that parses it: what the man page and the shell
// completions are made from, so that they never say anything else than the program does.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace spatter::doors {

/// What a value is, for shells that complete it.
enum class ValueKind {
  none,    ///< a flag: takes no value
  file,    ///< of this machine
  folder,  ///< of this machine
  choice,  ///< one of `choices`
  other,
};

struct ArgumentInfo {
  std::vector<std::string> names;  ///< "-l", "--long"; of a positional its one name, without dashes
  std::string help;
  std::string placeholder;         ///< "FILE"; empty for flags
  std::string default_text;        ///< empty: none that matters
  ValueKind kind = ValueKind::none;
  std::vector<std::string> choices;
  bool required = false;
  bool repeats = false;            ///< a positional that takes several values
};

struct CommandInfo {
  std::string name;
  std::string help;
  std::string footer;
  std::vector<ArgumentInfo> options;
  std::vector<ArgumentInfo> positionals;
  std::vector<CommandInfo> commands;

  std::string synopsis() const;  ///< "put [--wait LEVEL] PATHS..."; of the command alone
};

CommandInfo describe(const CLI::App& app);

/// "bash", "zsh" or "fish": a script that makes that shell complete the program's words.
std::string completion_script(const CommandInfo& program, const std::string& shell);

/// The manual page, in roff with the man macros.
std::string man_page(const CommandInfo& program, const std::string& version);

}  // namespace spatter::doors
