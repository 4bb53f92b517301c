#include "cli/context.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

namespace spatter::doors {

Result<ControlClient> Context::connect() const {
  TRY(auto client, ControlClient::connect(drive));
  client.on_notice = [](const std::string& notice) {
    static std::atomic<bool> said = false;
    if (!said.exchange(true)) fmt::print(stderr, "spatter: {}\n", printable_text(notice));
  };
  return client;
}

CLI::App* add_command(CLI::App& app, Context& context, const std::string& name,
                      const std::string& help, std::function<Result<void>()> run) {
  CLI::App* command = app.add_subcommand(name, help);
  const std::string path = app.get_parent() ? app.get_name() + " " + name : name;
  command->callback([&context, path, run = std::move(run)] {
    auto done = run();
    if (done) return;
    context.exit_status = exit_failed;
    std::cout.flush();
    fmt::print(stderr, "spatter {}: {}\n", path, printable_text(done.error().message));
    if (context.json && !context.printed) context.print(error_json(done.error()));
  });
  return command;
}

void add_json_flag(CLI::App* command, Context& context) {
  command->add_flag("--json", context.json, "Print JSON for programs instead of text for people");
}

std::string bytes_text(std::uint64_t bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 6) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, units[unit]);
}

std::string chance_text(double chance) {
  if (chance < 1e-12) return "<1e-12";
  return fmt::format("{:.1g}", chance);
}

std::string duration_text(double seconds) {
  auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} days {} h", whole / 86400, whole / 3600 % 24);
}

namespace {

/// The length of the UTF-8 character at the start of `text`; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char first = byte(0);
  std::size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  std::uint32_t point = length == 1 ? first : first & (0x7f >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) return 0;
    point = point << 6 | (byte(i) & 0x3f);
  }
  static constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return 0;
  return length;
}

}  // namespace

bool is_utf8(std::string_view raw) {
  while (!raw.empty()) {
    std::size_t n = utf8_length(raw);
    if (n == 0) return false;
    raw.remove_prefix(n);
  }
  return true;
}

namespace {

bool is_control(std::string_view character) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  return byte(0) < 0x20 || byte(0) == 0x7f || (byte(0) == 0xc2 && byte(1) < 0xa0);
}

std::string with_escapes(std::string_view raw, bool backslash) {
  std::string out;
  while (!raw.empty()) {
    const std::size_t n = utf8_length(raw);
    const auto character = raw.substr(0, n == 0 ? 1 : n);
    if (n == 0 || is_control(character) || (backslash && character == "\\")) {
      for (char c : character) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += character;
    }
    raw.remove_prefix(character.size());
  }
  return out;
}

}  // namespace

std::string printable(std::string_view raw) { return with_escapes(raw, true); }
std::string printable_text(std::string_view raw) { return with_escapes(raw, false); }

void put_name(Json& object, const std::string& key, std::string_view raw) {
  object[key] = printable(raw);
  if (object[key] != std::string(raw)) object[key + "_hex"] = to_hex(as_bytes(raw));
}

Json error_json(const Error& error) {
  return {{"error", printable_text(error.message)}, {"code", to_string(error.code)}};
}

void Context::print(const Json& document) const {
  std::cout << document.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  printed = true;
}

void stop_when_output_closes() { ::signal(SIGPIPE, SIG_DFL); }

Result<std::uint64_t> parse_whole_number(const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    return fail(Errc::invalid, "\"{}\" is no whole number from 0 on", text);
  return number;
}

CLI::Validator id_digits() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        const bool good = text.size() >= 6 && text.size() <= 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
        return good ? "" : "'" + printable(text) + "' is not 6 to 64 digits of an id (0-9, a-f)";
      },
      "ID");
}

/// Words and passphrases; whoever names another file by mistake shall not wait for its end.
constexpr std::size_t text_file_bytes_max = 64 << 10;

Result<std::string> read_text_file(const std::string& path, const char* what) {
  const auto reading = fmt::format("read the {} from {}", what, path);
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(from_errno(errno, reading));
  std::string text(text_file_bytes_max + 1, '\0');
  errno = 0;
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (in.gcount() == 0 && errno != 0)) return fail(from_errno(errno, reading));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > text_file_bytes_max)
    return fail(Errc::invalid, "{} has more than {} bytes: it is no file with the {}", printable(path), text_file_bytes_max, what);
  return text;
}

namespace {

/// What `init` printed may have been kept as it was: then the words are those behind the numbers 1. to 24.
std::string numbered_words(const std::string& text) {
  std::istringstream in(text);
  std::string token, words;
  int next = 1;
  while (next <= 24 && in >> token)
    if (token == fmt::format("{}.", next) && in >> token) {
      words += (next > 1 ? " " : "") + token;
      ++next;
    }
  return next > 24 ? words : text;
}

/// Up to an empty line or the end.
Result<std::string> words_from_input() {
  if (::isatty(STDIN_FILENO) == 1) fmt::print(stderr, "Recovery words, then an empty line:\n");
  std::string text, line;
  while (std::getline(std::cin, line) && (!line.empty() || text.empty())) {
    text += line + "\n";
    if (text.size() > text_file_bytes_max) return fail(Errc::invalid, "standard input is not the recovery words");
  }
  return text;
}

}  // namespace

Result<std::string> read_words(const std::optional<std::string>& file) {
  TRY(auto text, file ? read_text_file(*file, "recovery words") : words_from_input());
  return numbered_words(text);
}

struct Progress::State {
  std::mutex mutex;
  std::string verb;
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point drawn{};
  bool terminal = ::isatty(STDERR_FILENO) == 1;
  bool visible = false;
};

Progress::Progress(std::string verb, std::uint64_t total_bytes) : state_(std::make_shared<State>()) {
  state_->verb = std::move(verb);
  state_->total = total_bytes;
}

void Progress::restart(std::string verb, std::uint64_t total_bytes) {
  std::lock_guard lock(state_->mutex);
  state_->verb = std::move(verb);
  state_->total = total_bytes;
  state_->done = 0;
  state_->begun = std::chrono::steady_clock::now();
}

void Progress::advance(std::uint64_t bytes) {
  std::lock_guard lock(state_->mutex);
  state_->done += bytes;
  draw();
}

void Progress::set_done(std::uint64_t bytes) {
  std::lock_guard lock(state_->mutex);
  state_->done = bytes;
  draw();
}

void Progress::draw() {
  if (!state_->terminal) return;
  auto now = std::chrono::steady_clock::now();
  if (now - state_->drawn < std::chrono::milliseconds(200)) return;
  state_->drawn = now;
  double seconds = std::chrono::duration<double>(now - state_->begun).count();
  double rate = seconds > 0 ? static_cast<double>(state_->done) / seconds : 0;
  std::string line = fmt::format("{}  {}", state_->verb, bytes_text(state_->done));
  if (state_->total > 0) {
    auto done = std::min(state_->done, state_->total);
    line += fmt::format(" of {}  {}%", bytes_text(state_->total), done * 100 / state_->total);
    if (rate > 0 && seconds > 1)
      line += fmt::format("  {}/s  {} left", bytes_text(static_cast<std::uint64_t>(rate)),
                          duration_text(static_cast<double>(state_->total - done) / rate));
  }
  fmt::print(stderr, "\r\x1b[K{}", line);
  std::fflush(stderr);
  state_->visible = true;
}

void Progress::clear() {
  std::lock_guard lock(state_->mutex);
  if (!state_->visible) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  state_->visible = false;
}

}  // namespace spatter::doors
