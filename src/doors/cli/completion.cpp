// The completion scripts of the shells. Each is plain data of the command tree around a small fixed
// frame; nothing is asked of the program while a word is completed.
#include <fmt/format.h>

#include <algorithm>

#include "cli/describe.h"

namespace spatter::doors {

namespace {

std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

/// Quoted for a POSIX shell.
std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::vector<std::string> names_of(const std::vector<ArgumentInfo>& options) {
  std::vector<std::string> names;
  for (const auto& option : options) names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

std::vector<std::string> names_of(const std::vector<CommandInfo>& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command.name);
  return names;
}

/// What a command takes: its own options, and those of the program, which may stand behind it, too.
std::vector<ArgumentInfo> options_behind(const CommandInfo& command, const CommandInfo& program) {
  auto options = command.options;
  for (const auto& option : program.options) {
    const auto same = [&](const ArgumentInfo& own) { return own.names == option.names; };
    if (option.kind != ValueKind::none && std::ranges::none_of(options, same)) options.push_back(option);
  }
  return options;
}

// ---- bash

std::string bash_action(const ArgumentInfo& argument) {
  switch (argument.kind) {
    case ValueKind::file: return "_spatter_files -f";
    case ValueKind::folder: return "_spatter_files -d";
    case ValueKind::choice: return "_spatter_words " + shell_quoted(joined(argument.choices));
    default: return ":";
  }
}

/// Cases of `$command $previous` for options that take a value.
std::string bash_values(const std::string& command, const std::vector<ArgumentInfo>& options) {
  std::string text;
  for (const auto& option : options) {
    if (option.kind == ValueKind::none) continue;
    std::vector<std::string> patterns;
    for (const auto& name : option.names) patterns.push_back(shell_quoted(command + " " + name));
    text += fmt::format("    {}) {}; return ;;\n", joined(patterns, "|"), bash_action(option));
  }
  return text;
}

std::string bash_script(const CommandInfo& program) {
  std::vector<std::string> with_value;
  for (const auto& option : program.options)
    if (option.kind != ValueKind::none) with_value.insert(with_value.end(), option.names.begin(), option.names.end());
  std::string values, words;
  for (const auto& command : program.commands) {
    const auto options = options_behind(command, program);
    values += bash_values(command.name, options);
    // One action for all positionals: a file of this machine if any of them is one.
    std::string action = ":";
    for (const auto& one : command.positionals)
      if (action == ":") action = bash_action(one);
    words += fmt::format("    {}) options={}; action={} ;;\n", command.name, shell_quoted(joined(names_of(options))), shell_quoted(action));
  }
  return fmt::format(R"(# bash completion for {0}; made by '{0} completion bash'
_spatter_words() {{ COMPREPLY=($(compgen -W "$1" -- "$current")); }}
_spatter_files() {{
  compopt -o filenames 2>/dev/null
  local IFS=$'\n'
  COMPREPLY=($(compgen "$1" -- "$current"))
}}
_spatter() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command= at
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; ++at)); do
    case ${{COMP_WORDS[at]}} in
    {1}) ((++at)) ;;
    -*) ;;
    *) command=${{COMP_WORDS[at]}}; break ;;
    esac
  done
  case "$command $previous" in
{2}{3}  esac
  local options={4} action={5}
  case $command in
{6}  esac
  if [[ $current == -* ]]; then
    _spatter_words "$options"
  else
    eval "$action"
  fi
}}
complete -F _spatter {0}
)",
                     program.name, joined(with_value, "|"), bash_values("", program.options), values,
                     shell_quoted(joined(names_of(program.options))),
                     shell_quoted("_spatter_words " + shell_quoted(joined(names_of(program.commands)))), words);
}

// ---- zsh

