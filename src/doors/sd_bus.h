// D-Bus by libsystemd's sd-bus, loaded when it is first needed: linked, it and all that it needs would
// be loaded by every command, for something that a server does a few times a year.
#pragma once

#include <systemd/sd-bus.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"

namespace spatter::doors {

#define SPATTER_SD_BUS_FUNCTIONS(each)                                                                       \
  each(sd_bus_new) each(sd_bus_set_address) each(sd_bus_set_bus_client) each(sd_bus_start)                   \
  each(sd_bus_close_unref) each(sd_bus_process) each(sd_bus_get_fd) each(sd_bus_get_events)                  \
  each(sd_bus_get_timeout) each(sd_bus_get_bus_id) each(sd_bus_call_async) each(sd_bus_slot_unref)           \
  each(sd_bus_message_new_method_call) each(sd_bus_message_append) each(sd_bus_message_read)                 \
  each(sd_bus_message_enter_container) each(sd_bus_message_get_error) each(sd_bus_message_get_sender)        \
  each(sd_bus_message_ref) each(sd_bus_message_unref)

/// The library's functions, by their own names.
struct SdBus {
#define SPATTER_SD_BUS_MEMBER(name) decltype(&::name) name = nullptr;
  SPATTER_SD_BUS_FUNCTIONS(SPATTER_SD_BUS_MEMBER)
#undef SPATTER_SD_BUS_MEMBER

  /// Once loaded it stays. unavailable when this machine lacks libsystemd, or has one that is too old.
  static Result<const SdBus*> load();
};

struct UnrefMessage {
  const SdBus* api;
  void operator()(sd_bus_message* message) const { api->sd_bus_message_unref(message); }
};
using BusMessage = std::unique_ptr<sd_bus_message, UnrefMessage>;

/// One connection to a bus, for a few calls within a time. It never waits past that, nor once `stop` is
/// readable. One thread.
class BusConnection {
 public:
  static Result<BusConnection> open(const SdBus& api, const std::string& address,
                                    std::chrono::milliseconds within, int stop);
  BusConnection(BusConnection&& other) noexcept
      : api_(other.api_), bus_(std::exchange(other.bus_, nullptr)), until_(other.until_), stop_(other.stop_) {}
  ~BusConnection() {
    if (bus_) api_->sd_bus_close_unref(bus_);
  }

  Result<BusMessage> method_call(const char* destination, const char* path, const char* interface,
                                 const char* method);
  /// Sends, and returns the answer. Errors: timeout, cancelled, unavailable (what the other end, or the bus
  /// in its place, said is wrong), io.
  Result<BusMessage> call(const BusMessage& request);
  sd_bus* get() const { return bus_; }

 private:
  BusConnection(const SdBus& api, sd_bus* bus, std::chrono::milliseconds within, int stop)
      : api_(&api), bus_(bus), until_(std::chrono::steady_clock::now() + within), stop_(stop) {}
  Result<void> wait();
  std::chrono::microseconds left() const;

  const SdBus* api_;
  sd_bus* bus_;
  std::chrono::steady_clock::time_point until_;
  int stop_;
};

}  // namespace spatter::doors
