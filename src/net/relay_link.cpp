#include "relay_link.h"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

namespace spatter {
namespace {

constexpr std::string_view magic = "SPATRLY1";
constexpr std::size_t piece_bytes = 64 << 10;
/// Sessions ping each other every few seconds: a link without a byte for so long is dead.
constexpr Duration silence_max = std::chrono::minutes(1);
/// For the rest of what the second end had to say after the first has ended.
constexpr Duration linger = std::chrono::seconds(5);

}  // namespace

Bytes relay_opening(const RelayTicket& ticket) {
  Bytes bytes = to_bytes(as_bytes(magic));
  bytes.insert(bytes.end(), ticket.bytes.begin(), ticket.bytes.end());
  return bytes;
}

Result<RelayTicket> parse_relay_opening(ByteView bytes) {
  if (bytes.size() != relay_opening_bytes || as_text(bytes.first(magic.size())) != magic)
    return fail(Errc::invalid, "neither TLS nor a relay's ticket");
  return RelayTicket::from(bytes.subspan(magic.size()));
}

RelayLink::RelayLink(Runtime& runtime, IoThread& io, std::array<RelayTicket, 2> tickets,
                     ByteRates rates, Over over)
    : runtime_(runtime),
      io_(io),
      tickets_(tickets),
      rates_(std::move(rates)),
      over_(std::move(over)),
      ends_{End(io.context), End(io.context)},
      timer_(io.context) {}

void RelayLink::begin(Duration timeout) {
  if (over_) watch(timeout);
}

/// Ends the link when nothing has passed in `timeout`.
void RelayLink::watch(Duration timeout) {
  timer_.expires_after(timeout);
  timer_.async_wait([self = shared_from_this()](asio::error_code error) {
    if (error || !self->over_) return;
    if (self->carried_ == self->carried_before_) return self->end();
    self->carried_before_ = self->carried_;
    self->watch(silence_max);
  });
}

void RelayLink::attach(unsigned side, asio::ip::tcp::socket socket, std::shared_ptr<void> held) {
  if (!over_) return;
  End& end = ends_[side];
  SPATTER_ASSERT(!end.there);
  end.socket = std::move(socket);
  end.held = std::move(held);
  end.there = true;
  asio::error_code ignored;
  end.socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (!ends_[1 - side].there) return;
  for (unsigned from = 0; from < 2; ++from)
    asio::co_spawn(io_.context, pump(shared_from_this(), from), asio::detached);
}

asio::awaitable<void> RelayLink::pump(std::shared_ptr<RelayLink> self, unsigned from) {
  End& in = self->ends_[from];
  End& out = self->ends_[1 - from];
  Bytes buffer(piece_bytes);
  asio::steady_timer pause(self->io_.context);
  asio::error_code error;
  auto result = [&error] { return asio::redirect_error(asio::use_awaitable, error); };
  for (;;) {
    const std::size_t count = co_await in.socket.async_read_some(asio::buffer(buffer), result());
    if (error) break;
    const Duration wait = take_all(self->rates_, count, self->runtime_.now());
    if (wait > Duration::zero()) {
      pause.expires_after(wait);
      co_await pause.async_wait(result());
    }
    co_await asio::async_write(out.socket, asio::buffer(buffer, count), result());
    if (error) break;
    self->carried_ += count;
  }
  in.done = true;
  if (out.done || error != asio::error::eof) co_return self->end();
  // The other end learns of it behind what is still under way, and may finish its own sentence.
  out.socket.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  self->carried_before_ = self->carried_;
  self->watch(linger);
}

void RelayLink::end() {
  auto over = std::exchange(over_, nullptr);
  if (!over) return;
  timer_.cancel();
  asio::error_code ignored;
  for (End& end : ends_) {
    end.socket.close(ignored);
    end.held.reset();
  }
  over(carried_);
}

}  // namespace spatter
