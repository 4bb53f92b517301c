#include "cli/describe.h"

#include <fmt/format.h>

#include <algorithm>

namespace spatter::doors {

namespace {

/// CLI11 puts the bounds that an option is checked against behind its type: "TEXT:{local,safe}".
std::vector<std::string> choices_in(const std::string& type) {
  std::vector<std::string> choices;
  const auto begin = type.find('{');
  const auto end = type.find('}', begin);
  if (begin == type.npos || end == type.npos) return choices;
  for (std::size_t at = begin + 1; at < end;) {
    const auto next = std::min(type.find(',', at), end);
    choices.push_back(type.substr(at, next - at));
    at = next + 1;
  }
  return choices;
}

/// The word for a value: its type, or what it is checked to be where that is a plain word ("ID").
std::string placeholder_in(const std::string& type) {
  const auto colon = type.find(':');
  if (colon == type.npos) return type;
  const auto check = type.substr(colon + 1);
  const bool plain = check.find_first_of(" {[(") == check.npos;
  return plain && !check.empty() && type.starts_with("TEXT") ? check : type.substr(0, colon);
}

ValueKind kind_of(const std::string& type, const std::vector<std::string>& choices) {
  if (!choices.empty()) return ValueKind::choice;
  if (type == "FILE") return ValueKind::file;
  if (type == "DIR") return ValueKind::folder;
  return ValueKind::other;
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

ArgumentInfo describe_option(const CLI::Option& option) {
  ArgumentInfo info;
  info.help = option.get_description();
  info.required = option.get_required();
  info.default_text = option.get_default_str();
  info.repeats = option.get_items_expected_max() > 1;
  const bool takes_value = option.get_items_expected_max() > 0;
  if (takes_value) {
    const auto type = option.get_type_name();
    const auto word = placeholder_in(type);
    info.choices = choices_in(type);
    info.kind = kind_of(word, info.choices);
    info.placeholder = info.kind == ValueKind::choice ? "WORD" : word;
  }
  if (option.get_positional()) {
    info.names.push_back(option.get_name(true, false));
    info.placeholder = upper(info.names.front());
    return info;
  }
  for (const auto& name : option.get_snames()) info.names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) info.names.push_back("--" + name);
  return info;
}

}  // namespace

std::string CommandInfo::synopsis() const {
  std::string text = name;
  for (const auto& option : options) {
    const auto& shown = option.names.back();
    if (shown == "--help") continue;
    const auto value = option.placeholder.empty() ? "" : " " + option.placeholder;
    text += option.required ? fmt::format(" {}{}", shown, value) : fmt::format(" [{}{}]", shown, value);
  }
  for (const auto& one : positionals) {
    const auto shown = one.placeholder + (one.repeats ? "..." : "");
    text += one.required ? " " + shown : " [" + shown + "]";
  }
  if (!commands.empty()) text += " COMMAND ...";
  return text;
}

CommandInfo describe(const CLI::App& app) {
  CommandInfo info;
  info.name = app.get_name();
  info.help = app.get_description();
  info.footer = app.get_footer();
  for (const auto* option : app.get_options()) {
    auto described = describe_option(*option);
    (option->get_positional() ? info.positionals : info.options).push_back(std::move(described));
  }
  // In the order in which they were added, as --help lists them.
  // Those of no group are for the program's own use.
  for (const auto* command : app.get_subcommands({}))
    if (!command->get_group().empty()) info.commands.push_back(describe(*command));
  return info;
}

}  // namespace spatter::doors
