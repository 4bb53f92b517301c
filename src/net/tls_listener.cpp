#include "tls_listener.h"

#include <asio/ip/v6_only.hpp>
#include <asio/read.hpp>

namespace spatter {

using asio::ip::tcp;

Listener::Listener(std::shared_ptr<Shared> shared, Transport::Accept accept)
    : shared_(std::move(shared)),
      accept_(std::move(accept)),
      acceptor_(shared_->threads.front()->context),
      pause_(shared_->threads.front()->context) {}

Result<Address> Listener::open(const Address& address) {
  asio::error_code error;
  tcp::resolver resolver(shared_->threads.front()->context);
  const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty())
    return fail(Errc::invalid, "listen on {}: {}", address.text(), error.message());
  auto bound = bind(found.begin()->endpoint());
  if (!bound) return fail(bound.error().during("listen on " + address.text()));
  const std::uint16_t port = acceptor_.local_endpoint(error).port();
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] { self->next(); });
  return Address{address.host, port};
}

Result<void> Listener::bind(const tcp::endpoint& endpoint) {
  asio::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  // [::] takes IPv4 too, whatever the system's default.
  if (!error && endpoint.address().is_v6())
    acceptor_.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return {};
  return fail(error == asio::error::address_in_use ? Errc::busy : Errc::io, "{}", error.message());
}

void Listener::close() {
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
    asio::error_code ignored;
    self->acceptor_.close(ignored);
    self->pause_.cancel();
  });
}

void Listener::next() {
  if (!acceptor_.is_open()) return;
  IoThread& io = shared_->next_thread();
  acceptor_.async_accept(io.context, [self = shared_from_this(), &io](asio::error_code error,
                                                                     tcp::socket socket) {
    if (!self->acceptor_.is_open() || error == asio::error::operation_aborted) return;
    if (error) return self->pause(error);  // out of descriptors, mostly
    self->admit(io, std::move(socket));
    self->next();
  });
}

void Listener::pause(asio::error_code error) {
  shared_->runtime.log().warning("accepting connections: {}; trying again in a second",
                                 error.message());
  pause_.expires_after(std::chrono::seconds(1));
  pause_.async_wait([self = shared_from_this()](asio::error_code) { self->next(); });
}

void Listener::admit(IoThread& io, tcp::socket socket) {
  const std::string host = address_of(socket).host;
  if (host.empty()) return;  // gone already
  auto admission = Admission::take(shared_, host);
  if (!admission) return;
  auto arrival =
      std::make_shared<Arrival>(shared_from_this(), io, std::move(socket), std::move(admission));
  {
    std::lock_guard lock(shared_->mutex);
    if (shared_->stopped) return;
    shared_->arrivals.insert(arrival);
  }
  asio::post(io.context, [arrival] { arrival->look(); });
}

void Listener::judge(const std::shared_ptr<TlsLink>& link, std::shared_ptr<Admission> admission) {
  link->handshake(
      shared_->context.get(), false, ServerId{}, shared_->options.handshake_timeout,
      [self = shared_from_this(), weak = std::weak_ptr(link), admission](Result<void> result) {
        admission->settle();
        if (!result) {
          self->shared_->log_refusal(result.error().message);
          return;
        }
        auto connection = std::make_shared<TlsConnection>(weak.lock());
        asio::post(self->shared_->runtime.executor(),
                   [self, connection = std::move(connection)]() mutable {
                     self->accept_(std::move(connection));
                   });
      },
      [shared = shared_, weak = std::weak_ptr(link), admission] {
        if (auto ended = weak.lock()) leave(*shared, ended);
      });
}

// ---- an arrival

Arrival::Arrival(std::shared_ptr<Listener> listener, IoThread& io, tcp::socket socket,
                 std::shared_ptr<Admission> admission)
    : listener_(std::move(listener)),
      io_(io),
      socket_(std::move(socket)),
      admission_(std::move(admission)),
      deadline_(io.context) {}

void Arrival::close() {
  asio::post(io_.context, [self = shared_from_this()] {
    asio::error_code ignored;
    self->socket_.close(ignored);
    self->deadline_.cancel();
  });
}

void Arrival::look() {
  deadline_.expires_after(listener_->shared_->options.handshake_timeout);
  deadline_.async_wait([self = shared_from_this()](asio::error_code error) {
    if (error || !self->socket_.is_open()) return;
    self->listener_->shared_->log_refusal(address_of(self->socket_).text() +
                                          ": no TLS handshake in time");
    asio::error_code ignored;
    self->socket_.close(ignored);
  });
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](asio::error_code error) {
    if (error || !self->socket_.is_open()) return self->finish();
    self->sort();
  });
}

void Arrival::sort() {
  std::uint8_t first = 0;
  const ssize_t count = ::recv(socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count == 1 && first == relay_opening_first) return read_ticket();
  auto& shared = listener_->shared_;
  auto link = std::make_shared<TlsLink>(shared->runtime, io_, std::move(socket_), shared->options);
  enter(*shared, link);
  listener_->judge(link, std::move(admission_));
  finish();
}

void Arrival::read_ticket() {
  asio::async_read(socket_, asio::buffer(opening_),
                   [self = shared_from_this()](asio::error_code error, std::size_t) {
                     if (!error && self->socket_.is_open()) self->hand_to_relay();
                     self->finish();
                   });
}

void Arrival::hand_to_relay() {
  auto& shared = listener_->shared_;
  std::shared_ptr<RelayLink> link;
  unsigned side = 0;
  auto ticket = parse_relay_opening(opening_);
  if (ticket) {
    std::lock_guard lock(shared->mutex);
    if (auto found = shared->tickets.extract(*ticket)) std::tie(link, side) = found.mapped();
  }
  asio::error_code gone;
  const auto local = socket_.local_endpoint(gone);
  if (!link || gone) {
    shared->log_refusal(fmt::format("{}: {}", address_of(socket_).text(),
                                    ticket ? "its relay ticket is not known" : ticket.error().message));
    return;
  }
  const int descriptor = socket_.release(gone);
  if (gone) return;
  admission_->settle();
  asio::post(link->io().context,
             [link, side, protocol = local.protocol(), descriptor, held = std::move(admission_)] {
               link->attach(side, tcp::socket(link->io().context, protocol, descriptor), held);
             });
}

void Arrival::finish() {
  deadline_.cancel();
  admission_.reset();
  asio::error_code ignored;
  socket_.close(ignored);
  std::lock_guard lock(listener_->shared_->mutex);
  listener_->shared_->arrivals.erase(shared_from_this());
}

}  // namespace spatter
