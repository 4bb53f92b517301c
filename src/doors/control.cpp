#include "doors/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "base/shallow_json.h"

namespace spatter::doors {

namespace {

constexpr const char* socket_name = "control.sock";

/// sockaddr_un holds 107 characters; going through a descriptor of the folder makes any path fit.
Result<sockaddr_un> address_in(const Descriptor& folder) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto path = fmt::format("/proc/self/fd/{}/{}", folder.get(), socket_name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<Descriptor> open_folder(const std::string& drive) {
  Descriptor folder(::open(drive.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) {
    if (errno == ENOENT)
      return fail(Errc::not_found, "there is no drive at {}: make one with 'spatter init' or 'spatter join'", drive);
    return fail(from_errno(errno, "open drive " + drive));
  }
  return folder;
}

Result<void> write_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail(Errc::unavailable, "the server has gone away");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> read_all(int fd, MutableBytes out) {
  while (!out.empty()) {
    ssize_t n = ::recv(fd, out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Errc::unavailable, "the server has gone away");
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

std::array<std::uint8_t, 5> frame_header(FrameKind kind, std::size_t size) {
  auto n = static_cast<std::uint32_t>(size);
  return {static_cast<std::uint8_t>(n >> 24), static_cast<std::uint8_t>(n >> 16),
          static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n),
          static_cast<std::uint8_t>(kind)};
}

/// Header and body go together, so that the server wakes once; the first bytes carry the
/// descriptors.
Result<void> send_frame(int fd, ByteView header, ByteView body, const std::vector<int>& fds) {
  SPATTER_ASSERT(fds.size() <= control_fds_max);
  iovec pieces[] = {{const_cast<std::uint8_t*>(header.data()), header.size()},
                    {const_cast<std::uint8_t*>(body.data()), body.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * control_fds_max)] = {};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t n;
  do n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return fail(Errc::unavailable, "the server has gone away");
  const auto sent = static_cast<std::size_t>(n);
  if (sent < header.size()) TRY_VOID(write_all(fd, header.subspan(sent)));
  return write_all(fd, body.subspan(std::max(sent, header.size()) - header.size()));
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Descriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Json to_binary(std::string_view raw) { return Json::binary(to_bytes(as_bytes(raw))); }

Result<std::string> binary_at(const Json& message, const char* key) {
  auto at = message.find(key);
  if (at == message.end()) return fail(Errc::invalid, "the request has no '{}'", key);
  if (at->is_binary()) return to_string(ByteView(at->get_binary()));
  if (at->is_string()) return at->get<std::string>();
  return fail(Errc::invalid, "'{}' of the request is neither bytes nor text", key);
}

namespace {

constexpr int message_depth_max = 8;

}  // namespace

Result<Json> parse_message(ByteView bytes) {
  Json message;
  ShallowJson<message_depth_max> parser(message);
  bool whole = Json::sax_parse(bytes.begin(), bytes.end(), &parser, Json::input_format_t::msgpack);
  if (!whole || !message.is_object())
    return fail(Errc::invalid, "not a well-formed control message ({} bytes)", bytes.size());
  return message;
}

Bytes encode_message(const Json& message) { return Json::to_msgpack(message); }

Json error_message(const Error& error) {
  return {{"ok", false}, {"code", static_cast<int>(error.code)}, {"error", to_binary(error.message)}};
}

Error error_from(const Json& message) {
  auto text = binary_at(message, "error");
  auto code = message.value("code", static_cast<int>(Errc::invalid));
  return {static_cast<Errc>(code), text ? *text : "the server refused without saying why"};
}

Result<Descriptor> connect_control(const std::string& drive) {
  TRY(auto folder, open_folder(drive));
  TRY(auto address, address_in(folder));
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail(from_errno(errno, "make a socket"));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED)
      return fail(Errc::unavailable, "no server is running on the drive {}: start it with 'spatter up'", drive);
    return fail(from_errno(errno, "reach the server of " + drive));
  }
  return socket;
}

Result<Descriptor> listen_control(const std::string& drive) {
  TRY(auto folder, open_folder(drive));
  TRY(auto address, address_in(folder));
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail(from_errno(errno, "make a socket"));
  // The drive's lock is held, so a socket that is there belongs to a server that died.
  ::unlink(address.sun_path);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(address.sun_path, 0600) != 0 || ::listen(socket.get(), 64) != 0)
    return fail(from_errno(errno, "make the control socket of " + drive));
  return socket;
}

Result<ControlClient> ControlClient::connect(const std::string& drive) {
  TRY(auto socket, connect_control(drive));
  return ControlClient(std::move(socket));
}

Result<void> ControlClient::send(const Json& message, const std::vector<int>& fds) {
  auto body = encode_message(message);
  auto header = frame_header(FrameKind::message, body.size());
  return send_frame(socket_.get(), header, body, fds);
}

Result<void> ControlClient::send_data(ByteView bytes) {
  SPATTER_ASSERT(bytes.size() <= control_data_bytes_max);
  auto header = frame_header(FrameKind::data, bytes.size());
  return send_frame(socket_.get(), header, bytes, {});
}

Result<ControlClient::Frame> ControlClient::receive() {
  std::array<std::uint8_t, 5> header;
  TRY_VOID(read_all(socket_.get(), header));
  std::size_t size = std::size_t{header[0]} << 24 | header[1] << 16 | header[2] << 8 | header[3];
  if (size > control_frame_bytes_max || header[4] > 1)
    return fail(Errc::invalid, "the server sent a malformed control frame");
  Frame frame;
  frame.kind = static_cast<FrameKind>(header[4]);
  frame.data.resize(size);
  TRY_VOID(read_all(socket_.get(), frame.data));
  if (frame.kind == FrameKind::message) {
    TRY(frame.message, parse_message(frame.data));
    frame.data.clear();
  }
  return frame;
}

Result<Json> ControlClient::request(const Json& message, const std::vector<int>& fds,
                                    const std::function<Result<void>(Frame)>& on_event) {
  lost_ = true;
  TRY_VOID(send(message, fds));
  for (;;) {
    TRY(auto frame, receive());
    if (frame.kind == FrameKind::message && frame.message.contains("ok")) {
      lost_ = false;
      if (const auto notice = frame.message.find("notice"); notice != frame.message.end()) {
        if (on_notice && notice->is_string()) on_notice(notice->get<std::string>());
        frame.message.erase("notice");
      }
      if (frame.message["ok"] == true) return std::move(frame.message);
      return fail(error_from(frame.message));
    }
    if (on_event) TRY_VOID(on_event(std::move(frame)));
  }
}

}  // namespace spatter::doors
