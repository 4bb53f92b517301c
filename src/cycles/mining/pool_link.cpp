#include "cycles/pool_link.h"

#include <algorithm>
#include <array>
#include <asio/connect.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <vector>

#include "base/sync.h"

namespace spatter::mining {
namespace {

using asio::ip::tcp;

constexpr auto with_error = asio::experimental::as_tuple(asio::use_awaitable);

class TcpLink final : public PoolLink {
 public:
  TcpLink(tcp::socket socket, std::string name) : socket_(std::move(socket)), name_(std::move(name)) {
    asio::error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  }

  Task<Result<std::string>> receive() override {
    std::array<char, 8192> buffer;
    const auto [error, size] = co_await socket_.async_read_some(asio::buffer(buffer), with_error);
    if (error == asio::error::operation_aborted) throw asio::system_error(error);
    if (error == asio::error::eof)
      co_return fail(Errc::unavailable, "{}: the pool closed the connection", name_);
    if (error) co_return fail(Errc::unavailable, "{}: {}", name_, error.message());
    co_return std::string(buffer.data(), size);
  }

  Task<Result<void>> send(std::string bytes) override {
    const auto [error, size] = co_await asio::async_write(socket_, asio::buffer(bytes), with_error);
    if (error == asio::error::operation_aborted) throw asio::system_error(error);
    if (error) co_return fail(Errc::unavailable, "{}: {}", name_, error.message());
    co_return Result<void>{};
  }

 private:
  tcp::socket socket_;
  std::string name_;
};

/// asio cannot give up resolving a name; whoever waits here can, and the answer is then dropped.
struct Resolution {
  explicit Resolution(asio::any_io_executor executor) : resolver(executor), done(executor) {}
  tcp::resolver resolver;
  asio::error_code error;
  std::vector<tcp::endpoint> endpoints;
  Event done;
};

Task<Result<std::vector<tcp::endpoint>>> resolve(asio::any_io_executor executor, Address address) {
  asio::error_code not_literal;
  const auto literal = asio::ip::make_address(address.host, not_literal);
  if (!not_literal) co_return std::vector{tcp::endpoint(literal, address.port)};
  auto resolution = std::make_shared<Resolution>(executor);
  resolution->resolver.async_resolve(
      address.host, std::to_string(address.port), tcp::resolver::numeric_service,
      [resolution](asio::error_code error, const tcp::resolver::results_type& results) {
        resolution->error = error;
        for (const auto& entry : results) resolution->endpoints.push_back(entry.endpoint());
        resolution->done.set();
      });
  co_await resolution->done.wait();
  if (resolution->error)
    co_return fail(Errc::unavailable, "{}: {}", address.text(), resolution->error.message());
  co_return resolution->endpoints;
}

Task<Result<std::unique_ptr<PoolLink>>> dial(asio::any_io_executor executor, Address address) {
  CO_TRY(auto endpoints, co_await resolve(executor, address));
  tcp::socket socket(executor);
  const auto [error, connected] = co_await asio::async_connect(socket, endpoints, with_error);
  if (error == asio::error::operation_aborted) throw asio::system_error(error);
  if (error) co_return fail(Errc::unavailable, "{}: {}", address.text(), error.message());
  co_return std::make_unique<TcpLink>(std::move(socket), address.text());
}

}  // namespace

PoolDial tcp_pool_dial(asio::any_io_executor executor) {
  return [executor](Address address) { return dial(executor, std::move(address)); };
}

Task<void> awake_sleep(Runtime& runtime, Duration duration) {
  constexpr Duration step = std::chrono::milliseconds(500), step_counts_max = std::chrono::seconds(1);
  while (duration > Duration::zero()) {
    const TimePoint before = runtime.now();
    co_await runtime.sleep(std::min(duration, step));
    duration -= std::min(runtime.now() - before, step_counts_max);
  }
}

}  // namespace spatter::mining
