// An X server's view of its user: raw input events, and how long there were none.
#include <cstdlib>

#include "cycles/user_presence.h"
#include "x11_connection.h"

namespace spatter::cycles {

namespace {

constexpr std::chrono::milliseconds patience{100};

class X11 : public PresenceSource {
 public:
  X11(std::string display, std::string authority) : display_(std::move(display)), authority_(std::move(authority)) {
    const auto environment = [](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value ? value : "");
    };
    if (display_.empty()) display_ = environment("DISPLAY");
    if (authority_.empty()) authority_ = environment("XAUTHORITY");
    if (authority_.empty()) authority_ = environment("HOME") + "/.Xauthority";
  }
  std::string_view name() const override { return "X11"; }
  Duration poll_every() const override {
    return raw_events_ ? std::chrono::seconds(1) : std::chrono::milliseconds(100);
  }

  void open(TimePoint) override {
    connection_.reset();
    if (display_.empty()) {
      what_ = "no display is named";
      return;
    }
    if (auto ready = take_up(); !ready) lose(ready.error().message);
  }

  std::vector<pollfd> watched() override {
    if (!connection_) return {};
    return {{connection_->descriptor(), POLLIN, 0}};
  }

  Sighting look(TimePoint now) override {
    if (connection_)
      if (auto looked = take_packets(now); !looked) lose(looked.error().message);
    return {.last_seen = last_seen_, .what = what_, .works = connection_ != nullptr};
  }

 private:
  Result<void> take_up() {
    TRY(connection_, X11Connection::open(display_, authority_, patience));
    TRY(screen_saver_, connection_->extension("MIT-SCREEN-SAVER"));
    TRY(const std::uint8_t input, connection_->extension("XInputExtension"));
    raw_events_ = false;
    if (input != 0) TRY_VOID(select_raw_events(input));
    if (screen_saver_ == 0 && !raw_events_)
      return fail(Errc::unavailable, "display {} has neither MIT-SCREEN-SAVER nor XInput 2.2", display_);
    what_ = fmt::format("display {}, by {}", display_, raw_events_ ? "its input events" : "its idle time");
    asked_ = false;
    return {};
  }

  Result<void> select_raw_events(std::uint8_t input) {
    constexpr std::uint8_t query_version = 47, select_events = 46;
    std::string version;
    x11_put<std::uint16_t>(version, 2);
    x11_put<std::uint16_t>(version, 2);
    TRY_VOID(connection_->send(input, query_version, version));
    const auto answer = connection_->reply();
    if (!answer && answer.error().code != Errc::unavailable) return fail(answer.error());
    // Before 2.2 raw events are not sent while another program has grabbed the pointer.
    const bool enough = answer && (x11_get<std::uint16_t>(*answer, 8) > 2 ||
                                   (x11_get<std::uint16_t>(*answer, 8) == 2 && x11_get<std::uint16_t>(*answer, 10) >= 2));
    if (!enough) return {};
    std::string wanted;
    x11_put(wanted, connection_->root());
    x11_put<std::uint16_t>(wanted, 1);  // masks
    x11_put<std::uint16_t>(wanted, 0);
    x11_put<std::uint16_t>(wanted, 1);  // all master devices
    x11_put<std::uint16_t>(wanted, 1);  // words
    // Raw key, button, motion and touch events.
    constexpr std::uint32_t events = 1U << 13 | 1U << 14 | 1U << 15 | 1U << 16 | 1U << 17 | 1U << 22 | 1U << 23 | 1U << 24;
    x11_put(wanted, events);
    TRY_VOID(connection_->send(input, select_events, wanted));
    raw_events_ = true;
    return {};
  }

  Result<void> take_packets(TimePoint now) {
    while (true) {
      TRY(const auto packet, connection_->receive());
      if (!packet) break;
      const auto type = static_cast<unsigned char>((*packet)[0]) & 0x7f;
      if (type == 35) last_seen_ = now;
      if (type == 1) {
        asked_ = false;
        const Duration idle = std::chrono::milliseconds(x11_get<std::uint32_t>(*packet, 16));
        last_seen_ = std::max(last_seen_.value_or(TimePoint::min()), now - idle);
      }
      if (type == 0)
        return fail(Errc::unavailable, "the X server reports error {}", static_cast<unsigned char>((*packet)[1]));
    }
    if (screen_saver_ != 0 && !asked_ && now >= ask_at_) {
      ask_at_ = now + poll_every();
      constexpr std::uint8_t query_info = 1;
      std::string drawable;
      x11_put(drawable, connection_->root());
      TRY_VOID(connection_->send(screen_saver_, query_info, drawable));
      asked_ = true;
    }
    return {};
  }

  void lose(std::string why) {
    connection_.reset();
    what_ = std::move(why);
  }

  std::string display_, authority_;
  std::unique_ptr<X11Connection> connection_;
  std::uint8_t screen_saver_ = 0;
  bool raw_events_ = false;
  bool asked_ = false;  ///< for the idle time, and not answered yet
  TimePoint ask_at_{};
  std::optional<TimePoint> last_seen_;
  std::string what_;
};

}  // namespace

std::unique_ptr<PresenceSource> x11(std::string display, std::string authority) {
  return std::make_unique<X11>(std::move(display), std::move(authority));
}

}  // namespace spatter::cycles
