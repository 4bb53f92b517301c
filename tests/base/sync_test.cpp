// Aim: waiting coroutines wake in order, exactly once, and may be cancelled at any moment. Method: a
// bare io_context polled by hand, so that every step is under the test's control.
#include "base/sync.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

namespace spatter {
namespace {

class Sync : public testing::Test {
 protected:
  void settle() {
    context.restart();
    context.poll();
  }
  void stop(TaskGroup& group) {
    bool stopped = false;
    TaskGroup other(context.get_executor());
    other.spawn(stop_and_tell(group, stopped));
    settle();
    ASSERT_TRUE(stopped);
  }
  static Task<void> stop_and_tell(TaskGroup& group, bool& stopped) {
    co_await group.stop();
    stopped = true;
  }
  static Task<void> wait_and_note(WaitQueue& queue, std::vector<int>& woken, int number) {
    co_await queue.wait();
    woken.push_back(number);
  }
  static Task<void> hold(Semaphore& semaphore, std::size_t units, Event& release,
                         std::vector<int>& began, int number) {
    auto permit = co_await semaphore.acquire(units);
    began.push_back(number);
    co_await release.wait();
  }

  asio::io_context context{1};
};

TEST_F(Sync, AWaitQueueWakesInOrder) {
  WaitQueue queue(context.get_executor());
  TaskGroup group(context.get_executor());
  std::vector<int> woken;
  for (int i = 0; i < 3; ++i) group.spawn(wait_and_note(queue, woken, i));
  settle();
  EXPECT_TRUE(woken.empty());
  EXPECT_TRUE(queue.wake_one());
  settle();
  EXPECT_EQ(woken, (std::vector{0}));
  queue.wake_all();
  settle();
  EXPECT_EQ(woken, (std::vector{0, 1, 2}));
  EXPECT_FALSE(queue.wake_one());
  EXPECT_EQ(group.running(), 0u);
}

TEST_F(Sync, StoppingAGroupCancelsItsWaiters) {
  WaitQueue queue(context.get_executor());
  std::vector<int> woken;
  {
    TaskGroup group(context.get_executor());
    for (int i = 0; i < 3; ++i) group.spawn(wait_and_note(queue, woken, i));
    settle();
    EXPECT_EQ(group.running(), 3u);
    stop(group);
    EXPECT_EQ(group.running(), 0u);
    group.spawn(wait_and_note(queue, woken, 4));
    settle();
  }
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(woken.empty());
}

TEST_F(Sync, CancellationAfterAWakeUpDoesNotWakeTwice) {
  WaitQueue queue(context.get_executor());
  TaskGroup group(context.get_executor());
  std::vector<int> woken;
  group.spawn(wait_and_note(queue, woken, 0));
  settle();
  queue.wake_one();
  stop(group);
  EXPECT_EQ(woken, (std::vector{0}));
}

TEST_F(Sync, AnEventLetsThroughWhileItIsSet) {
  Event event(context.get_executor());
  TaskGroup group(context.get_executor());
  const auto wait = [](Event& event) -> Task<void> { co_await event.wait(); };
  group.spawn(wait(event));
  settle();
  EXPECT_EQ(group.running(), 1u);
  event.set();
  settle();
  EXPECT_EQ(group.running(), 0u);
  group.spawn(wait(event));
  settle();
  EXPECT_EQ(group.running(), 0u);
  event.reset();
  group.spawn(wait(event));
  settle();
  EXPECT_EQ(group.running(), 1u);
  stop(group);
}

TEST_F(Sync, ASemaphoreServesLargeRequestsInTurn) {
  Semaphore semaphore(context.get_executor(), 4);
  Event first(context.get_executor()), rest(context.get_executor());
  TaskGroup group(context.get_executor());
  std::vector<int> began;
  group.spawn(hold(semaphore, 3, first, began, 0));
  group.spawn(hold(semaphore, 4, rest, began, 1));  // waits for the first
  group.spawn(hold(semaphore, 1, rest, began, 2));  // would fit, but must not overtake
  settle();
  EXPECT_EQ(began, (std::vector{0}));
  EXPECT_FALSE(semaphore.try_acquire(1).has_value());
  first.set();
  settle();
  EXPECT_EQ(began, (std::vector{0, 1}));
  rest.set();
  settle();
  EXPECT_EQ(began, (std::vector{0, 1, 2}));
  EXPECT_EQ(semaphore.available(), 4u);
}

TEST_F(Sync, ARequestBeyondTheWholeTakesTheWhole) {
  Semaphore semaphore(context.get_executor(), 4);
  Event release(context.get_executor());
  TaskGroup group(context.get_executor());
  std::vector<int> began;
  group.spawn(hold(semaphore, 1000, release, began, 0));
  settle();
  EXPECT_EQ(began, (std::vector{0}));
  EXPECT_EQ(semaphore.available(), 0u);
  release.set();
  settle();
  EXPECT_EQ(semaphore.available(), 4u);
}

TEST_F(Sync, WhenTheHeadOfTheLineGivesUpThoseBehindItAreServed) {
  Semaphore semaphore(context.get_executor(), 2);
  Event release(context.get_executor());
  TaskGroup holder(context.get_executor()), impatient(context.get_executor()),
      small(context.get_executor());
  std::vector<int> began;
  holder.spawn(hold(semaphore, 1, release, began, 0));
  impatient.spawn(hold(semaphore, 2, release, began, 1));
  small.spawn(hold(semaphore, 1, release, began, 2));
  settle();
  EXPECT_EQ(began, (std::vector{0}));
  stop(impatient);
  settle();
  EXPECT_EQ(began, (std::vector{0, 2}));
  stop(small);
  stop(holder);
  EXPECT_EQ(semaphore.available(), 2u);
}

TEST_F(Sync, APermitGrantedJustBeforeCancellationIsGivenBack) {
  Semaphore semaphore(context.get_executor(), 1);
  Event release(context.get_executor());
  TaskGroup waiter(context.get_executor());
  std::vector<int> began;
  auto permit = semaphore.try_acquire(1);
  waiter.spawn(hold(semaphore, 1, release, began, 0));
  settle();
  permit.reset();  // grants, without the coroutine having run yet
  stop(waiter);
  EXPECT_EQ(semaphore.available(), 1u);
}

TEST_F(Sync, DrainingWaitsWithoutCancelling) {
  WaitQueue queue(context.get_executor());
  TaskGroup group(context.get_executor()), other(context.get_executor());
  std::vector<int> woken;
  bool drained = false;
  group.spawn(wait_and_note(queue, woken, 0));
  const auto drain = [](TaskGroup& group, bool& drained) -> Task<void> {
    co_await group.drain();
    drained = true;
  };
  other.spawn(drain(group, drained));
  settle();
  EXPECT_FALSE(drained);
  queue.wake_all();
  settle();
  EXPECT_TRUE(drained);
  EXPECT_EQ(woken, (std::vector{0}));
}

TEST_F(Sync, ABackgroundTaskThatThrowsIsOurMistake) {
  EXPECT_DEATH(
      {
        TaskGroup group(context.get_executor());
        const auto blow = []() -> Task<void> {
          co_await asio::post(asio::use_awaitable);
          throw std::runtime_error("boom");
        };
        group.spawn(blow());
        settle();
      },
      "boom");
}

}  // namespace
}  // namespace spatter
