#include "byte_budget.h"

#include "base/error.h"

namespace spatter {

void ByteBudget::Hold::release() {
  auto budget = std::exchange(budget_, nullptr);
  if (!budget) return;
  const std::size_t bytes = std::exchange(bytes_, 0);
  budget->used_ -= bytes;
  account_->used -= bytes;
  account_.reset();
  budget->serve();
}

ByteBudget::Hold ByteBudget::give(const std::shared_ptr<Account>& account, std::size_t bytes) {
  account->used += bytes;
  used_ += bytes;
  return Hold(shared_from_this(), account, bytes);
}

std::optional<ByteBudget::Hold> ByteBudget::try_take(const std::shared_ptr<Account>& account,
                                                     std::size_t bytes) {
  if (!line_.empty() || !fits(*account, bytes)) return std::nullopt;
  return give(account, bytes);
}

std::shared_ptr<ByteBudget::Want> ByteBudget::take(std::shared_ptr<Account> account,
                                                   std::size_t bytes,
                                                   std::function<void(Hold)> granted) {
  SPATTER_ASSERT(bytes <= limit_ && bytes <= account->limit);
  auto want = std::make_shared<Want>(std::move(account), bytes, std::move(granted));
  line_.push_back(want);
  serve();
  return want;
}

/// First come, first served, but a peer that has used up its own limit holds nobody else up.
void ByteBudget::serve() {
  for (auto place = line_.begin(); place != line_.end();) {
    auto want = place->lock();
    if (!want) {
      place = line_.erase(place);
    } else if (want->account->used + want->bytes > want->account->limit) {
      ++place;
    } else if (used_ + want->bytes > limit_) {
      return;
    } else {
      line_.erase(place);
      // The callback may take or release more: look at the line afresh.
      auto granted = std::move(want->granted);
      granted(give(want->account, want->bytes));
      place = line_.begin();
    }
  }
}

}  // namespace spatter
