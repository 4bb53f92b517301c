#include "tls_dial.h"

#include <asio/connect.hpp>
#include <asio/write.hpp>

namespace spatter {

using asio::ip::tcp;

void Dial::begin(Duration timeout) {
  deadline = std::chrono::steady_clock::now() + timeout;
  timer.expires_at(deadline);
  timer.async_wait([self = shared_from_this()](asio::error_code error) {
    if (error) return;
    self->finish(fail(Errc::timeout, "{}: no connection in time", self->address.text()));
    self->abort();
  });
  resolve();
}

void Dial::resolve() {
  asio::error_code not_literal;
  const auto literal = asio::ip::make_address(address.host, not_literal);
  if (!not_literal) return connect({tcp::endpoint(literal, address.port)});
  resolver.async_resolve(
      address.host, std::to_string(address.port), tcp::resolver::numeric_service,
      [self = shared_from_this()](asio::error_code error, tcp::resolver::results_type results) {
        if (self->finished) return;
        if (error)
          return self->finish(
              fail(Errc::unavailable, "{}: {}", self->address.text(), error.message()));
        std::vector<tcp::endpoint> endpoints;
        for (const auto& entry : results) endpoints.push_back(entry.endpoint());
        self->connect(std::move(endpoints));
      });
}

void Dial::connect(std::vector<tcp::endpoint> endpoints) {
  auto list = std::make_shared<std::vector<tcp::endpoint>>(std::move(endpoints));
  asio::async_connect(socket, *list,
                      [self = shared_from_this(), list](asio::error_code error, tcp::endpoint) {
                        if (self->finished) return;
                        if (error)
                          return self->finish(fail(Errc::unavailable, "{}: {}",
                                                   self->address.text(), error.message()));
                        if (self->meeting) return self->show_ticket();
                        self->secure();
                      });
}

void Dial::show_ticket() {
  auto opening = std::make_shared<Bytes>(relay_opening(meeting->ticket));
  asio::async_write(socket, asio::buffer(*opening),
                    [self = shared_from_this(), opening](asio::error_code error, std::size_t) {
                      if (self->finished) return;
                      if (error)
                        return self->finish(fail(Errc::unavailable, "relay {}: {}",
                                                 self->address.text(), error.message()));
                      self->secure();
                    });
}

void Dial::secure() {
  link = std::make_shared<TlsLink>(shared->runtime, io, std::move(socket), shared->options);
  enter(*shared, link);
  link->handshake(
      shared->context.get(), !meeting || meeting->dialling, expected,
      deadline - std::chrono::steady_clock::now(),
      [self = shared_from_this()](Result<void> result) {
        // Dropped at once when nobody waits any more, and thereby closed.
        auto link = std::exchange(self->link, nullptr);
        if (result)
          self->finish(std::make_shared<TlsConnection>(std::move(link), self->meeting.has_value()));
        else
          self->finish(fail(std::move(result).error()));
      },
      [state = shared, made = std::weak_ptr(link)] {
        if (auto link = made.lock()) leave(*state, link);
      });
}

void Dial::finish(Result<std::shared_ptr<Connection>> result) {
  if (std::exchange(finished, true)) return;
  timer.cancel();
  {
    std::lock_guard lock(shared->mutex);
    shared->dials.erase(shared_from_this());
  }
  asio::post(shared->runtime.executor(),
             [self = shared_from_this(), result = std::move(result)]() mutable {
               self->outcome = std::move(result);
               self->done.set();
             });
}

void Dial::abort() {
  finish(fail(Errc::cancelled, "{}: gave up connecting", address.text()));
  asio::error_code ignored;
  resolver.cancel();
  socket.close(ignored);
  if (link) link->close("gave up connecting");
}

}  // namespace spatter
