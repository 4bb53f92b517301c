#include "sd_bus.h"

#include <dlfcn.h>
#include <poll.h>

#include <cerrno>

namespace spatter::doors {

namespace {

constexpr const char* library = "libsystemd.so.0";

using std::chrono::microseconds;

Result<SdBus> load_functions() {
  void* handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return fail(Errc::unavailable, "{} is missing", library);
  SdBus api;
  bool all = true;
  const auto take = [&]<class F>(F& function, const char* name) {
    function = reinterpret_cast<F>(::dlsym(handle, name));
    all = all && function;
  };
#define SPATTER_SD_BUS_TAKE(name) take(api.name, #name);
  SPATTER_SD_BUS_FUNCTIONS(SPATTER_SD_BUS_TAKE)
#undef SPATTER_SD_BUS_TAKE
  if (!all) return fail(Errc::unavailable, "{} is too old", library);
  return api;
}

/// What sd-bus returned. Never not_found: a bus that should be there and is not is a failure.
Error broken(int r, std::string_view attempt) {
  return {Errc::unavailable, from_errno(-r, attempt).message};
}

struct Answer {
  const SdBus* api;
  BusMessage message;
};

int take_answer(sd_bus_message* message, void* answer_, sd_bus_error*) {
  auto& answer = *static_cast<Answer*>(answer_);
  answer.message = BusMessage(answer.api->sd_bus_message_ref(message), {answer.api});
  return 0;
}

}  // namespace

Result<const SdBus*> SdBus::load() {
  static const Result<SdBus> loaded = load_functions();
  if (!loaded) return fail(loaded.error());
  return &*loaded;
}

Result<BusConnection> BusConnection::open(const SdBus& api, const std::string& address,
                                          std::chrono::milliseconds within, int stop) {
  sd_bus* bus = nullptr;
  if (const int r = api.sd_bus_new(&bus); r < 0) return fail(broken(r, "use D-Bus"));
  BusConnection connection(api, bus, within, stop);
  int r = api.sd_bus_set_address(bus, address.c_str());
  if (r >= 0) r = api.sd_bus_set_bus_client(bus, 1);
  if (r >= 0) r = api.sd_bus_start(bus);
  if (r < 0) return fail(broken(r, "connect to the session bus at " + address));
  return connection;
}

Result<BusMessage> BusConnection::method_call(const char* destination, const char* path,
                                              const char* interface, const char* method) {
  sd_bus_message* message = nullptr;
  const int r = api_->sd_bus_message_new_method_call(bus_, &message, destination, path, interface, method);
  if (r < 0) return fail(broken(r, "use D-Bus"));
  return BusMessage(message, {api_});
}

Result<BusMessage> BusConnection::call(const BusMessage& request) {
  Answer answer{api_, BusMessage(nullptr, {api_})};
  sd_bus_slot* slot = nullptr;
  const auto time = static_cast<std::uint64_t>(std::max(left(), microseconds(1)).count());
  if (const int r = api_->sd_bus_call_async(bus_, &slot, request.get(), take_answer, &answer, time); r < 0)
    return fail(broken(r, "send on the session bus"));
  const auto forget = [api = api_](sd_bus_slot* one) { api->sd_bus_slot_unref(one); };
  const std::unique_ptr<sd_bus_slot, decltype(forget)> pending(slot, forget);
  while (!answer.message) {
    const int r = api_->sd_bus_process(bus_, nullptr);
    if (r < 0) return fail(broken(r, "speak with the session bus"));
    if (r == 0) TRY_VOID(wait());
  }
  const sd_bus_error* error = api_->sd_bus_message_get_error(answer.message.get());
  if (!error) return std::move(answer.message);
  return fail(Errc::unavailable, "{}", error->message ? error->message : error->name);
}

/// Until there is something for sd-bus to do. (sd_bus_wait would hear of no stop.)
Result<void> BusConnection::wait() {
  const int fd = api_->sd_bus_get_fd(bus_);
  const int events = api_->sd_bus_get_events(bus_);
  if (fd < 0 || events < 0) return fail(broken(std::min(fd, events), "speak with the session bus"));
  std::uint64_t bus_until = UINT64_MAX;  // on CLOCK_MONOTONIC, as steady_clock
  api_->sd_bus_get_timeout(bus_, &bus_until);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto now_us = static_cast<std::uint64_t>(std::chrono::duration_cast<microseconds>(now).count());
  if (left() <= microseconds(0)) return fail(Errc::timeout, "the session bus does not answer");
  const auto bus_left = bus_until > now_us ? bus_until - now_us : 0;
  const auto us = std::min({static_cast<std::uint64_t>(left().count()), bus_left, std::uint64_t{60'000'000}});
  pollfd watched[] = {{fd, static_cast<short>(events), 0}, {stop_, POLLIN, 0}};
  if (::poll(watched, 2, static_cast<int>((us + 999) / 1000)) < 0 && errno != EINTR)
    return fail(from_errno(errno, "wait for the session bus"));
  if (watched[1].revents != 0) return fail(Errc::cancelled, "this server is stopping");
  return {};
}

microseconds BusConnection::left() const {
  return std::chrono::ceil<microseconds>(until_ - std::chrono::steady_clock::now());
}

}  // namespace spatter::doors
