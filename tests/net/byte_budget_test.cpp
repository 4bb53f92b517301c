// Room for payloads: never more than there is, first come first served, nobody starved by a peer
// that has used up its own share.
#include "byte_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace spatter {
namespace {

struct ByteBudgetTest : testing::Test {
  std::shared_ptr<ByteBudget> budget = std::make_shared<ByteBudget>(100);
  std::shared_ptr<ByteBudget::Account> a = std::make_shared<ByteBudget::Account>(60);
  std::shared_ptr<ByteBudget::Account> b = std::make_shared<ByteBudget::Account>(60);
  std::vector<ByteBudget::Hold> holds;
  std::vector<int> order;

  auto take(const std::shared_ptr<ByteBudget::Account>& account, std::size_t bytes, int name) {
    return budget->take(account, bytes, [this, name](ByteBudget::Hold hold) {
      holds.push_back(std::move(hold));
      order.push_back(name);
    });
  }
  /// What this makes room for adds new holds while the old ones go.
  void release() { std::exchange(holds, {}); }
};

TEST_F(ByteBudgetTest, RoomIsGivenAtOnceWhileThereIsSomeAndReturnedByDropping) {
  auto want = take(a, 60, 1);
  EXPECT_EQ(budget->used(), 60u);
  EXPECT_FALSE(budget->try_take(a, 1));
  EXPECT_TRUE(budget->try_take(b, 40));
  release();
  EXPECT_EQ(budget->used(), 0u);
  EXPECT_EQ(a->used, 0u);
}

TEST_F(ByteBudgetTest, TheLineIsServedInOrderAndSmallOnesDoNotOvertakeInTheWholeBudget) {
  auto first = take(a, 60, 1);
  auto large = take(b, 50, 2);
  auto small = take(b, 10, 3);
  EXPECT_EQ(order, std::vector{1});
  EXPECT_FALSE(budget->try_take(b, 1));
  release();
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(ByteBudgetTest, APeerAtItsOwnLimitHoldsNobodyElseUp) {
  auto first = take(a, 60, 1);
  auto waiting = take(a, 10, 2);
  auto other = take(b, 40, 3);
  EXPECT_EQ(order, (std::vector{1, 3}));
}

TEST_F(ByteBudgetTest, WhoLeavesTheLineIsSkipped) {
  auto first = take(a, 60, 1);
  auto gone = take(b, 50, 2);
  auto stays = take(b, 20, 3);
  gone.reset();
  release();
  EXPECT_EQ(order, (std::vector{1, 3}));
}

}  // namespace
}  // namespace spatter
