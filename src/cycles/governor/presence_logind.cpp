// logind's IdleHint over the system bus, by sd-bus, which is loaded when it is first needed.
#include <dlfcn.h>
#include <systemd/sd-bus.h>

#include <cstdlib>
#include <cstring>

#include "cycles/user_presence.h"

namespace spatter::cycles {

namespace {

constexpr const char* library = "libsystemd.so.0";
constexpr const char* service = "org.freedesktop.login1";
constexpr const char* object = "/org/freedesktop/login1";

#define SPATTER_LOGIND_FUNCTIONS(each)                                                            \
  each(sd_bus_new) each(sd_bus_set_address) each(sd_bus_set_bus_client) each(sd_bus_start)        \
  each(sd_bus_close_unref) each(sd_bus_process) each(sd_bus_get_fd) each(sd_bus_get_events)       \
  each(sd_bus_match_signal_async) each(sd_bus_call_method_async) each(sd_bus_message_read)        \
  each(sd_bus_message_get_error)

struct Functions {
#define SPATTER_LOGIND_MEMBER(name) decltype(&::name) name = nullptr;
  SPATTER_LOGIND_FUNCTIONS(SPATTER_LOGIND_MEMBER)
#undef SPATTER_LOGIND_MEMBER
  std::string missing;
};

const Functions& load_functions() {
  static const Functions loaded = [] {
    Functions api;
    void* handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      api.missing = fmt::format("{} is missing", library);
      return api;
    }
    const auto take = [&]<class F>(F& function, const char* name) {
      function = reinterpret_cast<F>(::dlsym(handle, name));
      if (!function) api.missing = fmt::format("{} is too old", library);
    };
#define SPATTER_LOGIND_TAKE(name) take(api.name, #name);
    SPATTER_LOGIND_FUNCTIONS(SPATTER_LOGIND_TAKE)
#undef SPATTER_LOGIND_TAKE
    return api;
  }();
  return loaded;
}

class Logind : public PresenceSource {
 public:
  explicit Logind(std::string address) : api_(load_functions()), address_(std::move(address)) {
    if (!address_.empty()) return;
    const char* set = std::getenv("DBUS_SYSTEM_BUS_ADDRESS");
    address_ = set ? set : "unix:path=/run/dbus/system_bus_socket";
  }
  ~Logind() override { close(); }
  std::string_view name() const override { return "logind"; }
  Duration poll_every() const override { return Duration::max(); }

  void open(TimePoint) override {
    close();
    if (!api_.missing.empty()) {
      what_ = api_.missing;
      return;
    }
    int r = api_.sd_bus_new(&bus_);
    if (r >= 0) r = api_.sd_bus_set_address(bus_, address_.c_str());
    if (r >= 0) r = api_.sd_bus_set_bus_client(bus_, 1);
    if (r >= 0) r = api_.sd_bus_start(bus_);
    if (r >= 0)
      r = api_.sd_bus_match_signal_async(bus_, nullptr, service, object, "org.freedesktop.DBus.Properties",
                                         "PropertiesChanged", on_change, nullptr, this);
    if (r >= 0) r = ask();
    if (r < 0) lose(fmt::format("no bus at {}: {}", address_, std::strerror(-r)));
    else what_ = "not asked yet";
  }

  std::vector<pollfd> watched() override {
    if (!bus_) return {};
    const int events = api_.sd_bus_get_events(bus_);
    return {{api_.sd_bus_get_fd(bus_), static_cast<short>(events < 0 ? POLLIN : events), 0}};
  }

  Sighting look(TimePoint now) override {
    now_ = now;
    int r = 0;
    while (bus_ && (r = api_.sd_bus_process(bus_, nullptr)) > 0) {}
    if (bus_ && r < 0) lose(fmt::format("the bus is gone: {}", std::strerror(-r)));
    return {.last_seen = last_seen_, .active_now = idle_ == false, .what = what_, .works = idle_.has_value()};
  }

 private:
  int ask() {
    return api_.sd_bus_call_method_async(bus_, nullptr, service, object, "org.freedesktop.DBus.Properties", "Get",
                                         on_answer, this, "ss", "org.freedesktop.login1.Manager", "IdleHint");
  }
  static int on_change(sd_bus_message*, void* self, sd_bus_error*) {
    static_cast<Logind*>(self)->ask();  // whatever changed: what it is now is what counts
    return 0;
  }
  static int on_answer(sd_bus_message* message, void* self, sd_bus_error*) {
    static_cast<Logind*>(self)->take(message);
    return 0;
  }
  void take(sd_bus_message* message) {
    if (const sd_bus_error* error = api_.sd_bus_message_get_error(message)) {
      idle_.reset();
      what_ = error->message ? error->message : error->name;
      return;
    }
    int idle = 0;
    if (api_.sd_bus_message_read(message, "v", "b", &idle) < 0) {
      what_ = "IdleHint is no truth value";
      return;
    }
    if (idle_ == false || !idle) last_seen_ = now_;
    idle_ = idle != 0;
    what_ = idle ? "all sessions are idle" : "a session is not idle";
  }
  void lose(std::string why) {
    close();
    what_ = std::move(why);
  }
  void close() {
    if (bus_) api_.sd_bus_close_unref(bus_);
    bus_ = nullptr;
    idle_.reset();
  }

  const Functions& api_;
  std::string address_;
  sd_bus* bus_ = nullptr;
  std::optional<bool> idle_;
  std::optional<TimePoint> last_seen_;
  TimePoint now_{};
  std::string what_;
};

}  // namespace

std::unique_ptr<PresenceSource> logind(std::string bus_address) {
  return std::make_unique<Logind>(std::move(bus_address));
}

}  // namespace spatter::cycles
