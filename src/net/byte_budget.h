// Room in memory for payloads that are on their way in: bounded per peer and in all, given out first
// come, first served. Executor only.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>

namespace spatter {

class ByteBudget : public std::enable_shared_from_this<ByteBudget> {
 public:
  /// What one peer uses.
  struct Account {
    std::size_t limit;
    std::size_t used = 0;
  };

  /// Room that was given; goes back when this dies.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept { swap(other); }
    Hold& operator=(Hold&& other) noexcept {
      Hold taken(std::move(other));
      swap(taken);
      return *this;
    }
    ~Hold() { release(); }
    void release();
    std::size_t bytes() const { return bytes_; }

   private:
    friend class ByteBudget;
    Hold(std::shared_ptr<ByteBudget> budget, std::shared_ptr<Account> account, std::size_t bytes)
        : budget_(std::move(budget)), account_(std::move(account)), bytes_(bytes) {}
    void swap(Hold& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(account_, other.account_);
      std::swap(bytes_, other.bytes_);
    }
    std::shared_ptr<ByteBudget> budget_;
    std::shared_ptr<Account> account_;
    std::size_t bytes_ = 0;
  };

  /// A place in the line; leaving it is dropping this.
  struct Want {
    std::shared_ptr<Account> account;
    std::size_t bytes;
    std::function<void(Hold)> granted;
  };

  explicit ByteBudget(std::size_t limit) : limit_(limit) {}

  std::optional<Hold> try_take(const std::shared_ptr<Account>& account, std::size_t bytes);
  /// Calls `granted` as soon as there is room, perhaps before this returns. `bytes` must not exceed
  /// either limit.
  [[nodiscard]] std::shared_ptr<Want> take(std::shared_ptr<Account> account, std::size_t bytes,
                                           std::function<void(Hold)> granted);
  std::size_t used() const { return used_; }

 private:
  bool fits(const Account& account, std::size_t bytes) const {
    return account.used + bytes <= account.limit && used_ + bytes <= limit_;
  }
  Hold give(const std::shared_ptr<Account>& account, std::size_t bytes);
  void serve();

  std::size_t limit_;
  std::size_t used_ = 0;
  std::list<std::weak_ptr<Want>> line_;
};

}  // namespace spatter
