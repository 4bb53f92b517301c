// The server's end of one control conversation (doors/control.h), on the server's executor.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/local/stream_protocol.hpp>

#include "base/task.h"
#include "doors/control.h"

namespace spatter::doors {

class ControlConnection {
 public:
  explicit ControlConnection(asio::local::stream_protocol::socket socket) : socket_(std::move(socket)) {}

  struct Frame {
    FrameKind kind = FrameKind::message;
    Json message;
    Buffer data;
    std::vector<Descriptor> fds;
  };
  /// The next frame; Errc::unavailable when the caller has hung up. Descriptors beyond
  /// control_fds_max, and frames over control_frame_bytes_max, are errors.
  Task<Result<Frame>> receive();
  Task<Result<void>> send(Json message);
  Task<Result<void>> send_data(Buffer bytes);
  void close();

 private:
  Task<Result<void>> read_exactly(MutableBytes out, std::vector<Descriptor>* fds);
  Task<Result<void>> write_frame(FrameKind kind, ByteView bytes);
  asio::local::stream_protocol::socket socket_;
};

}  // namespace spatter::doors
