#include "popup.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "sd_bus.h"

namespace spatter::doors {

namespace {

constexpr const char* notifications = "org.freedesktop.Notifications";
constexpr const char* notifications_path = "/org/freedesktop/Notifications";
constexpr std::uint8_t urgency_normal = 1;
constexpr std::uint8_t urgency_critical = 2;

/// Bytes that are no UTF-8 become U+FFFD.
std::string as_utf8(std::string_view text) {
  using nlohmann::json;
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

Result<bool> reads_markup(const SdBus& api, const BusMessage& capabilities) {
  int r = api.sd_bus_message_enter_container(capabilities.get(), 'a', "s");
  const char* one = nullptr;
  while (r > 0 && (r = api.sd_bus_message_read(capabilities.get(), "s", &one)) > 0)
    if (std::string_view(one) == "body-markup") return true;
  if (r < 0) return fail(from_errno(-r, "read what the notification daemon can do"));
  return false;
}

}  // namespace

Result<std::string> session_bus_address() {
  // As libraries for D-Bus do it.
  if (const char* address = std::getenv("DBUS_SESSION_BUS_ADDRESS"); address && *address) return address;
  const char* folder = std::getenv("XDG_RUNTIME_DIR");
  if (!folder || !*folder) return fail(Errc::not_found, "there is no session bus");
  const std::string path = std::string(folder) + "/bus";
  if (::access(path.c_str(), F_OK) != 0) return fail(Errc::not_found, "there is no session bus at {}", path);
  std::string address = "unix:path=";
  for (const char c : path) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_/.\\").contains(c);
    address += plain ? std::string(1, c) : fmt::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return address;
}

std::string popup_body(std::string_view text, bool markup) {
  std::string body;
  for (const char c : as_utf8(text)) {
    if (markup && c == '&') body += "&amp;";
    else if (markup && c == '<') body += "&lt;";
    else if (markup && c == '>') body += "&gt;";
    else body += c;
  }
  return body;
}

Result<void> Popup::show(const PopupText& popup, std::chrono::milliseconds within, int stop) {
  TRY(const auto address, session_bus_address());
  TRY(const auto* api, SdBus::load());
  TRY(auto bus, BusConnection::open(*api, address, within, stop));

  // This also starts the daemon, where the desktop does that when it is first needed.
  TRY(const auto question, bus.method_call(notifications, notifications_path, notifications, "GetCapabilities"));
  TRY(const auto capabilities, bus.call(question));
  TRY(const bool markup, reads_markup(*api, capabilities));
  const char* sender = api->sd_bus_message_get_sender(capabilities.get());
  Shown shown{{}, sender ? sender : "", 0};
  sd_id128_t bus_id{};
  if (api->sd_bus_get_bus_id(bus.get(), &bus_id) >= 0) std::ranges::copy(bus_id.bytes, shown.bus.begin());
  const bool same_daemon = last_ && last_->bus == shown.bus && last_->daemon == shown.daemon;

  TRY(const auto request, bus.method_call(notifications, notifications_path, notifications, "Notify"));
  const std::uint32_t replaces = same_daemon ? last_->id : 0;
  const std::string title = as_utf8(popup.title), body = popup_body(popup.text, markup);
  int r = api->sd_bus_message_append(
      request.get(), "susssasa{sv}i", "Spatter", replaces,
      popup.critical ? "dialog-warning" : "dialog-information", title.c_str(), body.c_str(), 0u /* actions */,
      1u /* hint */, "urgency", "y", popup.critical ? urgency_critical : urgency_normal, -1 /* its usual time */);
  if (r < 0) return fail(from_errno(-r, "write a notification"));
  TRY(const auto answer, bus.call(request));
  r = api->sd_bus_message_read(answer.get(), "u", &shown.id);
  if (r < 0) return fail(from_errno(-r, "read the notification daemon's answer"));
  last_ = std::move(shown);
  return {};
}

}  // namespace spatter::doors
