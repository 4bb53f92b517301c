#include "node/cycles_settings.h"

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

namespace spatter {
namespace {

constexpr const char* file_name = "cycles.json";
constexpr std::size_t file_bytes_max = 64 * 1024;
constexpr std::uint32_t whole_ppm = 1'000'000;
constexpr std::uint32_t quiet_s_max = 86'400;

using Json = nlohmann::json;

Result<std::uint32_t> number(const Json& document, const char* key, std::uint32_t otherwise, std::uint32_t most) {
  const auto at = document.find(key);
  if (at == document.end()) return otherwise;
  if (!at->is_number_unsigned() || at->get<std::uint64_t>() > most)
    return fail(Errc::invalid, "{}: \"{}\" is no number from 0 to {}", file_name, key, most);
  return at->get<std::uint32_t>();
}

Result<std::string> text(const Json& document, const char* key) {
  const auto at = document.find(key);
  if (at == document.end()) return std::string();
  if (!at->is_string()) return fail(Errc::invalid, "{}: \"{}\" is no text", file_name, key);
  return at->get<std::string>();
}

Result<WorkWhen> when_at(const Json& document, const char* key) {
  TRY(const auto word, text(document, key));
  return word.empty() ? WorkWhen::always : parse_when(word);
}

}  // namespace

Result<std::uint32_t> parse_share(std::string_view words) {
  if (words == "none") return 0;
  const auto wrong = fail(Errc::invalid, "\"{}\" is no share: write it as 20% or 0.5%, at most 100%, or none", words);
  if (!words.ends_with('%')) return wrong;
  words.remove_suffix(1);
  double percent = 0;
  const auto read = std::from_chars(words.data(), words.data() + words.size(), percent, std::chars_format::fixed);
  if (words.empty() || read.ec != std::errc{} || read.ptr != words.data() + words.size()) return wrong;
  if (!(percent >= 0 && percent <= 100)) return wrong;
  const auto ppm = static_cast<std::uint32_t>(percent * 10'000 + 0.5);
  if (ppm == 0 && percent > 0) return wrong;
  return ppm;
}

std::string share_text(std::uint32_t share_ppm) {
  return fmt::format("{:g}%", static_cast<double>(share_ppm) / 10'000);
}

Result<WorkWhen> parse_when(std::string_view words) {
  if (words == "always") return WorkWhen::always;
  if (words == "idle") return WorkWhen::idle;
  return fail(Errc::invalid, "\"{}\": there are always and idle", words);
}

std::string_view to_string(WorkWhen when) { return when == WorkWhen::idle ? "idle" : "always"; }

Result<CyclesSettings> load_cycles_settings(Disk& disk) {
  auto bytes = read_file(disk, file_name, file_bytes_max);
  if (!bytes && bytes.error().code == Errc::not_found) return CyclesSettings{};
  if (!bytes) return fail(std::move(bytes).error());
  const auto document = Json::parse(as_text(*bytes), nullptr, false);
  if (!document.is_object()) return fail(Errc::corrupt, "{} cannot be read: it is no JSON object", file_name);
  CyclesSettings settings;
  TRY(settings.share_ppm, number(document, "share_ppm", 0, whole_ppm));
  TRY(settings.when, when_at(document, "when"));
  TRY(settings.quiet_s, number(document, "quiet_s", settings.quiet_s, quiet_s_max));
  if (const auto next = document.find("next"); next != document.end() && !next->is_null()) {
    if (!next->is_object()) return fail(Errc::invalid, "{}: \"next\" is no object", file_name);
    CyclesSettings::Next coming;
    TRY(coming.share_ppm, number(*next, "share_ppm", 0, whole_ppm));
    TRY(coming.from_month, number(*next, "from_month", 0, std::numeric_limits<std::uint32_t>::max()));
    settings.next = coming;
  }
  TRY(settings.pool, text(document, "pool"));
  TRY(settings.pool_user, text(document, "pool_user"));
  TRY(settings.mine_share_ppm, number(document, "mine_share_ppm", settings.mine_share_ppm, whole_ppm));
  TRY(settings.mine_when, when_at(document, "mine_when"));
  return settings;
}

Result<void> save_cycles_settings(Disk& disk, const CyclesSettings& settings) {
  Json document = {{"share_ppm", settings.share_ppm}, {"when", to_string(settings.when)},
                         {"quiet_s", settings.quiet_s}, {"pool", settings.pool}, {"pool_user", settings.pool_user},
                         {"mine_share_ppm", settings.mine_share_ppm}, {"mine_when", to_string(settings.mine_when)}};
  if (settings.next) document["next"] = {{"share_ppm", settings.next->share_ppm}, {"from_month", settings.next->from_month}};
  const auto words = document.dump(2) + "\n";
  return write_file_durably(disk, file_name, as_bytes(words));
}

}  // namespace spatter
