// Is a person at this machine? Sources each say when they last saw one; together they say "present" as soon as
// any does, and "away" after a quiet time. Each source names what it watches and says when it cannot.
#pragma once

#include <poll.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace spatter::cycles {

/// One kind of sign of a person. Used from one thread.
class PresenceSource {
 public:
  struct Sighting {
    std::optional<TimePoint> last_seen;  ///< none: never since it was opened
    bool active_now = false;             ///< it says of itself that somebody is there: until it says otherwise
    std::string what;                    ///< "key or pointer: event3", or why it sees nothing
    bool works = false;
  };

  virtual ~PresenceSource() = default;
  virtual std::string_view name() const = 0;

  /// Takes up what it watches, again if it was lost: called at the start and every few seconds while it does not work.
  virtual void open(TimePoint now) = 0;
  /// What look() need not wait for. Empty for a source that has to be polled.
  virtual std::vector<pollfd> watched() = 0;
  /// How often to look without an event; max() for never.
  virtual Duration poll_every() const = 0;
  /// Looks, without waiting. `now` counts suspension (CLOCK_BOOTTIME): quiet is quiet.
  virtual Sighting look(TimePoint now) = 0;
};

/// Any event of a keyboard, mouse or touch device below `folder`; devices may come and go. Needs to be in the group
/// that may read them (input).
std::unique_ptr<PresenceSource> input_devices(std::string folder = "/dev/input");

/// Terminals in use: their access times, as `w` reads them. The kernel keeps those to 8 s, so it sees somebody
/// who comes back within 8 s of typing on, and within 0.1 s otherwise. `folders`: each is searched for
/// numbered files (pseudo terminals) and for tty1, tty2, ...
std::unique_ptr<PresenceSource> terminals(std::vector<std::string> folders = {"/dev/pts", "/dev"});

/// logind's IdleHint, by its signal. Empty address: the system bus.
std::unique_ptr<PresenceSource> logind(std::string bus_address = {});

/// An X server's: raw input events where it has XInput 2.2, else its idle time 10 times a second (MIT-SCREEN-SAVER).
/// Empty display: $DISPLAY; empty authority: $XAUTHORITY or ~/.Xauthority.
std::unique_ptr<PresenceSource> x11(std::string display = {}, std::string authority = {});

/// A Wayland compositor's, where it has ext-idle-notify-v1. Empty socket: $WAYLAND_DISPLAY in $XDG_RUNTIME_DIR.
std::unique_ptr<PresenceSource> wayland(std::string socket = {});

/// CPU used by everybody but us above `cores_above`, over half a second. `ours`: CPU time of this process and of all
/// that it governs, any thread.
std::unique_ptr<PresenceSource> other_load(double cores_above, std::function<Duration()> ours,
                                           std::string stat = "/proc/stat");

/// What a source said last, for reports.
struct SourceReport {
  std::string name;
  bool works = false;
  std::string what;
  std::optional<Duration> quiet_for;  ///< since it last saw somebody
};

/// Decides from sightings; no thread of its own. Begins as present: nobody's quiet has been seen yet.
class PresenceJudge {
 public:
  PresenceJudge(std::vector<std::unique_ptr<PresenceSource>> sources, Duration quiet, TimePoint now);
  ~PresenceJudge();

  /// Looks at everything that has an event, and at what is due.
  void look(TimePoint now, const std::vector<pollfd>& events);
  std::vector<pollfd> watched();
  TimePoint next_look() const;

  bool present() const { return present_; }
  /// "somebody is here: key or pointer (event3), 2 s ago" or "nobody for 340 s".
  std::string why(TimePoint now) const;
  std::vector<SourceReport> reports(TimePoint now) const;
  void set_quiet(Duration quiet) { quiet_ = quiet; }

 private:
  struct Watched;
  std::vector<Watched> sources_;
  Duration quiet_;
  bool present_ = true;
  TimePoint last_seen_;
  std::string last_what_;
};

/// A judge on a thread of its own. Functions from any thread.
class UserPresence {
 public:
  virtual ~UserPresence() = default;
  virtual bool present() const = 0;
  virtual std::string why() const = 0;
  virtual std::vector<SourceReport> reports() const = 0;
  virtual void set_quiet(Duration quiet) = 0;  ///< how long nobody must have been seen
};

/// `changed` is called on its thread at every change, and once at the start. Errors: io.
Result<std::unique_ptr<UserPresence>> watch_for_users(std::vector<std::unique_ptr<PresenceSource>> sources,
                                                      Duration quiet, std::function<void(bool present)> changed);

/// Those that this machine may have, with their defaults.
std::vector<std::unique_ptr<PresenceSource>> usual_sources(double cores_above, std::function<Duration()> ours);

}  // namespace spatter::cycles
