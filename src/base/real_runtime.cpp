#include "base/real_runtime.h"

#include <sys/random.h>
#include <time.h>

#include <asio/async_result.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstdio>
#include <thread>

#include "base/posix_disk.h"

namespace spatter {
namespace {

class SystemRandom final : public Random {
 public:
  void fill(MutableBytes out) override {
    for (std::size_t done = 0; done < out.size();) {
      const ssize_t got = ::getrandom(out.data() + done, out.size() - done, 0);
      SPATTER_ASSERT(got > 0 || errno == EINTR);
      if (got > 0) done += static_cast<std::size_t>(got);
    }
  }
};

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "?";
}

}  // namespace

Log::Sink stderr_sink() {
  return [](LogLevel level, std::string_view text) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() % 1000;
    std::tm local;
    ::localtime_r(&seconds, &local);
    char stamp[32];
    std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);
    std::string line = fmt::format("{}.{:03} {:7} {}", stamp, ms, name_of(level), text);
    for (char& c : line)
      if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
    line += '\n';
    std::fwrite(line.data(), 1, line.size(), stderr);  // one call, so lines do not mix
  };
}

Result<std::unique_ptr<RealRuntime>> RealRuntime::open(Options options) {
  TRY(auto disk, PosixDisk::open(options.root));
  if (options.blocking_threads == 0)
    options.blocking_threads = std::max(2U, std::thread::hardware_concurrency()) + 2;
  return std::unique_ptr<RealRuntime>(new RealRuntime(std::move(options), std::move(disk)));
}

RealRuntime::RealRuntime(Options options, std::unique_ptr<Disk> disk)
    : blocking_threads_(options.blocking_threads),
      entropy_(std::make_unique<SystemRandom>()),
      chance_(std::make_unique<SeededRandom>(entropy_->next_u64())),
      disk_(std::move(disk)),
      log_(options.log_least, std::move(options.log_sink)),
      pool_(options.blocking_threads) {}

RealRuntime::~RealRuntime() { pool_.join(); }

TimePoint RealRuntime::now() const {
  return TimePoint(std::chrono::steady_clock::now().time_since_epoch());
}

WallMs RealRuntime::wall_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Task<void> RealRuntime::sleep_until(TimePoint when) {
  asio::steady_timer timer(context_, std::chrono::steady_clock::time_point(
                                         std::chrono::steady_clock::duration(
                                             when.time_since_epoch())));
  co_await timer.async_wait(asio::use_awaitable);
}

Task<void> RealRuntime::run_blocking(std::function<void()> work) {
  // The cancellation slot is left alone on purpose: `work` may borrow from the waiting frame.
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(
      [this](auto handler, std::function<void()> call) {
        auto back = asio::prefer(context_.get_executor(),
                                 asio::execution::outstanding_work.tracked);
        asio::post(pool_, [handler = std::move(handler), call = std::move(call),
                           back = std::move(back)]() mutable {
          std::exception_ptr thrown;
          try {
            call();
          } catch (...) {
            thrown = std::current_exception();
          }
          call = nullptr;
          asio::post(back, [handler = std::move(handler), thrown]() mutable {
            std::move(handler)(thrown);
          });
        });
      },
      asio::use_awaitable, std::move(work));
}

}  // namespace spatter
