// Calls about work, to other servers and to this one itself: an asker's own server may compute too.
#pragma once

#include <map>
#include <memory>

#include "net/rpc.h"
#include "trust/certificate.h"

namespace spatter {

/// All calls on the executor. `rpc` and `identity` outlive it, and it outlives the desks.
class WorkWire {
 public:
  WorkWire(Rpc& rpc, const Identity& identity) : rpc_(rpc), identity_(identity) {}
  WorkWire(const WorkWire&) = delete;

  /// A handler that begins while `desk` lives; afterwards callers hear that the server is stopping.
  template <class State>
  void serve(std::uint16_t method, std::weak_ptr<State> desk, Task<Result<RpcReply>> (State::*handle)(Caller, RpcRequest)) {
    put(method, [desk, handle](Caller caller, RpcRequest request) {
      return run<State>(desk.lock(), handle, std::move(caller), std::move(request));
    });
  }
  Task<Result<RpcReply>> call(ServerId server, RpcRequest request, CallOptions options = {});

 private:
  template <class State>
  static Task<Result<RpcReply>> run(std::shared_ptr<State> state,
                                    Task<Result<RpcReply>> (State::*handle)(Caller, RpcRequest), Caller caller,
                                    RpcRequest request) {
    if (!state || state->stopping()) co_return fail(Errc::unavailable, "this server is stopping");
    co_return co_await (state.get()->*handle)(std::move(caller), std::move(request));
  }
  void put(std::uint16_t method, Rpc::Handler handler);

  Rpc& rpc_;
  const Identity& identity_;
  std::map<std::uint16_t, Rpc::Handler> handlers_;
};

}  // namespace spatter
