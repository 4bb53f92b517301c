// A relay's part in a link between two others: bytes from one TCP connection into another, both
// ways. What passes is the ends' own TLS; nothing of it is looked at.
//
// An end names its link by the first bytes of its connection, where a TLS client would have its
// first record:
//
//     "SPATRLY1" ticket (32 bytes)
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <optional>

#include "base/byte_rate.h"
#include "base/transport.h"
#include "tls_link.h"

namespace spatter {

inline constexpr std::size_t relay_opening_bytes = 40;
/// No TLS record begins with it.
inline constexpr std::uint8_t relay_opening_first = 'S';
Bytes relay_opening(const RelayTicket& ticket);
Result<RelayTicket> parse_relay_opening(ByteView bytes);

/// All on the I/O thread it was made for.
class RelayLink : public std::enable_shared_from_this<RelayLink> {
 public:
  using Over = std::function<void(std::uint64_t bytes_carried)>;
  RelayLink(Runtime& runtime, IoThread& io, std::array<RelayTicket, 2> tickets, ByteRates rates,
            Over over);

  IoThread& io() { return io_; }
  const std::array<RelayTicket, 2>& tickets() const { return tickets_; }
  /// Ends unless both ends are there within `timeout`.
  void begin(Duration timeout);
  /// `held` lives as long as the end does.
  void attach(unsigned side, asio::ip::tcp::socket socket, std::shared_ptr<void> held);
  void end();

 private:
  struct End {
    explicit End(asio::io_context& context) : socket(context) {}
    asio::ip::tcp::socket socket;
    std::shared_ptr<void> held;
    bool there = false;
    bool done = false;  ///< everything from this end has been passed on
  };
  static asio::awaitable<void> pump(std::shared_ptr<RelayLink> self, unsigned from);
  void watch(Duration timeout);

  Runtime& runtime_;
  IoThread& io_;
  const std::array<RelayTicket, 2> tickets_;
  const ByteRates rates_;
  Over over_;
  std::array<End, 2> ends_;
  asio::steady_timer timer_;
  std::uint64_t carried_ = 0;
  std::uint64_t carried_before_ = 0;
};

}  // namespace spatter
