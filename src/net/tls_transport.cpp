#include "net/tls_transport.h"

#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>

#include "tls_link.h"

namespace spatter {
namespace {

using asio::ip::tcp;

/// What the executor holds of a link: dropping the last reference closes it.
class TlsConnection final : public Connection {
 public:
  explicit TlsConnection(std::shared_ptr<TlsLink> link) : link_(std::move(link)) {}
  ~TlsConnection() override { close(); }
  ServerId peer() const override { return link_->proof().server; }
  Bytes peer_key() const override { return to_bytes(link_->proof().key); }
  Address remote() const override { return link_->remote(); }
  Task<Result<void>> send(std::vector<std::vector<Buffer>> frames) override {
    return link_->send(std::move(frames));
  }
  Task<Result<std::vector<Buffer>>> receive() override { return link_->receive(); }
  void close() override { link_->close(remote().text() + ": the connection was closed"); }

 private:
  std::shared_ptr<TlsLink> link_;
};

struct Dial;

/// What outlives the Transport's calls: threads, limits, and every link that still runs.
struct Shared {
  Shared(Runtime& runtime, TlsOptions options) : runtime(runtime), options(options) {}

  IoThread& next_thread() { return *threads[turn++ % threads.size()]; }

  Runtime& runtime;
  const TlsOptions options;
  SslContextPointer context;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::atomic<unsigned> turn = 0;

  std::mutex mutex;
  std::set<std::shared_ptr<TlsLink>> links;
  std::set<std::shared_ptr<Dial>> dials;
  std::map<std::string, std::size_t> per_address;  // inbound only
  std::size_t half_open = 0;                       // inbound only
  bool stopped = false;
  TimePoint refusal_logged{};
  std::uint64_t refusals_unlogged = 0;

  /// Any thread. Strangers must not fill the disk with what we say of them: a line a second.
  void log_refusal(const Error& error) {
    std::uint64_t more = 0;
    {
      std::lock_guard lock(mutex);
      const auto now = runtime.now();
      if (now - refusal_logged < std::chrono::seconds(1)) {
        ++refusals_unlogged;
        return;
      }
      refusal_logged = now;
      more = std::exchange(refusals_unlogged, 0);
    }
    runtime.log().info("refused a connection: {}{}", error.message,
                       more == 0 ? "" : fmt::format(" (and {} others since the last such line)", more));
  }
};

/// A dial under way. The coroutine in connect() waits for `done`; the rest happens on `io`'s thread.
struct Dial : std::enable_shared_from_this<Dial> {
  Dial(std::shared_ptr<Shared> shared_state, IoThread& thread, Address to, ServerId who)
      : shared(std::move(shared_state)),
        io(thread),
        address(std::move(to)),
        expected(who),
        resolver(thread.context),
        socket(thread.context),
        timer(thread.context),
        done(shared->runtime.executor()) {}

  void begin(Duration timeout);
  void resolve();
  void connect(std::vector<tcp::endpoint> endpoints);
  void secure();
  void finish(Result<std::shared_ptr<Connection>> result);
  void abort();

  std::shared_ptr<Shared> shared;
  IoThread& io;
  Address address;
  ServerId expected;
  tcp::resolver resolver;
  tcp::socket socket;
  asio::steady_timer timer;
  std::chrono::steady_clock::time_point deadline;
  std::shared_ptr<TlsLink> link;
  bool finished = false;

  Event done;  // executor only, as is `outcome`
  Result<std::shared_ptr<Connection>> outcome = fail(Errc::cancelled, "not connected");
};

void enter(Shared& shared, const std::shared_ptr<TlsLink>& link) {
  {
    std::lock_guard lock(shared.mutex);
    shared.links.insert(link);
    if (!shared.stopped) return;
  }
  link->close("the transport is stopped");
}

void leave(Shared& shared, const std::shared_ptr<TlsLink>& link) {
  std::lock_guard lock(shared.mutex);
  shared.links.erase(link);
}

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
                        self->secure();
                      });
}

