// Tells the people at a server's machine that something happened: with a popup on the desktop, if the
// server runs in somebody's desktop session, and by a command that the owner configured, for machines that
// nobody sits at.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"

namespace spatter::doors {

inline constexpr std::string_view event_repair_only = "repair-only";  ///< its popup is an urgent one
inline constexpr std::string_view event_serving = "serving";

/// Texts without zero bytes; what follows one is cut off. `text` is plain: no markup.
struct Announcement {
  std::string event;  ///< which of the events above, for the command
  std::string title;  ///< one line
  std::string text;
};

/// Works on a thread of its own: one announcement after the other, the popup before the command. What fails is
/// logged (a popup at info, once until one was shown again; a command at warning) and concerns nobody else.
class Announcer {
 public:
  struct Options {
    std::string command;  ///< for /bin/sh, with SPATTER_EVENT, SPATTER_TITLE and SPATTER_TEXT; empty: none
    bool popups = true;
    std::chrono::milliseconds command_within = std::chrono::seconds(30);  ///< then it is killed
    std::chrono::milliseconds popup_within = std::chrono::seconds(5);     ///< then there is none
  };

  /// `log` outlives this object and is written to from its thread.
  Announcer(Log& log, Options options);
  Announcer(const Announcer&) = delete;
  /// Drops what waits and ends what is under way: a command has a second after SIGTERM. Blocks for some
  /// seconds at most.
  ~Announcer();

  /// Returns at once. At most announcements_max wait; of more, the oldest are dropped and the log says so.
  /// Any thread.
  void announce(Announcement announcement);

  static constexpr std::size_t announcements_max = 16;

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace spatter::doors
