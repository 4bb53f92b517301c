#include "control_connection.h"

#include <sys/socket.h>

#include <asio/buffer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <cerrno>

namespace spatter::doors {

namespace {

constexpr std::size_t message_bytes_max = 1 << 20;  ///< what a caller may send as one message

void take_descriptors(msghdr& message, std::vector<Descriptor>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

/// One non-blocking recvmsg: bytes read, 0 at the end, -1 when nothing is there yet, -2 on error.
ssize_t receive_some(int socket, MutableBytes out, std::vector<Descriptor>* fds) {
  iovec piece{out.data(), out.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * control_fds_max)];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? -1 : -2;
  std::vector<Descriptor> unwanted;
  take_descriptors(message, fds ? *fds : unwanted);
  return n;
}

}  // namespace

Task<Result<void>> ControlConnection::read_exactly(MutableBytes out, std::vector<Descriptor>* fds) {
  while (!out.empty()) {
    ssize_t n = receive_some(socket_.native_handle(), out, fds);
    if (n == -1) {
      co_await socket_.async_wait(asio::socket_base::wait_read, asio::use_awaitable);
      continue;
    }
    if (n <= 0) co_return fail(Errc::unavailable, "the caller has hung up");
    out = out.subspan(static_cast<std::size_t>(n));
  }
  co_return Result<void>{};
}

Task<Result<ControlConnection::Frame>> ControlConnection::receive() {
  Frame frame;
  std::array<std::uint8_t, 5> header;
  CO_TRY_VOID(co_await read_exactly(header, &frame.fds));
  std::size_t size = std::size_t{header[0]} << 24 | std::size_t{header[1]} << 16 | std::size_t{header[2]} << 8 | header[3];
  if (header[4] > 1) co_return fail(Errc::invalid, "control frame of unknown kind {}", header[4]);
  frame.kind = static_cast<FrameKind>(header[4]);
  std::size_t most = frame.kind == FrameKind::data ? control_data_bytes_max : message_bytes_max;
  if (size > most) co_return fail(Errc::invalid, "control frame of {} bytes; {} are allowed", size, most);
  if (frame.fds.size() > control_fds_max) co_return fail(Errc::invalid, "too many descriptors in one message");
  frame.data = Buffer::allocate(size);
  CO_TRY_VOID(co_await read_exactly(frame.data.mutable_view(), nullptr));
  if (frame.kind == FrameKind::message) {
    CO_TRY(frame.message, parse_message(frame.data));
  }
  co_return frame;
}

Task<Result<void>> ControlConnection::write_frame(FrameKind kind, ByteView bytes) {
  auto n = static_cast<std::uint32_t>(bytes.size());
  std::array<std::uint8_t, 5> header = {static_cast<std::uint8_t>(n >> 24), static_cast<std::uint8_t>(n >> 16),
                                        static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n),
                                        static_cast<std::uint8_t>(kind)};
  std::array<asio::const_buffer, 2> pieces = {asio::buffer(header), asio::buffer(bytes.data(), bytes.size())};
  try {
    co_await asio::async_write(socket_, pieces, asio::use_awaitable);
  } catch (const asio::system_error& error) {
    if (error.code() == asio::error::operation_aborted) throw;
    co_return fail(Errc::unavailable, "the caller has hung up");
  }
  co_return Result<void>{};
}

Task<Result<void>> ControlConnection::send(Json message) {
  Bytes bytes = encode_message(message);
  co_return co_await write_frame(FrameKind::message, bytes);
}

Task<Result<void>> ControlConnection::send_data(Buffer bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += control_data_bytes_max) {
    Buffer piece = bytes.slice(at, std::min(control_data_bytes_max, bytes.size() - at));
    CO_TRY_VOID(co_await write_frame(FrameKind::data, piece));
  }
  co_return Result<void>{};
}

void ControlConnection::close() {
  asio::error_code ignored;
  socket_.close(ignored);
}

}  // namespace spatter::doors
