#include "cli/parallel.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

namespace spatter::doors {

Result<void> in_parallel(const Context& context, std::size_t count, std::size_t threads,
                         const std::function<Result<void>(ControlClient&, std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::optional<Error> first_error;
  auto run = [&] {
    auto client = context.connect();
    for (std::size_t at; (at = next++) < count;) {
      Result<void> done = client ? work(*client, at) : Result<void>(fail(client.error()));
      if (done) continue;
      std::lock_guard lock(mutex);
      if (!first_error) first_error = done.error();
      next = count;
    }
  };
  std::vector<std::thread> running;
  for (std::size_t i = 0; i < std::min(threads, count); ++i) running.emplace_back(run);
  for (auto& thread : running) thread.join();
  if (first_error) return fail(*first_error);
  return {};
}

}  // namespace spatter::doors
