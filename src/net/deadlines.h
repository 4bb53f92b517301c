// Many deadlines, one sleeping coroutine. Executor only.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/runtime.h"
#include "base/sync.h"

namespace spatter {

class Deadlines : public std::enable_shared_from_this<Deadlines> {
 public:
  explicit Deadlines(Runtime& runtime) : runtime_(runtime), sooner_(runtime.executor()) {}

  /// Takes its deadline back when it dies.
  class Token {
   public:
    Token() = default;
    Token(Token&& other) noexcept : owner_(std::move(other.owner_)), place_(other.place_) {
      other.owner_.reset();
    }
    Token& operator=(Token&& other) noexcept {
      if (this == &other) return *this;
      cancel();
      owner_ = std::move(other.owner_);
      other.owner_.reset();
      place_ = other.place_;
      return *this;
    }
    ~Token() { cancel(); }
    void cancel();

   private:
    friend class Deadlines;
    using Key = std::pair<TimePoint, std::uint64_t>;
    std::weak_ptr<Deadlines> owner_;
    Key place_;
  };

  /// Runs `passed` once, at `when` or soon after, unless the token is dropped before.
  [[nodiscard]] Token add(TimePoint when, std::function<void()> passed);

  /// Runs until cancelled; spawn it once.
  static Task<void> run(std::shared_ptr<Deadlines> self);

 private:
  Runtime& runtime_;
  Event sooner_;
  TimePoint armed_ = TimePoint::max();
  std::uint64_t next_ = 0;
  std::map<Token::Key, std::function<void()>> all_;
};

}  // namespace spatter
