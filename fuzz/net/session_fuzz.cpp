// A peer that has greeted properly and then says anything at all, while calls run both ways: the
// worst that may happen is that its connection ends.
#include <fuzzer/FuzzedDataProvider.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <filesystem>

#include "base/real_runtime.h"
#include "net/methods.h"
#include "net/rpc.h"
#include "pipe_transport.h"
#include "rpc_frame.h"

using namespace spatter;
using Header = wire::RpcHeader;

namespace {

constexpr std::uint16_t echo = 900;
constexpr std::uint16_t hang = 901;

RealRuntime& runtime() {
  static auto* made = [] {
    RealRuntime::Options options;
    options.root = std::filesystem::temp_directory_path().string();
    options.log_sink = [](LogLevel, std::string_view) {};
    options.blocking_threads = 1;
    return RealRuntime::open(std::move(options))->release();
  }();
  return *made;
}

Task<Result<RpcReply>> echo_back(Caller, RpcRequest request) {
  co_return RpcReply{std::move(request.body), std::move(request.payload)};
}
Task<Result<RpcReply>> hang_on(Caller, RpcRequest) {
  Event never(runtime().executor());
  co_await never.wait();
  co_return RpcReply{};
}

std::vector<Buffer> next_frame(FuzzedDataProvider& data) {
  if (data.ConsumeIntegralInRange(0, 7) == 0) {
    auto raw = data.ConsumeBytes<std::uint8_t>(data.ConsumeIntegralInRange(1, 200));
    if (raw.empty()) raw.push_back(0);
    return {Buffer::take(std::move(raw))};
  }
  Header header;
  header.set_kind(static_cast<Header::Kind>(data.ConsumeIntegralInRange(0, 10)));
  header.set_call(data.ConsumeIntegralInRange(0, 9));
  header.set_method(data.PickValueInArray<std::uint32_t>({echo, hang, method::join, 999, 70000}));
  header.set_deadline_ms(data.PickValueInArray<std::uint32_t>({0, 1, 10000, 0xffffffff}));
  header.set_credit(data.PickValueInArray<std::uint64_t>({0, 200000, 300000, 1 << 20, ~0ull}));
  header.set_bulk(data.ConsumeBool());
  std::size_t payload = 0;
  if (header.kind() == Header::REQUEST || header.kind() == Header::REPLY) {
    header.set_payload_bytes(data.PickValueInArray<std::uint64_t>({0, 100, 200000, 8 << 20, ~0ull}));
    if (header.payload_bytes() <= rpc_inline_bytes_max) payload = header.payload_bytes();
  }
  if (header.kind() == Header::DATA)
    payload = data.PickValueInArray<std::size_t>({1, 100000, 100, 300000});
  header.set_error_code(data.ConsumeIntegralInRange(0, 20));
  return encode_frame(header, payload ? Buffer::allocate(payload) : Buffer{});
}

Task<void> misbehave(std::shared_ptr<Connection> connection, Rpc& rpc, ServerId self,
                     FuzzedDataProvider& data) {
  Header hello;
  hello.set_kind(Header::HELLO);
  hello.set_protocol(rpc_protocol_version);
  hello.set_network(rpc.network().raw());
  std::vector<std::vector<Buffer>> frames;
  frames.push_back(encode_frame(hello));
  if (!co_await connection->send(std::move(frames))) co_return;
  if (!co_await connection->receive()) co_return;
  // Calls of the server's own, numbers 2, 4 and 6, for the rest of the input to answer.
  for (std::size_t payload : {0, 100, 300000})
    asio::co_spawn(runtime().executor(), rpc.call(self, {echo, "body", Buffer::allocate(payload)}),
                   asio::detached);
  while (data.remaining_bytes() > 0) {
    frames.clear();
    frames.push_back(next_frame(data));
    if (!co_await connection->send(std::move(frames))) co_return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  FuzzedDataProvider data(bytes, size);
  NetworkId network;
  network.bytes.fill(3);
  ServerId good, rogue;
  rogue.bytes.fill(9);
  PipeNetwork pipes(runtime());
  PipeTransport transport(pipes, good), rogue_transport(pipes, rogue);
  Rpc rpc(runtime(), transport, network);
  rpc.serve(echo, echo_back);
  rpc.serve(hang, hang_on);
  const Address address = *rpc.listen({"pipe", 0});
  auto connection =
      *runtime().wait_for(rogue_transport.connect(address, good, runtime().now()));
  // What the server says is swallowed, or its pipe would fill up.
  auto& from_server = *static_cast<PipeConnection&>(*connection).in;
  asio::co_spawn(runtime().executor(), misbehave(connection, rpc, rogue, data), asio::detached);
  runtime().context().restart();
  while (runtime().context().poll() > 0) {
    from_server.frames.clear();
    from_server.bytes = 0;
    from_server.changed.wake_all();
  }
  connection->close();
  runtime().wait_for(rpc.stop());
  runtime().wait_for(transport.stop());
  runtime().wait_for(rogue_transport.stop());
  runtime().context().restart();
  runtime().context().poll();
  return 0;
}
