#include <charconv>

#include "base/transport.h"

namespace spatter {

std::string Address::text() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return is_v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<Address> Address::parse(std::string_view text) {
  constexpr std::size_t host_bytes_max = 253;  // the longest DNS name
  auto bad = [&](std::string_view why) {
    return fail(Errc::invalid, "\"{}\" is no address (HOST:PORT): {}", text.substr(0, 300), why);
  };
  std::string_view host, port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find("]:");
    if (end == std::string_view::npos) return bad("\"[\" without \"]:\"");
    host = text.substr(1, end - 1);
    port = text.substr(end + 2);
  } else {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) return bad("the port is missing");
    if (colon != text.rfind(':')) return bad("an IPv6 address stands in [ ]");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (host.empty()) return bad("the host is missing");
  if (host == "*") return bad("every address of a machine is 0.0.0.0, or [::] for IPv6 too");
  if (host.size() > host_bytes_max) return bad("the host is too long");
  for (const char c : host)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/' || c == '[' || c == ']')
      return bad("the host has a foreign character");
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size())
    return bad("the port is no number from 0 to 65535");
  return Address{std::string(host), number};
}

}  // namespace spatter