/// Text inside brackets of an _arguments specification.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const ArgumentInfo& argument) {
  switch (argument.kind) {
    case ValueKind::file: return "_files";
    case ValueKind::folder: return "_files -/";
    case ValueKind::choice: return "(" + joined(argument.choices) + ")";
    default: return " ";
  }
}

std::string zsh_options(const std::vector<ArgumentInfo>& options) {
  std::string text;
  for (const auto& option : options) {
    for (const auto& name : option.names) {
      auto one = fmt::format("{}[{}]", name, zsh_text(option.help));
      if (option.kind != ValueKind::none)
        one += fmt::format(":{}:{}", zsh_text(option.placeholder), zsh_action(option));
      text += " \\\n      " + shell_quoted(one);
    }
  }
  return text;
}

std::string zsh_positionals(const CommandInfo& command) {
  std::string text;
  for (const auto& one : command.positionals)
    text += " \\\n      " + shell_quoted(fmt::format("{}:{}:{}", one.repeats ? "*" : "", zsh_text(one.placeholder), zsh_action(one)));
  return text;
}

std::string zsh_script(const CommandInfo& program) {
  std::string list, cases;
  for (const auto& command : program.commands) {
    list += fmt::format("    {}\n", shell_quoted(command.name + ":" + zsh_text(command.help)));
    cases += fmt::format("    {})\n      _arguments -S{}{}\n      ;;\n", command.name,
                         zsh_options(options_behind(command, program)), zsh_positionals(command));
  }
  return fmt::format(R"(#compdef {0}
# zsh completion for {0}; made by '{0} completion zsh'
_spatter() {{
  local curcontext="$curcontext" state line
  local -a commands=(
{1}  )
  _arguments -C -S{2} \
      '1:command:->command' '*::arguments:->arguments'
  case $state in
  command) _describe command commands ;;
  arguments)
    case $line[1] in
{3}    esac
    ;;
  esac
}}
if [[ ${{funcstack[1]}} == _spatter ]]; then _spatter "$@"; else compdef _spatter {0}; fi
)",
                     program.name, list, zsh_options(program.options), cases);
}

// ---- fish

std::string fish_text(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_options(const std::string& program, const std::string& condition, const std::vector<ArgumentInfo>& options) {
  std::string text;
  for (const auto& option : options) {
    std::string line = fmt::format("complete -c {}{}", program, condition);
    for (const auto& name : option.names)
      line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    switch (option.kind) {
      case ValueKind::none: break;
      case ValueKind::file: line += " -r -F"; break;
      case ValueKind::folder: line += " -x -a '(__fish_complete_directories)'"; break;
      case ValueKind::choice: line += " -x -a " + fish_text(joined(option.choices)); break;
      case ValueKind::other: line += " -x"; break;
    }
    text += line + " -d " + fish_text(option.help) + "\n";
  }
  return text;
}

std::string fish_script(const CommandInfo& program) {
  std::string text = fmt::format("# fish completion for {0}; made by '{0} completion fish'\ncomplete -c {0} -f\n", program.name);
  text += fish_options(program.name, "", program.options);
  for (const auto& command : program.commands) {
    text += fmt::format("complete -c {} -n __fish_use_subcommand -a {} -d {}\n", program.name, command.name, fish_text(command.help));
    const auto condition = fmt::format(" -n '__fish_seen_subcommand_from {}'", command.name);
    text += fish_options(program.name, condition, command.options);
    for (const auto& one : command.positionals) {
      const auto head = fmt::format("complete -c {}{}", program.name, condition);
      if (one.kind == ValueKind::file || one.kind == ValueKind::folder) text += head + " -F\n";
      if (one.kind == ValueKind::choice) text += head + " -a " + fish_text(joined(one.choices)) + "\n";
    }
  }
  return text;
}

}  // namespace

std::string completion_script(const CommandInfo& program, const std::string& shell) {
  return shell == "zsh" ? zsh_script(program) : shell == "fish" ? fish_script(program) : bash_script(program);
}

}  // namespace spatter::doors
