#include "deadlines.h"

namespace spatter {

void Deadlines::Token::cancel() {
  if (auto owner = owner_.lock()) owner->all_.erase(place_);
  owner_.reset();
}

Deadlines::Token Deadlines::add(TimePoint when, std::function<void()> passed) {
  Token token;
  token.owner_ = weak_from_this();
  token.place_ = {when, next_++};
  all_.emplace(token.place_, std::move(passed));
  if (when < armed_) sooner_.set();
  return token;
}

Task<void> Deadlines::run(std::shared_ptr<Deadlines> self) {
  using namespace asio::experimental::awaitable_operators;
  for (;;) {
    while (!self->all_.empty() && self->all_.begin()->first.first <= self->runtime_.now()) {
      auto passed = std::move(self->all_.begin()->second);
      self->all_.erase(self->all_.begin());
      passed();
    }
    self->sooner_.reset();
    self->armed_ = self->all_.empty() ? TimePoint::max() : self->all_.begin()->first.first;
    if (self->armed_ == TimePoint::max())
      co_await self->sooner_.wait();
    else
      co_await (self->runtime_.sleep_until(self->armed_) || self->sooner_.wait());
  }
}

}  // namespace spatter
