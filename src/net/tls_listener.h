// Taking connections: who comes is a TLS client, or one end of a link that this server relays.
#pragma once

#include "tls_shared.h"

namespace spatter {

/// Accepts on one port, on the first I/O thread; each connection then moves to its own.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(std::shared_ptr<Shared> shared, Transport::Accept accept);
  Result<Address> open(const Address& address);
  void close();

 private:
  friend class Arrival;
  Result<void> bind(const asio::ip::tcp::endpoint& endpoint);
  void next();
  void pause(asio::error_code error);
  void admit(IoThread& io, asio::ip::tcp::socket socket);
  void judge(const std::shared_ptr<TlsLink>& link, std::shared_ptr<Admission> admission);

  std::shared_ptr<Shared> shared_;
  Transport::Accept accept_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer pause_;
};

/// A connection of which not even the first byte is known.
class Arrival : public std::enable_shared_from_this<Arrival> {
 public:
  Arrival(std::shared_ptr<Listener> listener, IoThread& io, asio::ip::tcp::socket socket,
          std::shared_ptr<Admission> admission);
  void close();  ///< any thread

 private:
  friend class Listener;
  void look();
  void sort();
  void read_ticket();
  void hand_to_relay();
  void finish();

  std::shared_ptr<Listener> listener_;
  IoThread& io_;
  asio::ip::tcp::socket socket_;
  std::shared_ptr<Admission> admission_;
  asio::steady_timer deadline_;
  std::array<std::uint8_t, relay_opening_bytes> opening_;
};

}  // namespace spatter
