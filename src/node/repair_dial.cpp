#include "node/repair_dial.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "node/config.h"

namespace spatter {
namespace {

/// "HH:MM"; "24:00" is midnight, too.
std::optional<unsigned> minute_of(std::string_view text) {
  const auto digit = [&](std::size_t at) { return static_cast<unsigned>(text[at] - '0'); };
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  for (const std::size_t at : {0, 1, 3, 4})
    if (text[at] < '0' || text[at] > '9') return std::nullopt;
  const unsigned hour = 10 * digit(0) + digit(1);
  const unsigned minute = 10 * digit(3) + digit(4);
  if (hour == 24 && minute == 0) return 0;
  if (hour > 23 || minute > 59) return std::nullopt;
  return 60 * hour + minute;
}

}  // namespace

Result<RepairHours> parse_repair_hours(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Errc::invalid, "\"{}\": {}; write hours as in \"08:00-23:30 2M\"", text, why);
  };
  const auto space = text.find(' ');
  const auto dash = text.find('-');
  if (space == text.npos || dash == text.npos || dash > space) return wrong("not hours and a rate");
  const auto from = minute_of(text.substr(0, dash));
  const auto until = minute_of(text.substr(dash + 1, space - dash - 1));
  if (!from || !until) return wrong("no times of day");
  if (*from == *until) return wrong("the hours end when they begin");
  auto rest = text.substr(space + 1);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  const auto rate = parse_rate(rest);
  if (!rate) return wrong(rate.error().message);
  return RepairHours{*from, *until, *rate};
}

std::string to_text(const RepairHours& hours) {
  const auto rate = hours.bytes_per_s;
  const auto text = rate == 0            ? std::string("none")
                    : rate % 1024 == 0   ? fmt::format("{}K", rate >> 10)
                                         : fmt::format("{}", rate);
  return fmt::format("{:02}:{:02}-{:02}:{:02} {}", hours.from / 60, hours.from % 60, hours.until / 60,
                     hours.until % 60, text);
}

std::uint64_t repair_rate_at(const std::vector<RepairHours>& hours, std::uint64_t otherwise, unsigned minute) {
  const auto at = std::ranges::find_if(hours, [&](const RepairHours& one) { return one.covers(minute); });
  return at == hours.end() ? otherwise : at->bytes_per_s;
}

}  // namespace spatter
