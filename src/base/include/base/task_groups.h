// Background tasks of jobs that may end before them: a job's hedged calls are cancelled when the
// job has what it needs, and nobody waits for them but stop().
#pragma once

#include <list>
#include <memory>

#include "base/runtime.h"
#include "base/sync.h"

namespace spatter {

class TaskGroups {
 public:
  explicit TaskGroups(asio::any_io_executor executor)
      : executor_(std::move(executor)), reaper_(executor_) {}

  /// The tasks of one job. When it dies, what still runs is cancelled. Tasks must own what they use.
  class Scope {
   public:
    explicit Scope(TaskGroups& owner)
        : owner_(owner), group_(std::make_shared<TaskGroup>(owner.executor_)) {
      place_ = owner_.groups_.insert(owner_.groups_.end(), group_);
    }
    Scope(const Scope&) = delete;
    ~Scope() {
      if (owner_.stopping_) return;  // stop() has them all
      owner_.groups_.erase(place_);
      if (group_->running() > 0) owner_.reaper_.spawn(end(std::move(group_)));
    }
    void spawn(Task<void> task) {
      if (!owner_.stopping_) group_->spawn(std::move(task));
    }

   private:
    TaskGroups& owner_;
    std::shared_ptr<TaskGroup> group_;
    std::list<std::shared_ptr<TaskGroup>>::iterator place_;
  };

  Task<void> stop() {
    stopping_ = true;
    for (const auto& group : groups_) co_await group->stop();
    co_await reaper_.drain();
  }

 private:
  static Task<void> end(std::shared_ptr<TaskGroup> group) { co_await group->stop(); }

  asio::any_io_executor executor_;
  std::list<std::shared_ptr<TaskGroup>> groups_;
  TaskGroup reaper_;
  bool stopping_ = false;
};

/// Until `queue` is woken or `when` has passed.
inline Task<void> wait_until(Runtime& runtime, WaitQueue& queue, TimePoint when) {
  using namespace asio::experimental::awaitable_operators;
  co_await (queue.wait() || runtime.sleep_until(when));
}

}  // namespace spatter