void Dial::secure() {
  link = std::make_shared<TlsLink>(shared->runtime, io, std::move(socket), shared->options);
  enter(*shared, link);
  link->handshake(
      shared->context.get(), true, expected, deadline - std::chrono::steady_clock::now(),
      [self = shared_from_this()](Result<void> result) {
        // Dropped at once when nobody waits any more, and thereby closed.
        auto link = std::exchange(self->link, nullptr);
        if (result)
          self->finish(std::make_shared<TlsConnection>(std::move(link)));
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

/// Accepts on one port, on the first I/O thread; each connection then moves to its own.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(std::shared_ptr<Shared> shared, Transport::Accept accept)
      : shared_(std::move(shared)),
        accept_(std::move(accept)),
        acceptor_(shared_->threads.front()->context),
        pause_(shared_->threads.front()->context) {}

  Result<Address> open(const Address& address) {
    asio::error_code error;
    tcp::resolver resolver(shared_->threads.front()->context);
    const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                        tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error || found.empty())
      return fail(Errc::invalid, "listen on {}: {}", address.text(), error.message());
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      const Errc code = error == asio::error::address_in_use ? Errc::busy : Errc::io;
      return fail(code, "listen on {}: {}", address.text(), error.message());
    }
    const std::uint16_t port = acceptor_.local_endpoint(error).port();
    asio::post(acceptor_.get_executor(), [self = shared_from_this()] { self->next(); });
    return Address{address.host, port};
  }

  void close() {
    asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
      asio::error_code ignored;
      self->acceptor_.close(ignored);
      self->pause_.cancel();
    });
  }

 private:
  void next() {
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

  void pause(asio::error_code error) {
    shared_->runtime.log().warning("accepting connections: {}; trying again in a second",
                                   error.message());
    pause_.expires_after(std::chrono::seconds(1));
    pause_.async_wait([self = shared_from_this()](asio::error_code) { self->next(); });
  }

  void admit(IoThread& io, tcp::socket socket) {
    asio::error_code gone;
    const std::string host = socket.remote_endpoint(gone).address().to_string();
    if (gone) return;
    {
      std::lock_guard lock(shared_->mutex);
      if (shared_->stopped) return;
      std::size_t& here = shared_->per_address[host];
      if (here >= shared_->options.per_address_max ||
          shared_->half_open >= shared_->options.half_open_max) {
        shared_->runtime.log().warning("{}: connection closed, there are too many ({} of it, {} in handshake)",
                                       host, here, shared_->half_open);
        if (here == 0) shared_->per_address.erase(host);
        return;
      }
      ++here;
      ++shared_->half_open;
    }
    auto link = std::make_shared<TlsLink>(shared_->runtime, io, std::move(socket), shared_->options);
    enter(*shared_, link);
    asio::post(io.context, [self = shared_from_this(), link, host] { self->judge(link, host); });
  }

  void judge(const std::shared_ptr<TlsLink>& link, const std::string& host) {
    link->handshake(
        shared_->context.get(), false, ServerId{}, shared_->options.handshake_timeout,
        [self = shared_from_this(), weak = std::weak_ptr(link)](Result<void> result) {
          {
            std::lock_guard lock(self->shared_->mutex);
            --self->shared_->half_open;
          }
          if (!result) {
            self->shared_->log_refusal(result.error());
            return;
          }
          auto connection = std::make_shared<TlsConnection>(weak.lock());
          asio::post(self->shared_->runtime.executor(),
                     [self, connection = std::move(connection)]() mutable {
                       self->accept_(std::move(connection));
                     });
        },
        [shared = shared_, weak = std::weak_ptr(link), host] {
          {
            std::lock_guard lock(shared->mutex);
            if (--shared->per_address[host] == 0) shared->per_address.erase(host);
          }
          if (auto ended = weak.lock()) leave(*shared, ended);
        });
  }

  std::shared_ptr<Shared> shared_;
  Transport::Accept accept_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(Runtime& runtime, const SigningKey& server_key, TlsOptions options)
      : shared_(std::make_shared<Shared>(runtime, options)) {
    auto context = make_tls_context(server_key);
    if (!context) panic(__FILE__, __LINE__, context.error().message);
    shared_->context = std::move(*context);
    for (unsigned i = 0; i < std::max(1u, options.io_threads); ++i)
      shared_->threads.push_back(std::make_unique<IoThread>(i));
  }

  ~TlsTransport() override {
    close_all();
    join();
  }

  Result<Address> listen(const Address& address, Accept accept) override {
    auto listener = std::make_shared<Listener>(shared_, std::move(accept));
    TRY(auto bound, listener->open(address));
    listeners_.push_back(std::move(listener));
    return bound;
  }

  Task<Result<std::shared_ptr<Connection>>> connect(Address address, ServerId expected,
                                                    TimePoint deadline) override {
    const Duration left = deadline - shared_->runtime.now();
    if (left <= Duration::zero())
      co_return fail(Errc::timeout, "{}: no connection in time", address.text());
    auto dial = std::make_shared<Dial>(shared_, shared_->next_thread(), address, expected);
    {
      std::lock_guard lock(shared_->mutex);
      if (shared_->stopped) co_return fail(Errc::cancelled, "the transport is stopped");
      shared_->dials.insert(dial);
    }
    asio::post(dial->io.context, [dial, left] { dial->begin(left); });
    {
      // Cancelled or not, nothing of the dial stays behind.
      struct Abort {
        std::shared_ptr<Dial> dial;
        ~Abort() {
          if (!dial->done.is_set()) asio::post(dial->io.context, [dial = dial] { dial->abort(); });
        }
      } abort{dial};
      co_await dial->done.wait();
    }
    co_return std::move(dial->outcome);
  }

  Task<void> stop() override {
    auto shared = shared_;
    close_all();
    co_await shared->runtime.blocking([shared] {
      for (auto& thread : shared->threads) thread->finish();
    });
  }

 private:
  void close_all() {
    for (auto& listener : listeners_) listener->close();
    listeners_.clear();
    std::set<std::shared_ptr<TlsLink>> links;
    std::set<std::shared_ptr<Dial>> dials;
    {
      std::lock_guard lock(shared_->mutex);
      shared_->stopped = true;
      links = shared_->links;
      dials = shared_->dials;
    }
    for (const auto& dial : dials) asio::post(dial->io.context, [dial] { dial->abort(); });
    for (const auto& link : links) link->close("the transport is stopped");
  }

  void join() {
    for (auto& thread : shared_->threads) thread->finish();
  }

  std::shared_ptr<Shared> shared_;
  std::vector<std::shared_ptr<Listener>> listeners_;
};

}  // namespace

std::unique_ptr<Transport> make_tls_transport(Runtime& runtime, const SigningKey& server_key,
                                              TlsOptions options) {
  return std::make_unique<TlsTransport>(runtime, server_key, options);
}

}  // namespace spatter
