// The settings of a server: spatter.toml in its drive. Every key is optional; unknown keys are
// warned about, values that make no sense are errors that name key and line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/transport.h"
#include "node/repair_dial.h"

namespace spatter {

inline constexpr std::uint16_t default_port = 4840;

struct Config {
  std::uint64_t size_bytes = 0;    ///< of the drive; 0: that of its file system. Half is each half's
  Address listen{"::", default_port};  ///< of all IPv6 and IPv4 addresses
  std::vector<Address> advertise;  ///< told to others instead of what we find out ourselves
  bool relay = true;               ///< carry connections for members who cannot be dialled
  std::uint64_t relay_bytes_per_s = 8 << 20;
  std::uint64_t repair_bytes_per_s = 8 << 20;  ///< read and sent to mend what is not urgent; 0: no bound
  std::vector<RepairHours> repair_hours;        ///< other rates for hours of the day; at most repair_hours_max
  bool port_mapping = true;        ///< ask the router for a way in
  bool lan = true;                 ///< tell, and listen to, members on the same local network
  std::vector<Address> rendezvous; ///< nodes of the public DHT; none: not used
  std::string name;                ///< for people
  bool popups = true;              ///< tell of events on the desktop of the user who runs the server
  std::string notify_command;      ///< told of events, by /bin/sh; empty: none
  LogLevel log_level = LogLevel::info;
};

struct ParsedConfig {
  Config config;
  std::vector<std::string> warnings;  ///< whole sentences
};

/// `text` is the whole file. Bounded by config_bytes_max.
inline constexpr std::size_t config_bytes_max = 256 * 1024;
Result<ParsedConfig> parse_config(std::string_view text);

/// A file that says the same, with a comment for every key.
std::string config_text(const Config& config);

/// "500G", "1.5T", "64 MiB", "1000000", "20GB": K, M, G, T, P (also with "iB") count in 1024, with
/// "B" in 1000. Errc::invalid names the text.
Result<std::uint64_t> parse_size(std::string_view text);

/// Bytes a second, likewise; "none" is 0, for no bound.
Result<std::uint64_t> parse_rate(std::string_view text);

/// The same for the size of a drive, which has bounds: at least 64 MiB, at most 1 EiB.
Result<std::uint64_t> parse_drive_size(std::string_view text);

/// "debug", "info", "warning", "error".
Result<LogLevel> parse_log_level(std::string_view text);

}  // namespace spatter
