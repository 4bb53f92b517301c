#include "base/sync.h"

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/parallel_group.hpp>
#include <asio/post.hpp>
#include <asio/system_error.hpp>
#include <asio/use_awaitable.hpp>

namespace spatter {

using AwaitHandlerSignature = void(asio::error_code);

/// One suspended coroutine. It is in its list exactly as long as it is neither woken nor cancelled.
struct Waiter {
  std::move_only_function<void(asio::error_code)> resume;
  asio::cancellation_slot slot;
  std::size_t units = 0;

  /// Once: schedules the coroutine. The slot is cleared first, for its handler points to the list.
  void finish(asio::error_code error) {
    if (slot.is_connected()) slot.clear();
    resume(error);
  }
};

namespace {

/// Suspends the calling coroutine as a new Waiter at the end of `list`; `when_cancelled` runs after
/// a cancelled waiter has left the list.
Task<void> suspend(std::list<std::shared_ptr<Waiter>>& list, asio::any_io_executor executor,
                   std::size_t units, std::function<void()> when_cancelled) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, AwaitHandlerSignature>(
      [&list, executor, units, when_cancelled = std::move(when_cancelled)](auto handler) mutable {
        auto waiter = std::make_shared<Waiter>();
        waiter->units = units;
        waiter->slot = asio::get_associated_cancellation_slot(handler);
        waiter->resume = [executor, handler = std::move(handler)](asio::error_code error) mutable {
          asio::post(executor, [handler = std::move(handler), error]() mutable {
            std::move(handler)(error);
          });
        };
        auto place = list.insert(list.end(), waiter);
        if (waiter->slot.is_connected()) {
          waiter->slot.assign([&list, place, when_cancelled = std::move(when_cancelled)](
                                  asio::cancellation_type type) mutable {
            if (type == asio::cancellation_type::none) return;
            // finish() destroys this lambda: keep what is still needed on the stack.
            auto cancelled = *place;
            auto then = std::move(when_cancelled);
            list.erase(place);
            cancelled->finish(asio::error::operation_aborted);
            if (then) then();
          });
        }
      },
      asio::use_awaitable);
}

}  // namespace

WaitQueue::~WaitQueue() { SPATTER_ASSERT(waiters_.empty()); }

Task<void> WaitQueue::wait() { return suspend(waiters_, executor_, 0, nullptr); }

bool WaitQueue::wake_one() {
  if (waiters_.empty()) return false;
  auto woken = std::move(waiters_.front());
  waiters_.pop_front();
  woken->finish({});
  return true;
}

void WaitQueue::wake_all() {
  while (wake_one()) {
  }
}

void Event::set() {
  set_ = true;
  queue_.wake_all();
}

Task<void> Event::wait() {
  if (!set_) co_await queue_.wait();
}

Semaphore::Semaphore(asio::any_io_executor executor, std::size_t units)
    : executor_(std::move(executor)), capacity_(units), available_(units) {}

Semaphore::~Semaphore() { SPATTER_ASSERT(wants_.empty()); }

Semaphore::Permit& Semaphore::Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    release();
    owner_ = std::exchange(other.owner_, nullptr);
    units_ = std::exchange(other.units_, 0);
  }
  return *this;
}

void Semaphore::Permit::release() {
  if (Semaphore* owner = std::exchange(owner_, nullptr)) owner->give_back(units_);
}

Task<Semaphore::Permit> Semaphore::acquire(std::size_t units) {
  units = std::min(units, capacity_);
  if (wants_.empty() && units <= available_) {
    available_ -= units;
    co_return Permit(this, units);
  }
  // serve() takes the units on our behalf before it wakes us. When the head of the line gives up,
  // those behind it may fit.
  co_await suspend(wants_, executor_, units, [this] { serve(); });
  co_return Permit(this, units);
}

std::optional<Semaphore::Permit> Semaphore::try_acquire(std::size_t units) {
  units = std::min(units, capacity_);
  if (!wants_.empty() || units > available_) return std::nullopt;
  available_ -= units;
  return Permit(this, units);
}

void Semaphore::give_back(std::size_t units) {
  available_ += units;
  SPATTER_ASSERT(available_ <= capacity_);
  serve();
}

void Semaphore::serve() {
  while (!wants_.empty() && wants_.front()->units <= available_) {
    auto served = std::move(wants_.front());
    wants_.pop_front();
    available_ -= served->units;
    served->finish({});
  }
}

bool is_cancellation(const std::exception_ptr& exception) {
  if (!exception) return false;
  try {
    std::rethrow_exception(exception);
  } catch (const asio::system_error& error) {
    return error.code() == asio::error::operation_aborted;
  } catch (const asio::multiple_exceptions& several) {
    return is_cancellation(several.first_exception());
  } catch (...) {
    return false;
  }
}

namespace {

std::string describe(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an unknown exception";
  }
}

}  // namespace

struct TaskGroup::State {
  explicit State(asio::any_io_executor executor) : executor(executor), idle(executor) {}

  asio::any_io_executor executor;
  std::list<std::shared_ptr<asio::cancellation_signal>> running;
  WaitQueue idle;
  bool stopping = false;

  Task<void> wait_until_idle() {
    while (!running.empty()) co_await idle.wait();
  }
};

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : state_(std::make_shared<State>(std::move(executor))) {}

TaskGroup::~TaskGroup() { SPATTER_ASSERT(state_->running.empty()); }

void TaskGroup::spawn(Task<void> task) {
  if (state_->stopping) return;
  auto signal = std::make_shared<asio::cancellation_signal>();
  auto place = state_->running.insert(state_->running.end(), signal);
  asio::co_spawn(state_->executor, std::move(task),
                 asio::bind_cancellation_slot(
                     signal->slot(), [state = state_, place](std::exception_ptr exception) {
                       if (exception && !is_cancellation(exception))
                         panic(__FILE__, __LINE__, "a background task threw: " + describe(exception));
                       // The signal outlives its last user: the frames unwinding around this call.
                       asio::post(state->executor, [signal = std::move(*place)] {});
                       state->running.erase(place);
                       if (state->running.empty()) state->idle.wake_all();
                     }));
}

Task<void> TaskGroup::stop() {
  auto state = state_;
  state->stopping = true;
  // A copy: emitting may end tasks, and thereby change the list, at once.
  const std::vector<std::shared_ptr<asio::cancellation_signal>> signals(state->running.begin(),
                                                                        state->running.end());
  for (const auto& signal : signals) signal->emit(asio::cancellation_type::terminal);
  co_await state->wait_until_idle();
}

Task<void> TaskGroup::drain() {
  auto state = state_;
  co_await state->wait_until_idle();
}

bool TaskGroup::stopping() const { return state_->stopping; }
std::size_t TaskGroup::running() const { return state_->running.size(); }

}  // namespace spatter
