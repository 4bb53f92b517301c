// As much of the X11 protocol as it takes to ask how long nobody has touched anything. Not by libX11: it ends the
// process when its server goes away, and would have to be loaded with four libraries more.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "descriptor.h"

namespace spatter::cycles {

/// The cookie for that display in an .Xauthority file's bytes; empty when there is none. Foreign bytes.
std::string x11_cookie(std::string_view authority_file, std::string_view display_number);

/// ":0" or "unix:0.1" to "0"; invalid for a display of another machine.
Result<std::string> x11_display_number(std::string_view display);

/// What a server sent, cut into packets. Foreign bytes.
class X11Packets {
 public:
  void add(std::string_view bytes) { bytes_ += bytes; }
  /// A whole packet: an error (0), a reply (1) or an event. corrupt: one longer than any that was asked for.
  Result<std::optional<std::string>> next();

 private:
  std::string bytes_;
};

class X11Connection {
 public:
  /// Waits up to `within`. `folder` holds the server's socket.
  static Result<std::unique_ptr<X11Connection>> open(const std::string& display, const std::string& authority_path,
                                                     std::chrono::milliseconds within,
                                                     const std::string& folder = "/tmp/.X11-unix");

  int descriptor() const { return socket_.get(); }
  std::uint32_t root() const { return root_; }

  /// The opcode of an extension; 0 when the server lacks it. Waits.
  Result<std::uint8_t> extension(std::string_view name);
  /// A request: `data` without its header, a multiple of four bytes. Never waits.
  Result<void> send(std::uint8_t opcode, std::uint8_t minor, std::string_view data);
  /// The next packet, if it is there. unavailable: the server is gone.
  Result<std::optional<std::string>> receive();
  /// The next reply; events before it are dropped. Waits.
  Result<std::string> reply();

 private:
  X11Connection(Descriptor socket, std::chrono::milliseconds within)
      : socket_(std::move(socket)), within_(within) {}
  Result<void> set_up(std::string_view cookie);
  Result<void> write_all(std::string_view bytes);
  Result<std::string> read_exactly(std::size_t n);
  Result<void> wait_readable();

  Descriptor socket_;
  std::chrono::milliseconds within_;
  std::uint32_t root_ = 0;
  X11Packets packets_;
};

/// Fields of requests and packets, in this machine's byte order, as the connection's first byte asks for.
template <class T>
void x11_put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <class T>
T x11_get(std::string_view from, std::size_t at) {
  T value{};
  SPATTER_ASSERT(at + sizeof value <= from.size());
  from.copy(reinterpret_cast<char*>(&value), sizeof value, at);
  return value;
}

}  // namespace spatter::cycles
