// The manual page.
#include <fmt/format.h>

#include <algorithm>

#include "cli/describe.h"

namespace spatter::doors {

namespace {

/// Text in roff: nothing of it is taken for a request, and dashes can be copied.
std::string roff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else out += c;
    line_start = c == '\n';
  }
  return out;
}

std::string bold(const std::string& text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + roff(text) + "\\fR"; }

std::string argument_entry(const ArgumentInfo& argument, bool positional) {
  std::string head;
  if (positional) {
    head = italic(argument.placeholder) + (argument.repeats ? "..." : "");
  } else {
    for (const auto& name : argument.names) head += (head.empty() ? "" : ", ") + bold(name);
    if (!argument.placeholder.empty()) head += " " + italic(argument.placeholder);
  }
  std::string text = fmt::format(".TP\n{}\n{}", head, roff(argument.help));
  if (!argument.choices.empty()) {
    text += text.ends_with('.') ? " One of" : "; one of";
    for (const auto& choice : argument.choices) text += " " + bold(choice);
  }
  // A path would be that of the machine on which the page was made.
  if (!argument.default_text.empty() && !argument.default_text.starts_with('/')) text += "; default: " + bold(argument.default_text);
  return text + (text.ends_with('.') ? "\n" : ".\n");
}

/// The same words as CommandInfo::synopsis(), with options bold and values slanted.
std::string synopsis(const std::string& program, const CommandInfo& command) {
  std::string text = ".B " + roff(program + " " + command.name) + "\n";
  for (const auto& option : command.options) {
    if (option.names.back() == "--help") continue;
    auto shown = bold(option.names.back());
    if (!option.placeholder.empty()) shown += " " + italic(option.placeholder);
    text += option.required ? shown + "\n" : "[" + shown + "]\n";
  }
  for (const auto& one : command.positionals) {
    const auto shown = italic(one.placeholder) + (one.repeats ? "..." : "");
    text += one.required ? shown + "\n" : "[" + shown + "]\n";
  }
  return text;
}

std::string command_section(const std::string& program, const CommandInfo& command) {
  std::string text = ".SS " + roff(command.name) + "\n" + synopsis(program, command) + ".PP\n" + roff(command.help) + ".\n";
  for (const auto& one : command.positionals) text += argument_entry(one, true);
  for (const auto& option : command.options)
    if (option.names.back() != "--help") text += argument_entry(option, false);
  return text;
}

constexpr auto rest = R"(.SH FILES
A drive is one folder:
.I ~/spatter
unless
.B \-\-drive
or
.B SPATTER_DRIVE
names another. Its
.I spatter.toml
holds the settings, every key with a comment.
.SH ENVIRONMENT
.TP
.B SPATTER_DRIVE
The drive's folder.
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
It could not be done; standard error says why.
.TP
.B 2
The command was not understood.
)";

}  // namespace

std::string man_page(const CommandInfo& program, const std::string& version) {
  std::string name = program.name;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  const auto colon = program.help.find(": ");
  const auto brief = colon == program.help.npos ? program.help : program.help.substr(colon + 2);
  std::string text = fmt::format(".TH {} 1 \"\" \"{} {}\"\n", name, program.name, roff(version));
  text += fmt::format(".SH NAME\n{} \\- {}\n", program.name, roff(brief.ends_with('.') ? brief.substr(0, brief.size() - 1) : brief));
  text += fmt::format(".SH SYNOPSIS\n.B {}\n[{} {}]\n{} ...\n", program.name, bold("--drive"), italic("DIR"), italic("COMMAND"));
  text += ".SH DESCRIPTION\n" + roff(program.help) + "\n";
  if (!program.footer.empty()) text += ".PP\n" + roff(program.footer) + "\n";
  text += ".SH OPTIONS\n";
  for (const auto& option : program.options) text += argument_entry(option, false);
  text += ".SH COMMANDS\n";
  for (const auto& command : program.commands) text += command_section(program.name, command);
  return text + rest;
}

}  // namespace spatter::doors
