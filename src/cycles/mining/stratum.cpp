#include "cycles/stratum.h"

#include <algorithm>

#include "stratum_session.h"

namespace spatter::mining {
namespace {

constexpr Duration connect_time_max = std::chrono::seconds(20);
constexpr Duration wait_least = std::chrono::seconds(1), wait_most = std::chrono::minutes(5);
constexpr Duration wait_refused = std::chrono::minutes(1);

Task<Result<std::unique_ptr<PoolLink>>> dial_in_time(Runtime& runtime, PoolDial& dial,
                                                     Address address) {
  using namespace asio::experimental::awaitable_operators;
  try {
    auto both = co_await (dial(address) || awake_sleep(runtime, connect_time_max));
    if (both.index() == 0) co_return std::get<0>(std::move(both));
  } catch (const asio::multiple_exceptions& both_failed) {
    std::rethrow_exception(both_failed.first_exception());  // cancelled from outside
  }
  co_return fail(Errc::timeout, "{}: no connection in time", address.text());
}

/// Points back while it lives.
template <class T>
class Registered {
 public:
  Registered(T*& place, T* value) : place_(place) { place_ = value; }
  ~Registered() { place_ = nullptr; }
  Registered(const Registered&) = delete;

 private:
  T*& place_;
};

}  // namespace

std::string_view to_string(PoolState state) {
  switch (state) {
    case PoolState::connecting:
      return "connecting";
    case PoolState::no_job:
      return "no job";
    case PoolState::mining:
      return "mining";
    case PoolState::waiting:
      return "waiting";
    case PoolState::refused:
      return "refused";
  }
  return "?";
}

StratumClient::StratumClient(Runtime& runtime, StratumOptions options, PoolDial dial, OnWork on_work)
    : runtime_(runtime),
      options_(std::move(options)),
      dial_(std::move(dial)),
      on_work_(std::move(on_work)),
      ask_versions_(options_.roll_versions) {
  status_.pool = options_.pool;
}

StratumClient::~StratumClient() = default;

void StratumClient::submit(const Share& share) {
  if (session_ != nullptr)
    session_->submit(share);
  else
    ++status_.stale;
}

void StratumClient::end_work() {
  status_.difficulty = 0;
  status_.rolls_versions = false;
  on_work_(nullptr);
}

Task<void> StratumClient::run() {
  int failures = 0;
  while (true) {
    status_.state = PoolState::connecting;
    Session::End end;
    auto link = co_await dial_in_time(runtime_, dial_, status_.pool);
    if (link) {
      ++status_.connections;
      Session session(*this, std::move(*link), ask_versions_);
      const Registered registered(session_, &session);
      try {
        co_await session.run();
      } catch (...) {
        end_work();
        throw;
      }
      end = session.end();
      end_work();
    } else {
      end.reason = link.error().message;
    }
    status_.last_problem = end.reason;

    // Some old pools hang up at a method they do not know.
    if (link && !end.subscribed && options_.roll_versions) ask_versions_ = !ask_versions_;
    failures = end.useful ? 0 : std::min(failures + 1, 20);
    Duration wait = std::min(wait_most, wait_least * (1 << std::max(0, std::min(failures - 1, 10))));
    if (end.refused) wait = std::max(wait, wait_refused);
    wait -= std::chrono::duration_cast<Duration>(wait * (runtime_.chance().unit() / 2));
    if (end.redirect) wait = std::max(wait, end.redirect->wait);
    // Another port holds for one connection: what comes after that begins at the address that was named.
    status_.pool = options_.pool;
    if (end.redirect && end.redirect->port) status_.pool.port = *end.redirect->port;
    status_.state = end.refused ? PoolState::refused : PoolState::waiting;
    runtime_.log().warning("pool {}: {}; next attempt in {:.1f} s", options_.pool.text(), end.reason,
                           std::chrono::duration<double>(wait).count());
    co_await runtime_.sleep(wait);
  }
}

}  // namespace spatter::mining
