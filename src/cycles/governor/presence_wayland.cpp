// A Wayland compositor's view of its user, by ext-idle-notify-v1: it says when a second has passed without input, and
// when the user is back. What keeps a screen awake (a film) counts as a user there.
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdlib>

#include "cycles/user_presence.h"
#include "descriptor.h"
#include "wayland_wire.h"

namespace spatter::cycles {

namespace {

constexpr Duration idle_after = std::chrono::seconds(1);

// Our numbers for the objects that we make.
enum Object : std::uint32_t { display = 1, registry, all_listed, seat, notifier, notification };

class Wayland : public PresenceSource {
 public:
  explicit Wayland(std::string socket) : path_(std::move(socket)) {
    if (!path_.empty()) return;
    const char* name = std::getenv("WAYLAND_DISPLAY");
    const char* folder = std::getenv("XDG_RUNTIME_DIR");
    if (name && name[0] == '/') path_ = name;
    else if (name && folder) path_ = std::string(folder) + "/" + name;
  }
  std::string_view name() const override { return "Wayland"; }
  Duration poll_every() const override { return Duration::max(); }

  void open(TimePoint) override {
    socket_ = Descriptor();
    messages_ = {};
    state_ = State::asking;
    have_seat_ = have_notifier_ = false;
    if (path_.empty()) return void(what_ = "no compositor is named");
    sockaddr_un address{.sun_family = AF_UNIX};
    if (path_.size() >= sizeof address.sun_path) return void(what_ = path_ + " is too long a path");
    path_.copy(address.sun_path, path_.size());
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return void(what_ = from_errno(errno, "connect to " + path_).message);
    socket_ = std::move(socket);
    what_ = "not asked yet";
    constexpr std::uint16_t sync = 0, get_registry = 1;
    send(WaylandRequest(display, get_registry).number(registry));
    send(WaylandRequest(display, sync).number(all_listed));
  }

  std::vector<pollfd> watched() override {
    if (!socket_) return {};
    return {{socket_.get(), POLLIN, 0}};
  }

  Sighting look(TimePoint now) override {
    if (socket_)
      if (auto taken = take_messages(now); !taken) lose(taken.error().message);
    const bool works = socket_ && (state_ == State::active || state_ == State::idle);
    return {.last_seen = last_seen_, .active_now = works && state_ == State::active, .what = what_, .works = works};
  }

 private:
  enum class State { asking, active, idle };

  Result<void> take_messages(TimePoint now) {
    char buffer[4096];
    while (true) {
      const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (n < 0 && errno == EAGAIN) return {};
      if (n == 0 || (n < 0 && errno != EINTR)) return fail(Errc::unavailable, "the compositor is gone");
      if (n > 0) messages_.add({buffer, static_cast<std::size_t>(n)});
      while (true) {
        TRY(const auto message, messages_.next());
        if (!message) break;
        TRY_VOID(take(*message, now));
      }
    }
  }

  Result<void> take(const WaylandMessage& message, TimePoint now) {
    if (message.object == display && message.opcode == 0) {
      const auto text = message.text(2);
      return fail(Errc::unavailable, "the compositor reports: {}", text ? text->first : "an error");
    }
    if (message.object == registry && message.opcode == 0) {
      const auto number = message.number(0);
      const auto interface = message.text(1);
      if (!number || !interface) return fail(Errc::corrupt, "the compositor sent a global without a name");
      if (interface->first == "wl_seat" && !std::exchange(have_seat_, true)) bind(*number, interface->first, seat);
      if (interface->first == "ext_idle_notifier_v1" && !std::exchange(have_notifier_, true))
        bind(*number, interface->first, notifier);
    }
    if (message.object == all_listed && state_ == State::asking) {
      if (!have_seat_ || !have_notifier_)
        return fail(Errc::unavailable, "the compositor at {} has no {}", path_,
                    have_notifier_ ? "seat" : "ext-idle-notify-v1");
      constexpr std::uint16_t get_idle_notification = 1;
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(idle_after).count();
      send(WaylandRequest(notifier, get_idle_notification)
               .number(notification)
               .number(static_cast<std::uint32_t>(ms))
               .number(seat));
      become(State::active, now);
    }
    if (message.object == notification && state_ != State::asking) {
      if (message.opcode == 0) become(State::idle, now);
      if (message.opcode == 1) become(State::active, now);
    }
    return {};
  }

  void become(State state, TimePoint now) {
    if (state == State::active) last_seen_ = now;
    if (state == State::idle && state_ == State::active) last_seen_ = now - idle_after;
    state_ = state;
    what_ = state == State::active ? "input, or what keeps the screen awake" : "no input";
  }

  void bind(std::uint32_t number, std::string_view interface, Object as) {
    constexpr std::uint16_t bind_opcode = 0;
    send(WaylandRequest(registry, bind_opcode).number(number).text(interface).number(1).number(as));
  }

  /// A few dozen bytes: what the socket does not take at once is noticed as a compositor that never answers.
  void send(const WaylandRequest& request) {
    const std::string bytes = request.bytes();
    [[maybe_unused]] const auto n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void lose(std::string why) {
    socket_ = Descriptor();
    what_ = std::move(why);
  }

  std::string path_, what_;
  Descriptor socket_;
  WaylandMessages messages_;
  State state_ = State::asking;
  bool have_seat_ = false, have_notifier_ = false;
  std::optional<TimePoint> last_seen_;
};

}  // namespace

std::unique_ptr<PresenceSource> wayland(std::string socket) { return std::make_unique<Wayland>(std::move(socket)); }

}  // namespace spatter::cycles
