// What the parts of the TLS transport share. Included by its own files only.
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>

#include "relay_link.h"
#include "tls_link.h"

namespace spatter {

/// What the executor holds of a link: dropping the last reference closes it.
class TlsConnection final : public Connection {
 public:
  explicit TlsConnection(std::shared_ptr<TlsLink> link, bool relayed = false)
      : link_(std::move(link)), relayed_(relayed) {}
  ~TlsConnection() override { close(); }
  ServerId peer() const override { return link_->proof().server; }
  Bytes peer_key() const override { return to_bytes(link_->proof().key); }
  Address remote() const override { return link_->remote(); }
  bool relayed() const override { return relayed_; }
  Task<Result<void>> send(std::vector<std::vector<Buffer>> frames) override {
    return link_->send(std::move(frames));
  }
  Task<Result<std::vector<Buffer>>> receive() override { return link_->receive(); }
  void close() override { link_->close(remote().text() + ": the connection was closed"); }

 private:
  std::shared_ptr<TlsLink> link_;
  const bool relayed_;
};

struct Dial;
class Arrival;

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
  std::set<std::shared_ptr<Arrival>> arrivals;
  std::set<std::shared_ptr<RelayLink>> relay_links;
  /// Who is still awaited, and as which end of which link.
  std::map<RelayTicket, std::pair<std::shared_ptr<RelayLink>, unsigned>> tickets;
  std::map<std::string, std::size_t> per_address;  // inbound only
  std::size_t half_open = 0;                       // inbound only
  bool stopped = false;
  TimePoint refusal_logged{};
  std::uint64_t refusals_unlogged = 0;

  /// Any thread. Strangers must not fill the disk with what we say of them: a line a second.
  void log_refusal(std::string_view why);
};

inline void enter(Shared& shared, const std::shared_ptr<TlsLink>& link) {
  {
    std::lock_guard lock(shared.mutex);
    shared.links.insert(link);
    if (!shared.stopped) return;
  }
  link->close("the transport is stopped");
}

inline void leave(Shared& shared, const std::shared_ptr<TlsLink>& link) {
  std::lock_guard lock(shared.mutex);
  shared.links.erase(link);
}

/// One accepted connection's place within the limits, given back when it dies.
class Admission {
 public:
  /// Nothing when there are too many.
  static std::shared_ptr<Admission> take(const std::shared_ptr<Shared>& shared,
                                         const std::string& host);
  Admission(std::shared_ptr<Shared> shared, std::string host)
      : shared_(std::move(shared)), host_(std::move(host)) {}
  Admission(const Admission&) = delete;
  ~Admission();
  void settle();  ///< it has shown who it is, or what it wants

 private:
  std::shared_ptr<Shared> shared_;
  const std::string host_;
  bool settled_ = false;
};

}  // namespace spatter
