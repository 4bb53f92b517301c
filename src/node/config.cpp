#include "node/config.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <charconv>
#include <cmath>

namespace spatter {
namespace {

constexpr std::uint64_t size_bytes_min = 64ULL << 20;
constexpr std::uint64_t size_bytes_max = 1ULL << 60;
constexpr std::size_t advertise_max = 8;

/// One key of the file while it is read.
struct Setting {
  std::string_view key;
  const toml::node& node;

  Error wrong(std::string_view why) const {
    return Error{Errc::invalid,
                 fmt::format("spatter.toml, line {}: {}: {}", node.source().begin.line, key, why)};
  }
  Result<std::string> text() const {
    const auto value = node.value_exact<std::string>();
    if (!value) return fail(wrong("must be a text in quotes"));
    return *value;
  }
  Result<Address> address(const std::string& text) const {
    auto address = Address::parse(text);
    if (!address) return fail(wrong(address.error().message));
    return address;
  }
};

Result<void> read_size(const Setting& setting, Config& config) {
  if (const auto number = setting.node.value_exact<std::int64_t>()) {
    config.size_bytes = *number < 0 ? 0 : static_cast<std::uint64_t>(*number);
  } else {
    TRY(auto text, setting.text());
    auto size = parse_size(text);
    if (!size) return fail(setting.wrong(size.error().message));
    config.size_bytes = *size;
  }
  if (config.size_bytes < size_bytes_min || config.size_bytes > size_bytes_max)
    return fail(setting.wrong("a drive has at least 64 MiB and at most 1 EiB"));
  return {};
}

Result<void> read_listen(const Setting& setting, Config& config) {
  TRY(auto text, setting.text());
  TRY(config.listen, setting.address(text));
  return {};
}

Result<void> read_advertise(const Setting& setting, Config& config) {
  const auto* list = setting.node.as_array();
  if (!list) return fail(setting.wrong("must be a list of texts, as in [\"example.org:4840\"]"));
  if (list->size() > advertise_max) return fail(setting.wrong("at most 8 addresses are told"));
  for (const auto& item : *list) {
    const auto text = item.value_exact<std::string>();
    if (!text) return fail(setting.wrong("must be a list of texts, as in [\"example.org:4840\"]"));
    TRY(auto address, setting.address(*text));
    if (address.port == 0) return fail(setting.wrong("an address needs its port"));
    config.advertise.push_back(std::move(address));
  }
  return {};
}

Result<void> read_name(const Setting& setting, Config& config) {
  TRY(config.name, setting.text());
  if (config.name.size() > 255) return fail(setting.wrong("a name has at most 255 bytes"));
  return {};
}

Result<void> read_log(const Setting& setting, Config& config) {
  TRY(auto text, setting.text());
  auto level = parse_log_level(text);
  if (!level) return fail(setting.wrong(level.error().message));
  config.log_level = *level;
  return {};
}

struct KnownKey {
  std::string_view name;
  Result<void> (*read)(const Setting&, Config&);
};
constexpr KnownKey known_keys[] = {
    {"size", read_size}, {"listen", read_listen}, {"advertise", read_advertise},
    {"name", read_name}, {"log", read_log},
};

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "info";
}

}  // namespace

Result<ParsedConfig> parse_config(std::string_view text) {
  if (text.size() > config_bytes_max)
    return fail(Errc::invalid, "spatter.toml has {} bytes, at most {} are read", text.size(),
                config_bytes_max);
  const auto parsed = toml::parse(text);
  if (!parsed)
    return fail(Errc::invalid, "spatter.toml, line {}: {}", parsed.error().source().begin.line,
                parsed.error().description());
  ParsedConfig result;
  for (const auto& [key, node] : parsed.table()) {
    const auto known = std::ranges::find(known_keys, key.str(), &KnownKey::name);
    if (known == std::end(known_keys)) {
      result.warnings.push_back(fmt::format("spatter.toml, line {}: the key {} is not known and is "
                                            "ignored", node.source().begin.line,
                                            quoted(key.str())));
      continue;
    }
    TRY_VOID(known->read({known->name, node}, result.config));
  }
  return result;
}

std::string config_text(const Config& config) {
  std::string text =
      "# Settings of this Spatter server. Changes count from its next start.\n\n"
      "# Disk space the drive may use, as in \"500G\"; half is for your own files, half for others'.\n"
      "# Without it: the size of the file system.\n";
  const auto size = config.size_bytes % (1ULL << 30) == 0
                        ? fmt::format("\"{}G\"", config.size_bytes >> 30)
                        : fmt::format("{}", config.size_bytes);
  text += config.size_bytes ? fmt::format("size = {}\n\n", size) : "# size = \"500G\"\n\n";
  text += "# Where to take connections from other servers.\n";
  text += fmt::format("listen = {}\n\n", quoted(config.listen.text()));
  text += "# What to tell others instead, when they reach this machine under another address.\n";
  if (config.advertise.empty()) {
    text += "# advertise = [\"example.org:4840\"]\n\n";
  } else {
    std::string list;
    for (const auto& address : config.advertise)
      list += (list.empty() ? "" : ", ") + quoted(address.text());
    text += fmt::format("advertise = [{}]\n\n", list);
  }
  text += "# A name for people.\n";
  text += config.name.empty() ? "# name = \"attic\"\n\n"
                              : fmt::format("name = {}\n\n", quoted(config.name));
  text += "# How much to log: debug, info, warning or error.\n";
  text += fmt::format("log = \"{}\"\n", name_of(config.log_level));
  return text;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto wrong = [&] {
    return fail(Errc::invalid, "\"{}\" is not a size: write it as 500G, 1.5T or in bytes", text);
  };
  auto rest = text;
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  std::size_t digits = 0;
  while (digits < rest.size() && (std::isdigit(static_cast<unsigned char>(rest[digits])) ||
                                  rest[digits] == '.'))
    ++digits;
  double number = 0;
  const auto read = std::from_chars(rest.data(), rest.data() + digits, number,
                                    std::chars_format::fixed);
  if (digits == 0 || read.ec != std::errc{} || read.ptr != rest.data() + digits) return wrong();
  rest.remove_prefix(digits);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  while (!rest.empty() && rest.back() == ' ') rest.remove_suffix(1);

  unsigned power = 0;
  if (!rest.empty()) {
    constexpr std::string_view letters = "KMGTP";
    const auto at = letters.find(static_cast<char>(std::toupper(static_cast<unsigned char>(rest[0]))));
    if (at != std::string_view::npos) {
      power = static_cast<unsigned>(at) + 1;
      rest.remove_prefix(1);
    }
  }
  const bool decimal = rest == "B" && power > 0;
  const bool known = rest.empty() || rest == "B" || (rest == "iB" && power > 0);
  if (!known) return wrong();
  const double base = decimal ? 1000 : 1024;
  const double bytes = number * std::pow(base, power);
  if (!(bytes < 1e18)) return wrong();
  return static_cast<std::uint64_t>(bytes);
}

Result<LogLevel> parse_log_level(std::string_view text) {
  for (const auto level : {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error})
    if (text == name_of(level)) return level;
  return fail(Errc::invalid, "\"{}\" is no log level: there are debug, info, warning and error",
              text);
}

}  // namespace spatter
