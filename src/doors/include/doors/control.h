// The control socket: how the command line, and every later door outside the server's process, talks
// to a running server. A Unix stream socket in the drive's folder, open to the drive's user only.
//
// Frames: 4 bytes big-endian length, 1 byte kind, then the bytes. A `message` frame holds one
// MessagePack map; a `data` frame raw file bytes (at most 1 MiB). File descriptors travel beside
// the first byte of a message frame, so that a server reads and writes files the caller opened
// itself, with the caller's rights and without the bytes crossing the socket.
//
// A conversation: the caller sends {"op": name, ...}; the server answers any number of
// {"event": ...} messages and data frames, then one {"ok": true, ...} or {"ok": false, "code": n,
// "error": text}. One request at a time on a connection. While the network only mends, a final answer has
// also a "notice": a line for whoever asked.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace spatter::doors {

using Json = nlohmann::json;

inline constexpr std::size_t control_frame_bytes_max = 16 << 20;
inline constexpr std::size_t control_data_bytes_max = 1 << 20;
inline constexpr std::size_t control_fds_max = 4;

enum class FrameKind : std::uint8_t { message = 0, data = 1 };

/// An open file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

/// Names and paths may hold any bytes, which JSON text may not: they travel as binary.
Json to_binary(std::string_view raw);
/// A binary (or, from careful callers, text) value as raw bytes; an error names `key` when missing.
Result<std::string> binary_at(const Json& message, const char* key);

/// What a frame's bytes mean; refuses everything that isn't one well-formed map.
Result<Json> parse_message(ByteView bytes);
Bytes encode_message(const Json& message);

/// {"ok": false, ...} from an Error, and back.
Json error_message(const Error& error);
Error error_from(const Json& message);

/// Where the socket of a drive is, as an address that fits sockaddr_un whatever the drive's path.
Result<Descriptor> connect_control(const std::string& drive);
Result<Descriptor> listen_control(const std::string& drive);

/// The caller's end: blocking, one thread at a time.
class ControlClient {
 public:
  static Result<ControlClient> connect(const std::string& drive);

  Result<void> send(const Json& message, const std::vector<int>& fds = {});
  Result<void> send_data(ByteView bytes);

  struct Frame {
    FrameKind kind = FrameKind::message;
    Json message;
    Bytes data;
  };
  /// The next frame. Errc::unavailable when the server has gone.
  Result<Frame> receive();

  /// send, then receive until the final answer; `on_event` gets what comes before it.
  Result<Json> request(const Json& message, const std::vector<int>& fds = {},
                       const std::function<Result<void>(Frame)>& on_event = {});
  /// True when the last request got no final answer: this connection is of no use any more.
  bool is_lost() const { return lost_; }
  /// Called with the notice of a final answer, if it has one; the answer comes without it.
  std::function<void(std::string)> on_notice;

 private:
  explicit ControlClient(Descriptor socket) : socket_(std::move(socket)) {}
  Descriptor socket_;
  bool lost_ = false;
};

}  // namespace spatter::doors
