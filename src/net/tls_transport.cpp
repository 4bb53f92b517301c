#include "net/tls_transport.h"

#include "tls_dial.h"
#include "tls_listener.h"

namespace spatter {
namespace {

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
    co_return co_await run(std::move(dial), left);
  }

  Task<Result<std::shared_ptr<Connection>>> meet(Meeting meeting, TimePoint deadline) override {
    const Duration left = deadline - shared_->runtime.now();
    if (left <= Duration::zero())
      co_return fail(Errc::timeout, "relay {}: no connection in time", meeting.relay.text());
    auto dial = std::make_shared<Dial>(shared_, shared_->next_thread(), meeting.relay,
                                       meeting.other, meeting);
    co_return co_await run(std::move(dial), left);
  }

  Task<Result<std::uint64_t>> relay(std::array<RelayTicket, 2> tickets, ByteRates rates,
                                    TimePoint deadline) override {
    struct Outcome {
      explicit Outcome(asio::any_io_executor executor) : over(std::move(executor)) {}
      Event over;
      std::uint64_t bytes = 0;
    };
    auto shared = shared_;
    auto outcome = std::make_shared<Outcome>(shared->runtime.executor());
    auto link = std::make_shared<RelayLink>(
        shared->runtime, shared->next_thread(), tickets, std::move(rates),
        [weak = std::weak_ptr(shared), tickets, outcome](std::uint64_t bytes) {
          auto shared = weak.lock();
          if (!shared) return;
          {
            std::lock_guard lock(shared->mutex);
            for (const auto& ticket : tickets) shared->tickets.erase(ticket);
          }
          asio::post(shared->runtime.executor(), [outcome, bytes] {
            outcome->bytes = bytes;
            outcome->over.set();
          });
        });
    {
      std::lock_guard lock(shared->mutex);
      if (shared->stopped) co_return fail(Errc::cancelled, "the transport is stopped");
      for (unsigned side = 0; side < 2; ++side) shared->tickets[tickets[side]] = {link, side};
      shared->relay_links.insert(link);
    }
    const Duration left = deadline - shared->runtime.now();
    asio::post(link->io().context, [link, left] { link->begin(left); });
    {
      // Cancelled or not, nothing of the link stays behind.
      struct End {
        std::shared_ptr<Shared> shared;
        std::shared_ptr<RelayLink> link;
        ~End() {
          asio::post(link->io().context, [link = link] { link->end(); });
          std::lock_guard lock(shared->mutex);
          shared->relay_links.erase(link);
        }
      } end{shared, link};
      co_await outcome->over.wait();
    }
    co_return outcome->bytes;
  }

  Task<void> stop() override {
    auto shared = shared_;
    close_all();
    co_await shared->runtime.blocking([shared] {
      for (auto& thread : shared->threads) thread->finish();
    });
  }

 private:
  Task<Result<std::shared_ptr<Connection>>> run(std::shared_ptr<Dial> dial, Duration left) {
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

  void close_all() {
    for (auto& listener : listeners_) listener->close();
    listeners_.clear();
    std::set<std::shared_ptr<TlsLink>> links;
    std::set<std::shared_ptr<Dial>> dials;
    std::set<std::shared_ptr<Arrival>> arrivals;
    std::set<std::shared_ptr<RelayLink>> relay_links;
    {
      std::lock_guard lock(shared_->mutex);
      shared_->stopped = true;
      links = shared_->links;
      dials = shared_->dials;
      arrivals = shared_->arrivals;
      relay_links = shared_->relay_links;
    }
    for (const auto& arrival : arrivals) arrival->close();
    for (const auto& link : relay_links)
      asio::post(link->io().context, [link] { link->end(); });
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
