// Shows popups on the desktop of the user who runs this process, through the notification daemon of
// his session's D-Bus (org.freedesktop.Notifications).
//
// Blocks: not on the executor. One thread at a time.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace spatter::doors {

struct PopupText {
  std::string title;
  std::string text;
  bool critical = false;  ///< stays until it is dismissed, on most desktops
};

/// The address of the session's bus; not_found when this process belongs to no session that has one.
Result<std::string> session_bus_address();

/// `text` as a notification's body: its markup characters escaped where the daemon reads markup, and bytes
/// that are no UTF-8 replaced, for D-Bus carries no others.
std::string popup_body(std::string_view text, bool markup);

class Popup {
 public:
  /// Shows it in place of the one shown before, if the same daemon still runs. Returns when the daemon has
  /// taken it. Errors: not_found (no session bus), timeout, cancelled (`stop` became readable), unavailable
  /// (libsystemd, the bus or the daemon does not do it), io.
  Result<void> show(const PopupText& popup, std::chrono::milliseconds within, int stop);

 private:
  /// Who gave the number of the last popup: names on a bus are never given twice, so with the bus's
  /// own id this is one run of one daemon.
  struct Shown {
    std::array<std::uint8_t, 16> bus;
    std::string daemon;
    std::uint32_t id;
  };
  std::optional<Shown> last_;
};

}  // namespace spatter::doors
