// The sources that speak with a desktop, each with one of its own: a private bus with a logind of ours, an Xvfb whose
// input is made by the XTEST extension, a compositor of ours.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include <thread>

#include "cycles/user_presence.h"
#include "descriptor.h"
#include "temporary_folder.h"
#include "wayland_wire.h"
#include "x11_connection.h"

namespace spatter::cycles {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TimePoint now() { return TimePoint(std::chrono::steady_clock::now().time_since_epoch()); }

/// A program that writes a line when it is ready; ended with the test.
class Program {
 public:
  /// `line_fd`: the number that the program writes its line to; "{fd}" in the arguments becomes that.
  explicit Program(std::vector<std::string> command) {
    int ends[2];
    SPATTER_ASSERT(::pipe(ends) == 0);
    Descriptor from(ends[0]), to(ends[1]);
    for (auto& word : command)
      if (const auto at = word.find("{fd}"); at != word.npos) word.replace(at, 4, std::to_string(to.get()));
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int quiet = ::open("/dev/null", O_RDWR);
      ::dup2(quiet, 1);
      ::dup2(quiet, 2);
      ::close(from.get());
      std::vector<char*> arguments;
      for (auto& word : command) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    to = Descriptor();
    char c = 0;
    while (::read(from.get(), &c, 1) == 1 && c != '\n') line += c;
  }
  ~Program() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::string line;

 private:
  pid_t pid_;
};

/// Looks whenever there is something, until it is so.
template <class Condition>
PresenceSource::Sighting look_until(PresenceSource& source, Condition condition) {
  const TimePoint give_up = now() + seconds(60);
  while (now() < give_up) {
    const auto sighting = source.look(now());
    if (condition(sighting)) return sighting;
    auto watched = source.watched();
    ::poll(watched.data(), watched.size(), 100);
  }
  ADD_FAILURE() << source.name() << " never said so";
  return {};
}

struct Bus {
  TemporaryFolder folder;
  std::string address = "unix:path=" + (folder / "bus");
  std::unique_ptr<Program> daemon;
  Bus() {
    folder.write("bus.conf", "<busconfig><type>system</type><listen>" + address +
                                 "</listen><policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>"
                                 "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>");
    daemon = std::make_unique<Program>(std::vector<std::string>{
        "dbus-daemon", "--config-file=" + (folder / "bus.conf"), "--nofork", "--print-address={fd}"});
  }
};

/// A logind, as far as IdleHint goes.
class FakeLogind {
 public:
  FakeLogind(const std::string& address, bool idle) : idle_(idle) {
    SPATTER_ASSERT(sd_bus_new(&bus_) >= 0 && sd_bus_set_address(bus_, address.c_str()) >= 0);
    SPATTER_ASSERT(sd_bus_set_bus_client(bus_, 1) >= 0 && sd_bus_start(bus_) >= 0);
    static const sd_bus_vtable table[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("IdleHint", "b", get, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
    };
    SPATTER_ASSERT(sd_bus_add_object_vtable(bus_, nullptr, object, interface, table, this) >= 0);
    SPATTER_ASSERT(sd_bus_request_name(bus_, "org.freedesktop.login1", 0) >= 0);
    thread_ = std::thread([this] {
      while (!ending_) {
        if (changed_.exchange(false)) sd_bus_emit_properties_changed(bus_, object, interface, "IdleHint", nullptr);
        while (sd_bus_process(bus_, nullptr) > 0) {}
        sd_bus_wait(bus_, 5000);
      }
    });
  }
  ~FakeLogind() {
    ending_ = true;
    thread_.join();
    sd_bus_flush_close_unref(bus_);
  }
  void set(bool idle) {
    idle_ = idle;
    changed_ = true;
  }

 private:
  static constexpr const char* object = "/org/freedesktop/login1";
  static constexpr const char* interface = "org.freedesktop.login1.Manager";
  static int get(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* self, sd_bus_error*) {
    return sd_bus_message_append(reply, "b", static_cast<int>(static_cast<FakeLogind*>(self)->idle_.load()));
  }
  sd_bus* bus_ = nullptr;
  std::atomic<bool> idle_, changed_ = false, ending_ = false;
  std::thread thread_;
};

TEST(Logind, ItsIdleHintIsFollowedByItsSignals) {
  Bus bus;
  FakeLogind fake(bus.address, true);
  auto source = logind(bus.address);
  source->open(now());
  const auto idle = look_until(*source, [](const auto& sighting) { return sighting.works; });
  EXPECT_FALSE(idle.active_now);
  EXPECT_FALSE(idle.last_seen);
  EXPECT_EQ(idle.what, "all sessions are idle");
  fake.set(false);
  const auto active = look_until(*source, [](const auto& sighting) { return sighting.active_now; });
  EXPECT_TRUE(active.last_seen);
  EXPECT_EQ(active.what, "a session is not idle");
  fake.set(true);
  look_until(*source, [](const auto& sighting) { return !sighting.active_now; });
}

TEST(Logind, ABusWithoutOneOrNoBusIsSaidSo) {
  Bus bus;
  auto without = logind(bus.address);
  without->open(now());
  const auto refused = look_until(*without, [](const auto& one) { return one.what.contains("login1"); });
  EXPECT_FALSE(refused.works);
  bus.daemon.reset();
  look_until(*without, [](const auto& one) { return one.what.starts_with("the bus is gone"); });
  auto nowhere = logind("unix:path=/nowhere/bus");
  nowhere->open(now());
  EXPECT_TRUE(nowhere->look(now()).what.starts_with("no bus at unix:path=/nowhere/bus"));
}

struct Screen : testing::Test {
  Program server{{"Xvfb", "-displayfd", "{fd}", "-screen", "0", "64x64x8", "-nolisten", "tcp"}};
  std::string display = ":" + server.line;
  std::unique_ptr<X11Connection> hands;
  std::uint8_t test_extension = 0;

