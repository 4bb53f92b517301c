// What calls between two processes on loopback cost, beside what TLS alone costs: OpenSSL on
// blocking sockets, written in 64 KiB pieces. Both ends count: `cpu_s/GB` is of both processes.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/real_runtime.h"
#include "base/sync.h"
#include "net/rpc.h"
#include "net/tls_transport.h"
#include "tls_context.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t payload_bytes = 4 << 20;
constexpr std::size_t raw_bytes = 64 << 20;  // per iteration
constexpr std::uint16_t method_sink = 900;   // takes a payload
constexpr std::uint16_t method_source = 901; // gives one

SigningKey fixed_key(std::uint8_t number) {
  Key seed;
  seed.bytes.fill(number);
  return SigningKey::from_seed(seed);
}

NetworkId fixed_network() {
  NetworkId id;
  id.bytes.fill(7);
  return id;
}

std::unique_ptr<RealRuntime> make_runtime() {
  RealRuntime::Options options;
  options.root = std::filesystem::temp_directory_path().string();
  options.log_least = LogLevel::warning;
  return std::move(*RealRuntime::open(std::move(options)));
}

/// A child process that serves; it tells its port through a pipe and dies with us.
class Child {
 public:
  explicit Child(void (*serve)(int report)) {
    int ends[2];
    SPATTER_ASSERT(::pipe(ends) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ends[0]);
      serve(ends[1]);
      ::_exit(0);
    }
    ::close(ends[1]);
    SPATTER_ASSERT(::read(ends[0], &port_, sizeof port_) == sizeof port_);
    ::close(ends[0]);
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::uint16_t port() const { return port_; }
  double cpu_seconds() const {
    clockid_t clock;
    timespec time{};
    ::clock_getcpuclockid(pid_, &clock);
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

 private:
  pid_t pid_;
  std::uint16_t port_ = 0;
};

double own_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class CpuMeter {
 public:
  explicit CpuMeter(const Child& child) : child_(child), before_(now()) {}
  void report(benchmark::State& state, std::size_t bytes) const {
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
    state.counters["cpu_s/GB"] = (now() - before_) / (static_cast<double>(bytes) / 1e9);
  }

 private:
  double now() const { return own_cpu_seconds() + child_.cpu_seconds(); }
  const Child& child_;
  double before_;
};

// ---- TLS alone

void set_no_delay(int fd) {
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void serve_raw_tls(int report) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  SPATTER_ASSERT(::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
  SPATTER_ASSERT(::listen(listener, 1) == 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  const std::uint16_t port = ntohs(address.sin_port);
  SPATTER_ASSERT(::write(report, &port, sizeof port) == sizeof port);
  const int fd = ::accept(listener, nullptr, nullptr);
  set_no_delay(fd);
  auto context = *make_tls_context(fixed_key(1));
  PeerProof proof;
  SslPointer ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  SSL_set_app_data(ssl.get(), &proof);
  SPATTER_ASSERT(SSL_accept(ssl.get()) == 1);
  Bytes buffer(256 << 10);
  for (std::size_t got = 0;;) {
    const int count = SSL_read(ssl.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (count <= 0) return;
    got += static_cast<std::size_t>(count);
    if (got == raw_bytes) {
      got = 0;
      SSL_write(ssl.get(), "!", 1);
    }
  }
}

void raw_tls(benchmark::State& state) {
  Child child(serve_raw_tls);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(child.port());
  SPATTER_ASSERT(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  set_no_delay(fd);
  auto context = *make_tls_context(fixed_key(2));
  PeerProof proof;
  SslPointer ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  SSL_set_app_data(ssl.get(), &proof);
  SPATTER_ASSERT(SSL_connect(ssl.get()) == 1);
  const Bytes piece(64 << 10, 5);
  CpuMeter meter(child);
  std::size_t bytes = 0;
  for (auto _ : state) {
    for (std::size_t sent = 0; sent < raw_bytes;) {
      const int count = SSL_write(ssl.get(), piece.data(), static_cast<int>(piece.size()));
      SPATTER_ASSERT(count > 0);
      sent += static_cast<std::size_t>(count);
    }
    char answer;
    SPATTER_ASSERT(SSL_read(ssl.get(), &answer, 1) == 1);
    bytes += raw_bytes;
  }
  meter.report(state, bytes);
  ::close(fd);
}
BENCHMARK(raw_tls)->UseRealTime()->Unit(benchmark::kMillisecond);

// ---- calls

Task<Result<RpcReply>> sink(Caller, RpcRequest) { co_return RpcReply{}; }

void serve_rpc(int report) {
  auto runtime = make_runtime();
  auto transport = make_tls_transport(*runtime, fixed_key(1));
  Rpc rpc(*runtime, *transport, fixed_network());
  const Buffer payload = Buffer::copy_of(Bytes(payload_bytes, 5));
  rpc.serve(method_sink, sink);
  rpc.serve(method_source, [payload](Caller, RpcRequest) -> Task<Result<RpcReply>> {
    co_return RpcReply{{}, payload};
  });
  const Address address = *rpc.listen({"127.0.0.1", 0});
  SPATTER_ASSERT(::write(report, &address.port, sizeof address.port) == sizeof address.port);
  runtime->context().run();
}

/// A client connected to a serving child process.
struct Client {
  Client()
      : child(serve_rpc),
        runtime(make_runtime()),
        transport(make_tls_transport(*runtime, fixed_key(2))),
        rpc(*runtime, *transport, fixed_network()),
        server(server_id(fixed_key(1).public_key())) {
    rpc.set_addresses(server, {{"127.0.0.1", child.port()}});
    SPATTER_ASSERT(runtime->wait_for(rpc.call(server, {method_sink, {}, {}})));
  }
  ~Client() {
    runtime->wait_for(rpc.stop());
    runtime->wait_for(transport->stop());
  }
  Child child;
  std::unique_ptr<RealRuntime> runtime;
  std::unique_ptr<Transport> transport;
  Rpc rpc;
  ServerId server;
};

Task<void> calls_in_turn(Client& client, RpcRequest request, CallOptions options, int& left) {
  while (left > 0) {
    --left;
    SPATTER_ASSERT(co_await client.rpc.call(client.server, request, options));
  }
}

Task<void> calls_at_once(Client& client, RpcRequest request, CallOptions options, int calls,
                         int at_once) {
  TaskGroup group(client.runtime->executor());
  for (int i = 0; i < at_once; ++i) group.spawn(calls_in_turn(client, request, options, calls));
  co_await group.drain();
}

/// Argument: calls at a time.
void rpc_bulk_requests(benchmark::State& state) {
  Client client;
  const Buffer payload = Buffer::copy_of(Bytes(payload_bytes, 5));
  CpuMeter meter(client.child);
  std::size_t bytes = 0;
  for (auto _ : state) {
    client.runtime->wait_for(calls_at_once(client, {method_sink, {}, payload},
                                           {60s, Priority::bulk}, 16, static_cast<int>(state.range(0))));
    bytes += 16 * payload_bytes;
  }
  meter.report(state, bytes);
}
BENCHMARK(rpc_bulk_requests)->Arg(1)->Arg(4)->UseRealTime()->Unit(benchmark::kMillisecond);

void rpc_bulk_replies(benchmark::State& state) {
  Client client;
  CpuMeter meter(client.child);
  std::size_t bytes = 0;
  for (auto _ : state) {
    client.runtime->wait_for(calls_at_once(client, {method_source, {}, {}},
                                           {60s, Priority::bulk, payload_bytes}, 16,
                                           static_cast<int>(state.range(0))));
    bytes += 16 * payload_bytes;
  }
  meter.report(state, bytes);
}
BENCHMARK(rpc_bulk_replies)->Arg(1)->Arg(4)->UseRealTime()->Unit(benchmark::kMillisecond);

Task<void> time_calls(Client& client, int calls, std::vector<double>& microseconds) {
  for (int i = 0; i < calls; ++i) {
    const TimePoint begun = client.runtime->now();
    SPATTER_ASSERT(co_await client.rpc.call(client.server, {method_sink, {}, {}}));
    const std::chrono::duration<double, std::micro> took = client.runtime->now() - begun;
    microseconds.push_back(took.count());
  }
}

void rpc_small_latency(benchmark::State& state) {
  Client client;
  std::vector<double> microseconds;
  for (auto _ : state) client.runtime->wait_for(time_calls(client, 100, microseconds));
  std::ranges::sort(microseconds);
  state.counters["p50_us"] = microseconds[microseconds.size() / 2];
  state.counters["p99_us"] = microseconds[microseconds.size() * 99 / 100];
  state.SetItemsProcessed(static_cast<std::int64_t>(microseconds.size()));
}
BENCHMARK(rpc_small_latency)->UseRealTime()->Unit(benchmark::kMillisecond);

void rpc_small_at_once(benchmark::State& state) {
  Client client;
  std::int64_t calls = 0;
  for (auto _ : state) {
    client.runtime->wait_for(
        calls_at_once(client, {method_sink, {}, {}}, {}, 1000, static_cast<int>(state.range(0))));
    calls += 1000;
  }
  state.SetItemsProcessed(calls);
}
BENCHMARK(rpc_small_at_once)->Arg(32)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace spatter
