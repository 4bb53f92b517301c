#include "doors/control_server.h"

#include <asio/local/stream_protocol.hpp>
#include <asio/redirect_error.hpp>

#include "control_requests.h"

namespace spatter::doors {

using asio::local::stream_protocol;

struct ControlServer::State {
  State(Runtime& runtime, Server& server, Descriptor socket)
      : runtime(runtime), server(server), acceptor(runtime.executor()), group(runtime.executor()) {
    acceptor.assign(stream_protocol(), ::dup(socket.get()));
  }

  Runtime& runtime;
  Server& server;
  stream_protocol::acceptor acceptor;
  TaskGroup group;

  /// One caller, request after request, until it hangs up or breaks the protocol.
  static Task<void> converse(State* state, stream_protocol::socket socket) {
    ControlConnection connection(std::move(socket));
    for (;;) {
      auto frame = co_await connection.receive();
      if (!frame) {
        if (frame.error().code == Errc::invalid) {
          Json refusal = error_message(frame.error());
          co_await connection.send(std::move(refusal));
        }
        break;
      }
      if (frame->kind != FrameKind::message) continue;  // left over from an upload that was refused
      auto answer = co_await answer_request(state->runtime, state->server, connection, std::move(*frame));
      Json reply = answer ? std::move(*answer) : error_message(answer.error());
      if (answer) reply["ok"] = true;
      if (auto notice = state->server.mode_notice(); !notice.empty()) reply["notice"] = std::move(notice);
      auto sent = co_await connection.send(std::move(reply));
      if (!sent) break;
    }
    connection.close();
  }

  static Task<void> accept_all(State* state) {
    for (;;) {
      asio::error_code error;
      auto socket = co_await state->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // out of descriptors, say: others will close some
        state->runtime.log().warning("control socket: {}", error.message());
        co_await state->runtime.sleep(std::chrono::milliseconds(100));
        continue;
      }
      state->group.spawn(converse(state, std::move(socket)));
    }
  }
};

ControlServer::ControlServer(Runtime& runtime, Server& server, Descriptor socket)
    : state_(std::make_unique<State>(runtime, server, std::move(socket))) {}

ControlServer::~ControlServer() = default;

void ControlServer::start() { state_->group.spawn(State::accept_all(state_.get())); }

Task<void> ControlServer::stop() {
  co_await state_->group.stop();
  asio::error_code ignored;
  state_->acceptor.close(ignored);
}

}  // namespace spatter::doors
