// What this server gives of its processor, and to whom: set by `spatter pledge` and `spatter mine`, kept in the
// drive as cycles.json, and taken up while the server runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/runtime.h"

namespace spatter {

enum class WorkWhen : std::uint8_t { always, idle };

struct CyclesSettings {
  std::uint32_t share_ppm = 0;          ///< of all cores, promised; 0: nothing
  WorkWhen when = WorkWhen::always;     ///< idle: only while nobody is at the machine
  std::uint32_t quiet_s = 300;          ///< of nobody there, before work comes back
  struct Next {
    std::uint32_t share_ppm = 0;
    std::uint64_t from_month = 0;       ///< of the network's months of cycles
    bool operator==(const Next&) const = default;
  };
  std::optional<Next> next;             ///< promised for a later month
  // Mining bitcoin in the time that nobody wants.
  std::string pool;                     ///< "stratum+tcp://host:port"; empty: none
  std::string pool_user;
  std::uint32_t mine_share_ppm = 800'000;
  WorkWhen mine_when = WorkWhen::always;
  bool operator==(const CyclesSettings&) const = default;
};

/// "20%", "0.5%", "100%", "0%" or "none", as parts of a million. Errc::invalid names the text.
Result<std::uint32_t> parse_share(std::string_view text);
std::string share_text(std::uint32_t share_ppm);
/// "always" or "idle".
Result<WorkWhen> parse_when(std::string_view text);
std::string_view to_string(WorkWhen when);

/// Blocks. No file: the defaults. Errors name the file and the key.
Result<CyclesSettings> load_cycles_settings(Disk& disk);
/// Blocks; durable on return.
Result<void> save_cycles_settings(Disk& disk, const CyclesSettings& settings);

}  // namespace spatter
