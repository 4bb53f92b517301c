// What X servers, compositors and .Xauthority files may hold, whole and in pieces.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wayland_wire.h"
#include "x11_connection.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter::cycles;
  if (size < 2) return 0;
  const std::size_t piece = 1 + data[1] % 64U;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  switch (data[0] % 3) {
    case 0: {
      const auto split = std::min<std::size_t>(piece, bytes.size());
      (void)x11_cookie(bytes.substr(split), bytes.substr(0, split));
      (void)x11_display_number(bytes);
      break;
    }
    case 1: {
      X11Packets packets;
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        packets.add(bytes.substr(at, piece));
        for (auto next = packets.next(); next && *next; next = packets.next()) SPATTER_ASSERT((*next)->size() >= 32);
      }
      break;
    }
    default: {
      WaylandMessages messages;
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        messages.add(bytes.substr(at, piece));
        for (auto next = messages.next(); next && *next; next = messages.next()) {
          for (std::size_t word = 0; word < 4; ++word) {
            (void)(*next)->number(word);
            if (const auto text = (*next)->text(word)) (void)(*next)->number(text->second);
          }
        }
      }
    }
  }
  return 0;
}
