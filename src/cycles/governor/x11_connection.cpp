#include "x11_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <bit>
#include <cerrno>
#include <fstream>
#include <iterator>

namespace spatter::cycles {

namespace {

constexpr std::size_t header = 32;
constexpr std::size_t longest_packet = 64 * 1024;
constexpr std::string_view cookie_name = "MIT-MAGIC-COOKIE-1";

std::string padded(std::string_view text) {
  std::string bytes(text);
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}

}  // namespace

std::string x11_cookie(std::string_view file, std::string_view display_number) {
  std::string any;
  const auto number = [&](std::size_t& value) {
    if (file.size() < 2) return false;
    value = static_cast<unsigned char>(file[0]) * 256U + static_cast<unsigned char>(file[1]);
    file.remove_prefix(2);
    return true;
  };
  for (std::size_t family = 0; number(family);) {
    std::string_view fields[4];  // address, display number, name, data
    for (auto& field : fields) {
      std::size_t size = 0;
      if (!number(size) || size > file.size()) return any;
      field = file.substr(0, size);
      file.remove_prefix(size);
    }
    if (fields[2] != cookie_name) continue;
    if (fields[1] == display_number) return std::string(fields[3]);
    if (fields[1].empty()) any = fields[3];
  }
  return any;
}

Result<std::string> x11_display_number(std::string_view display) {
  const auto colon = display.find(':');
  const std::string_view host = display.substr(0, colon);
  if (colon == display.npos || (!host.empty() && host != "unix"))
    return fail(Errc::invalid, "display {} is not one of this machine", display);
  const std::string_view number = display.substr(colon + 1, display.find('.', colon) - colon - 1);
  if (number.empty() || number.size() > 5 || number.find_first_not_of("0123456789") != number.npos)
    return fail(Errc::invalid, "display {} has no number", display);
  return std::string(number);
}

Result<std::optional<std::string>> X11Packets::next() {
  if (bytes_.size() < header) return std::nullopt;
  const auto type = static_cast<unsigned char>(bytes_[0]) & 0x7f;
  std::size_t size = header;
  if (type == 1 || type == 35) {  // a reply, or an event of an extension that may be longer
    const auto more = x11_get<std::uint32_t>(bytes_, 4);
    if (more > longest_packet / 4) return fail(Errc::corrupt, "the X server sent a packet of {} words", more);
    size += std::size_t{more} * 4;
  }
  if (bytes_.size() < size) return std::nullopt;
  std::string packet = bytes_.substr(0, size);
  bytes_.erase(0, size);
  return packet;
}

Result<std::unique_ptr<X11Connection>> X11Connection::open(const std::string& display,
                                                           const std::string& authority_path,
                                                           std::chrono::milliseconds within,
                                                           const std::string& folder) {
  TRY(const std::string number, x11_display_number(display));
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail(from_errno(errno, "make a socket"));
  sockaddr_un address{.sun_family = AF_UNIX};
  const std::string path = folder + "/X" + number;
  if (path.size() >= sizeof address.sun_path) return fail(Errc::invalid, "{} is too long a path", path);
  path.copy(address.sun_path, path.size());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(from_errno(errno, "connect to display " + display));
  std::ifstream file(authority_path, std::ios::binary);
  const std::string authority((std::istreambuf_iterator<char>(file)), {});
  std::unique_ptr<X11Connection> connection(new X11Connection(std::move(socket), within));
  if (auto ready = connection->set_up(x11_cookie(authority, number)); !ready)
    return fail(ready.error().during("display " + display));
  return connection;
}

Result<void> X11Connection::set_up(std::string_view cookie) {
  std::string hello;
  hello += std::endian::native == std::endian::little ? 'l' : 'B';
  hello += '\0';
  x11_put<std::uint16_t>(hello, 11);
  x11_put<std::uint16_t>(hello, 0);
  x11_put<std::uint16_t>(hello, cookie.empty() ? 0 : cookie_name.size());
  x11_put(hello, static_cast<std::uint16_t>(cookie.size()));
  x11_put<std::uint16_t>(hello, 0);
  if (!cookie.empty()) hello += padded(cookie_name) + padded(cookie);
  TRY_VOID(write_all(hello));
  TRY(const std::string head, read_exactly(8));
  TRY(const std::string body, read_exactly(std::size_t{x11_get<std::uint16_t>(head, 6)} * 4));
  if (head[0] != 1) {
    const auto length = std::min<std::size_t>(static_cast<unsigned char>(head[1]), body.size());
    return fail(Errc::denied, "the server refused: {}", body.substr(0, length));
  }
  // Fixed part, vendor's name, formats of 8 bytes each, then the first screen, which begins with its root window.
  if (body.size() < 32) return fail(Errc::corrupt, "the server's greeting is too short");
  const std::size_t vendor = (x11_get<std::uint16_t>(body, 16) + 3U) / 4 * 4;
  const std::size_t screens = 32 + vendor + 8U * static_cast<unsigned char>(body[21]);
  if (body.size() < screens + 4) return fail(Errc::corrupt, "the server's greeting names no screen");
  root_ = x11_get<std::uint32_t>(body, screens);
  return {};
}

Result<std::uint8_t> X11Connection::extension(std::string_view name) {
  std::string data;
  x11_put(data, static_cast<std::uint16_t>(name.size()));
  x11_put<std::uint16_t>(data, 0);
  constexpr std::uint8_t query_extension = 98;
  TRY_VOID(send(query_extension, 0, data + padded(name)));
  TRY(const std::string answer, reply());
  return answer[8] ? static_cast<std::uint8_t>(answer[9]) : std::uint8_t{0};
}

Result<void> X11Connection::send(std::uint8_t opcode, std::uint8_t minor, std::string_view data) {
  SPATTER_ASSERT(data.size() % 4 == 0);
  std::string request;
  x11_put(request, opcode);
  x11_put(request, minor);
  x11_put(request, static_cast<std::uint16_t>(1 + data.size() / 4));
  return write_all(request.append(data));
}

Result<std::optional<std::string>> X11Connection::receive() {
  char buffer[4096];
  while (true) {
    TRY(auto packet, packets_.next());
    if (packet) return packet;
    const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (n > 0) packets_.add({buffer, static_cast<std::size_t>(n)});
    else if (n < 0 && errno == EAGAIN) return std::nullopt;
    else if (n == 0 || errno != EINTR) return fail(Errc::unavailable, "the X server is gone");
  }
}

Result<std::string> X11Connection::reply() {
  while (true) {
    TRY(auto packet, receive());
    if (!packet) TRY_VOID(wait_readable());
    else if ((*packet)[0] == 1) return std::move(*packet);
    else if ((*packet)[0] == 0)
      return fail(Errc::unavailable, "the X server reports error {}", static_cast<unsigned char>((*packet)[1]));
  }
}

/// Requests are a few dozen bytes: what the socket does not take at once, a server that hangs will not read later.
Result<void> X11Connection::write_all(std::string_view bytes) {
  const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n < 0 || static_cast<std::size_t>(n) != bytes.size())
    return fail(Errc::unavailable, "the X server does not read");
  return {};
}

Result<std::string> X11Connection::read_exactly(std::size_t n) {
  std::string bytes(n, '\0');
  for (std::size_t have = 0; have < n;) {
    const ssize_t got = ::recv(socket_.get(), bytes.data() + have, n - have, 0);
    if (got > 0) have += static_cast<std::size_t>(got);
    else if (got < 0 && errno == EAGAIN) TRY_VOID(wait_readable());
    else if (got == 0 || errno != EINTR) return fail(Errc::unavailable, "the X server hung up");
  }
  return bytes;
}

Result<void> X11Connection::wait_readable() {
  pollfd readable{socket_.get(), POLLIN, 0};
  if (::poll(&readable, 1, static_cast<int>(within_.count())) == 0)
    return fail(Errc::timeout, "the X server does not answer");
  return {};
}

}  // namespace spatter::cycles
