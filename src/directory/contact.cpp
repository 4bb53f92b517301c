#include "directory/contact.h"

#include <arpa/inet.h>

#include "crypto/hash.h"

namespace spatter {

Position server_position(ByteView server_key, const Digest& draw) {
  constexpr std::string_view label{"spatter/1 position\0", 19};
  Position position;
  position.bytes = Sha256().update(as_bytes(label)).update(server_key).update(draw.view()).finish().bytes;
  return position;
}

NetworkPrefix NetworkPrefix::of(const Address& address) {
  std::array<std::uint8_t, 16> raw{};
  const auto number = [&](std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | raw[i];
    return value;
  };
  // The highest byte tells the families apart.
  if (::inet_pton(AF_INET, address.host.c_str(), raw.data()) == 1)
    return raw[0] == 127 ? NetworkPrefix{} : NetworkPrefix{std::uint64_t{4} << 56 | number(3)};
  if (::inet_pton(AF_INET6, address.host.c_str(), raw.data()) == 1) {
    constexpr std::array<std::uint8_t, 16> loopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return raw == loopback ? NetworkPrefix{} : NetworkPrefix{std::uint64_t{6} << 56 | number(6)};
  }
  return {};
}

std::size_t Contact::memory_bytes() const {
  constexpr std::size_t shared_counts = 16;
  std::size_t bytes = sizeof *this + shared_counts + addresses.capacity() * sizeof(Address);
  const auto heap_of = [](const std::string& text) {
    return text.capacity() > std::string().capacity() ? text.capacity() + 1 : 0;
  };
  for (const Address& address : addresses) bytes += heap_of(address.host);
  return bytes + heap_of(record);
}

}  // namespace spatter
