// The speed dial of mending: a rate for all day, and others for hours of it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace spatter {

/// A stretch of each day, in minutes since midnight, local time; it may go on past midnight. `from` and
/// `until` differ.
struct RepairHours {
  unsigned from = 0;
  unsigned until = 0;
  std::uint64_t bytes_per_s = 0;  ///< 0: no bound
  bool covers(unsigned minute) const {
    return from < until ? minute >= from && minute < until : minute >= from || minute < until;
  }
  bool operator==(const RepairHours&) const = default;
};

inline constexpr std::size_t repair_hours_max = 24;

/// "08:00-23:30 2M", "23:30-08:00 none". Errc::invalid names the text.
Result<RepairHours> parse_repair_hours(std::string_view text);
std::string to_text(const RepairHours& hours);

/// Bytes a second for mending what is not urgent, 0 for no bound: those of the first hours in the list that cover
/// the minute of the day, else `otherwise`.
std::uint64_t repair_rate_at(const std::vector<RepairHours>& hours, std::uint64_t otherwise, unsigned minute);

}  // namespace spatter
