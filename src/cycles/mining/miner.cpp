#include "cycles/miner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <asio/experimental/as_tuple.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <array>
#include <cerrno>
#include <cmath>

#include "base/real_runtime.h"

namespace spatter::mining {
namespace {

using namespace asio::experimental::awaitable_operators;

/// Client and engine, and between them the shares on their way from the hashing threads.
struct Parts {
  static constexpr int shares_waiting_max = 256;
  std::unique_ptr<StratumClient> client;
  std::atomic<int> shares_waiting = 0;
  std::atomic<std::uint64_t> shares_dropped = 0;
  std::unique_ptr<HashEngine> engine;  // dies first: its threads use the rest
};

Task<void> report_each_second(Runtime& runtime, const Parts& parts, HashEngine::Options options,
                              std::function<void(const MinerReport&)>& report, Event& stop) {
  TimePoint before = runtime.now();
  std::uint64_t hashes_before = 0;
  while (true) {
    if (!stop.is_set()) co_await (runtime.sleep(std::chrono::seconds(1)) || stop.wait());
    const TimePoint now = runtime.now();
    const std::uint64_t hashes = parts.engine->hashes();
    const double seconds = std::chrono::duration<double>(now - before).count();
    MinerReport what{parts.client->status(), hashes, 0, options.threads, options.kernel};
    what.pool.dropped += parts.shares_dropped;
    if (seconds > 0) what.rate = static_cast<double>(hashes - hashes_before) / seconds;
    report(what);
    before = now;
    hashes_before = hashes;
    if (stop.is_set()) co_return;
  }
}

/// Whole lines only, each shorter than what a pipe takes in one piece; none where it would block.
class ReportPipe {
 public:
  explicit ReportPipe(int fd) : fd_(fd) {}

  /// False when nobody can read it any more.
  bool write(const std::string& line) {
    pollfd ready{fd_, POLLOUT, 0};
    if (::poll(&ready, 1, 0) <= 0) return true;
    if ((ready.revents & (POLLERR | POLLNVAL)) != 0) return false;
    return ::write(fd_, line.data(), line.size()) >= 0 || errno == EAGAIN || errno == EINTR;
  }

 private:
  int fd_;
};

/// Until the line "stop" or the end.
Task<void> read_control(asio::any_io_executor executor, int fd) {
  // A descriptor of its own: the one given stays the caller's. What cannot be waited for (a file,
  // /dev/null) has nothing to say, as if it were at its end.
  asio::posix::stream_descriptor control(executor);
  asio::error_code error;
  control.assign(::fcntl(fd, F_DUPFD_CLOEXEC, 3), error);
  std::string line;
  std::array<char, 256> buffer;
  while (!error) {
    std::size_t size = 0;
    std::tie(error, size) = co_await control.async_read_some(
        asio::buffer(buffer), asio::experimental::as_tuple(asio::use_awaitable));
    for (const char c : std::string_view(buffer.data(), size)) {
      if (c != '\n') {
        if (line.size() < buffer.size()) line += c;
        continue;
      }
      if (line == "stop") co_return;
      line.clear();
    }
  }
}

Task<void> run_until_told(RealRuntime& runtime, MinerOptions options, int control_fd,
                          int report_fd) {
  Event stop(runtime.executor());
  ReportPipe pipe(report_fd);
  auto report = [&](const MinerReport& what) {
    const std::string line =
        to_json(what).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + '\n';
    if (!pipe.write(line)) stop.set();
  };
  auto until_told = [](asio::any_io_executor executor, int fd, Event& told) -> Task<void> {
    co_await read_control(executor, fd);
    told.set();
  };
  TaskGroup group(runtime.executor());
  group.spawn(until_told(runtime.executor(), control_fd, stop));
  co_await mine(runtime, std::move(options), tcp_pool_dial(runtime.executor()), stop, report);
  co_await group.stop();
}

}  // namespace

nlohmann::json to_json(const MinerReport& report) {
  const PoolStatus& pool = report.pool;
  nlohmann::json json = {
      {"hashes", report.hashes},
      {"rate", std::round(report.rate)},
      {"threads", report.threads},
      {"kernel", to_string(report.kernel)},
      {"state", to_string(pool.state)},
      {"pool", pool.pool.text()},
      {"connections", pool.connections},
      {"accepted", pool.accepted},
      {"rejected", pool.rejected},
      {"stale", pool.stale},
      {"unanswered", pool.unanswered},
      {"dropped", pool.dropped},
      {"blocks", pool.blocks},
      {"accepted_difficulty", pool.accepted_difficulty},
      {"best_difficulty", pool.best_difficulty},
      {"difficulty", pool.difficulty},
      {"rolls_versions", pool.rolls_versions},
      {"network_difficulty", nullptr},
      {"last_reason", pool.last_reason.substr(0, 200)},
      {"problem", pool.last_problem.substr(0, 400)},
  };
  if (pool.network_bits)
    if (const auto target = target_of_bits(*pool.network_bits))
      json["network_difficulty"] = difficulty_of(*target);
  return json;
}

Task<void> mine(Runtime& runtime, MinerOptions options, PoolDial dial, Event& stop,
                std::function<void(const MinerReport&)> report) {
  const auto executor = runtime.executor();
  auto parts = std::make_shared<Parts>();
  parts->client = std::make_unique<StratumClient>(
      runtime, options.pool, std::move(dial), [&engine = parts->engine](auto work) {
        engine->set_work(std::move(work));
      });
  parts->engine = std::make_unique<HashEngine>(
      runtime, options.engine, [executor, &now = *parts, weak = std::weak_ptr(parts)](Share share) {
        if (++now.shares_waiting > Parts::shares_waiting_max) {
          --now.shares_waiting;
          ++now.shares_dropped;
          return;
        }
        // The last ones arrive when all this has ended.
        asio::post(executor, [weak, share = std::move(share)] {
          const auto parts = weak.lock();
          if (!parts) return;
          --parts->shares_waiting;
          parts->client->submit(share);
        });
      });
  try {
    co_await (parts->client->run() ||
              report_each_second(runtime, *parts, options.engine, report, stop));
  } catch (const asio::multiple_exceptions& both) {
    std::rethrow_exception(both.first_exception());
  }
}

void run_miner(MinerOptions options, int control_fd, int report_fd) {
  ::signal(SIGPIPE, SIG_IGN);
  RealRuntime::Options runtime_options;
  runtime_options.root = "/";  // no file is read or written
  runtime_options.blocking_threads = 1;
  auto runtime = RealRuntime::open(std::move(runtime_options));
  if (!runtime) {
    stderr_sink()(LogLevel::error, runtime.error().message);
    ::_exit(1);
  }
  (*runtime)->wait_for(run_until_told(**runtime, std::move(options), control_fd, report_fd));
  ::_exit(0);
}

}  // namespace spatter::mining
