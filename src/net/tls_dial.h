// Making one connection: name to addresses, TCP, a relay's ticket where there is one, TLS.
#pragma once

#include "tls_shared.h"

namespace spatter {

/// A dial under way. The coroutine in connect() waits for `done`; the rest happens on `io`'s thread.
struct Dial : std::enable_shared_from_this<Dial> {
  /// `through`: the address is a relay's, and shown this first.
  Dial(std::shared_ptr<Shared> shared_state, IoThread& thread, Address to, ServerId who,
       std::optional<Meeting> through = {})
      : shared(std::move(shared_state)),
        io(thread),
        address(std::move(to)),
        expected(who),
        meeting(std::move(through)),
        resolver(thread.context),
        socket(thread.context),
        timer(thread.context),
        done(shared->runtime.executor()) {}

  void begin(Duration timeout);
  void resolve();
  void connect(std::vector<asio::ip::tcp::endpoint> endpoints);
  void show_ticket();
  void secure();
  void finish(Result<std::shared_ptr<Connection>> result);
  void abort();

  std::shared_ptr<Shared> shared;
  IoThread& io;
  Address address;
  ServerId expected;
  std::optional<Meeting> meeting;
  asio::ip::tcp::resolver resolver;
  asio::ip::tcp::socket socket;
  asio::steady_timer timer;
  std::chrono::steady_clock::time_point deadline;
  std::shared_ptr<TlsLink> link;
  bool finished = false;

  Event done;  // executor only, as is `outcome`
  Result<std::shared_ptr<Connection>> outcome = fail(Errc::cancelled, "not connected");
};

}  // namespace spatter