  void SetUp() override {
    ASSERT_FALSE(server.line.empty()) << "Xvfb does not run";
    auto opened = X11Connection::open(display, "", seconds(10));
    ASSERT_TRUE(opened) << opened.error().message;
    hands = std::move(*opened);
    test_extension = *hands->extension("XTEST");
    ASSERT_NE(test_extension, 0);
  }
  void press_key() {
    for (const std::uint8_t type : {2, 3}) {  // KeyPress, KeyRelease
      std::string event;
      x11_put(event, type);
      x11_put<std::uint8_t>(event, 38);
      event.resize(32);
      ASSERT_TRUE(hands->send(test_extension, 2, event));
    }
  }
};

TEST_F(Screen, AKeyIsSeenByItsEvent) {
  auto source = x11(display);
  source->open(now());
  const auto before = look_until(*source, [](const auto& sighting) { return sighting.works; });
  EXPECT_EQ(before.what, "display " + display + ", by its input events");
  const TimePoint pressed = now();
  press_key();
  // The idle time alone would be asked for in a second: this is the event.
  look_until(*source, [&](const auto& sighting) { return sighting.last_seen && *sighting.last_seen >= pressed; });
}

TEST_F(Screen, HowLongNobodyTouchedItIsAskedFor) {
  press_key();
  ASSERT_TRUE(hands->extension("XTEST"));  // answered after the key was taken
  const TimePoint pressed = now();
  auto source = x11(display);
  source->open(now());
  const auto seen = look_until(*source, [](const auto& sighting) { return sighting.last_seen.has_value(); });
  EXPECT_LE(*seen.last_seen, now());
  EXPECT_GE(*seen.last_seen, pressed - seconds(60));
}

TEST(X11, AServerThatGoesAwayIsSaidSo) {
  auto server = std::make_unique<Program>(
      std::vector<std::string>{"Xvfb", "-displayfd", "{fd}", "-screen", "0", "64x64x8", "-nolisten", "tcp"});
  auto source = x11(":" + server->line);
  source->open(now());
  EXPECT_TRUE(source->look(now()).works);
  server.reset();
  look_until(*source, [](const auto& sighting) { return !sighting.works; });
  EXPECT_TRUE(source->watched().empty());
}

/// As much of a compositor as answers a program that asks for idleness.
class FakeCompositor {
 public:
  FakeCompositor(std::string path, bool has_notifier) : has_notifier_(has_notifier) {
    listening_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    SPATTER_ASSERT(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    SPATTER_ASSERT(::listen(listening_.get(), 1) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeCompositor() {
    hang_up();
    ::shutdown(listening_.get(), SHUT_RDWR);
    thread_.join();
  }
  void idled() { event(0); }
  void resumed() { event(1); }
  void hang_up() { ::shutdown(client_, SHUT_RDWR); }
  std::uint32_t asked_timeout() const { return timeout_; }

 private:
  void event(std::uint16_t opcode) { send(WaylandRequest(notification_, opcode)); }
  void send(const WaylandRequest& message) {
    const std::string bytes = message.bytes();
    [[maybe_unused]] const auto n = ::send(client_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void serve() {
    const Descriptor client(::accept(listening_.get(), nullptr, nullptr));
    client_ = client.get();
    WaylandMessages messages;
    char buffer[1024];
    std::uint32_t registry = 0, notifier = 0;
    for (ssize_t n; (n = ::recv(client.get(), buffer, sizeof buffer, 0)) > 0;) {
      messages.add({buffer, static_cast<std::size_t>(n)});
      for (auto next = messages.next(); next && *next; next = messages.next()) {
        const WaylandMessage& message = **next;
        if (message.object == 1 && message.opcode == 1) {
          registry = *message.number(0);
          send(WaylandRequest(registry, 0).number(11).text("wl_compositor").number(4));
          send(WaylandRequest(registry, 0).number(12).text("wl_seat").number(7));
          if (has_notifier_) send(WaylandRequest(registry, 0).number(13).text("ext_idle_notifier_v1").number(1));
        }
        if (message.object == 1 && message.opcode == 0) send(WaylandRequest(*message.number(0), 0).number(1));
        if (message.object == registry && message.opcode == 0) {
          const auto interface = message.text(1);
          EXPECT_EQ(*message.number(0), interface->first == "wl_seat" ? 12U : 13U);
          if (interface->first == "ext_idle_notifier_v1") notifier = *message.number(interface->second + 1);
        }
        if (notifier != 0 && message.object == notifier && message.opcode == 1) {
          timeout_ = *message.number(1);
          notification_ = *message.number(0);
        }
      }
    }
  }

  const bool has_notifier_;
  Descriptor listening_;
  std::atomic<int> client_ = -1;
  std::atomic<std::uint32_t> notification_ = 0, timeout_ = 0;
  std::thread thread_;
};

TEST(Wayland, IdledAndResumedAreFollowed) {
  const TemporaryFolder folder;
  FakeCompositor compositor(folder / "wayland-0", true);
  auto source = wayland(folder / "wayland-0");
  source->open(now());
  look_until(*source, [](const auto& sighting) { return sighting.works && sighting.active_now; });
  look_until(*source, [&](const auto&) { return compositor.asked_timeout() != 0; });
  EXPECT_EQ(compositor.asked_timeout(), 1000U);
  compositor.idled();
  const auto idle = look_until(*source, [](const auto& sighting) { return !sighting.active_now; });
  EXPECT_TRUE(idle.works);
  EXPECT_LE(*idle.last_seen, now() - seconds(1));
  compositor.resumed();
  look_until(*source, [](const auto& sighting) { return sighting.active_now; });
  compositor.hang_up();
  const auto gone = look_until(*source, [](const auto& sighting) { return !sighting.works; });
  EXPECT_EQ(gone.what, "the compositor is gone");
}

TEST(Wayland, ACompositorWithoutTheProtocolIsSaidSo) {
  const TemporaryFolder folder;
  FakeCompositor compositor(folder / "wayland-0", false);
  auto source = wayland(folder / "wayland-0");
  source->open(now());
  look_until(*source, [](const auto& one) { return one.what.ends_with("has no ext-idle-notify-v1"); });
}

}  // namespace
}  // namespace spatter::cycles
