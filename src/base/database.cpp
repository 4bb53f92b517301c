#include "base/database.h"

#include <asio/async_result.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

#include "sqlite_connection.h"

namespace spatter {
namespace {

constexpr std::size_t batch_max = 256;       // works that share one commit
constexpr int idle_checkpoint_pages = 1024;  // an idle database keeps no longer log than this

/// Works wait in two queues on the executor; one pump at a time takes them to a blocking thread,
/// all waiting reads, then all waiting writes in one commit, and so on until both are empty.
class QueuedDatabase final : public Database {
 public:
  QueuedDatabase(Runtime& runtime, std::unique_ptr<SqliteConnection> connection)
      : runtime_(runtime), connection_(std::move(connection)), pumps_(runtime.executor()) {}

  Task<Result<void>> write(Work work) override {
    Job job{std::move(work)};
    co_return co_await enqueue(writes_, job);
  }

  Task<Result<void>> read(Work work) override {
    Job job{std::move(work)};
    co_return co_await enqueue(reads_, job);
  }

  Task<Result<void>> limit_log(std::uint64_t bytes) override {
    Work work = [this, bytes](Connected&) { return connection_->limit_log(bytes); };
    co_return co_await read(std::move(work));
  }

  Task<void> close() override {
    closed_ = true;
    co_await pumps_.drain();
    co_await runtime_.blocking([this] { connection_->close(); });
  }

 private:
  struct Job {
    Work work;
    Result<void> result;
    std::move_only_function<void()> resume;
  };
  using Queue = std::deque<Job*>;  // each in the frame of the coroutine that waits for it

  Task<Result<void>> enqueue(Queue& queue, Job& job) {
    if (closed_) co_return fail(Errc::cancelled, "the database is closed");
    // Deaf to cancellation, since a blocking thread may be using `job`.
    co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(asio::error_code)>(
        [this, &queue, &job](auto handler) {
          job.resume = [executor = runtime_.executor(), handler = std::move(handler)]() mutable {
            asio::post(executor, [handler = std::move(handler)]() mutable {
              std::move(handler)(asio::error_code());
            });
          };
          queue.push_back(&job);
          if (!std::exchange(pumping_, true)) pumps_.spawn(pump());
        },
        asio::use_awaitable);
    co_return std::move(job.result);
  }

  static std::vector<Job*> take(Queue& queue) {
    const auto end = queue.begin() + static_cast<std::ptrdiff_t>(std::min(queue.size(), batch_max));
    std::vector<Job*> jobs(queue.begin(), end);
    queue.erase(queue.begin(), end);
    return jobs;
  }

  void run_reads(const std::vector<Job*>& jobs) {
    for (Job* job : jobs) job->result = connection_->read(job->work);
  }

  void run_writes(const std::vector<Job*>& jobs) {
    std::vector<const Work*> works;
    for (Job* job : jobs) works.push_back(&job->work);
    auto results = connection_->commit(works);
    for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i]->result = std::move(results[i]);
  }

  Task<void> pump() {
    while (!reads_.empty() || !writes_.empty()) {
      for (const bool writing : {false, true}) {
        const std::vector<Job*> jobs = take(writing ? writes_ : reads_);
        if (jobs.empty()) continue;
        co_await runtime_.blocking([&] { writing ? run_writes(jobs) : run_reads(jobs); });
        for (Job* job : jobs) std::exchange(job->resume, nullptr)();
      }
      if (reads_.empty() && writes_.empty() && connection_->log_pages() > idle_checkpoint_pages)
        co_await runtime_.blocking([&] { connection_->checkpoint(idle_checkpoint_pages); });
    }
    pumping_ = false;
  }

  Runtime& runtime_;
  std::unique_ptr<SqliteConnection> connection_;
  Queue reads_;
  Queue writes_;
  bool pumping_ = false;
  bool closed_ = false;
  TaskGroup pumps_;
};

}  // namespace

Task<Result<std::unique_ptr<Database>>> Database::open(Runtime& runtime, std::string path,
                                                       std::vector<std::string> migrations) {
  auto connection = std::make_unique<SqliteConnection>();
  CO_TRY_VOID(co_await runtime.blocking(
      [&] { return connection->open(runtime.disk(), path, migrations); }));
  co_return std::make_unique<QueuedDatabase>(runtime, std::move(connection));
}

}  // namespace spatter
