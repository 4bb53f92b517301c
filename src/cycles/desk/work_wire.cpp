#include "cycles/work_wire.h"

namespace spatter {

void WorkWire::put(std::uint16_t method, Rpc::Handler handler) {
  handlers_[method] = handler;
  rpc_.serve(method, std::move(handler));
}

Task<Result<RpcReply>> WorkWire::call(ServerId server, RpcRequest request, CallOptions options) {
  if (server != identity_.server) co_return co_await rpc_.call(server, std::move(request), options);
  const auto handler = handlers_.find(request.method);
  if (handler == handlers_.end()) co_return fail(Errc::not_found, "this server does not compute");
  const auto& key = identity_.server_key.public_key();
  co_return co_await handler->second(Caller{server, Bytes(key.begin(), key.end()), {}, false}, std::move(request));
}

}  // namespace spatter
