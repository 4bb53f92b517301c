// One lock per shard key, made when wanted and gone with its last user: while one operation changes
// a shard's file and row, no other may.
#pragma once

#include <map>
#include <memory>

#include "base/sync.h"
#include "serverhalf/shard_store.h"

namespace spatter::serverhalf {

class KeyLocks {
 public:
  explicit KeyLocks(asio::any_io_executor executor) : executor_(std::move(executor)) {}

 private:
  struct Slot {
    explicit Slot(asio::any_io_executor executor) : mutex(std::move(executor)) {}
    Mutex mutex;
    std::size_t users = 0;
  };

 public:
  class Hold {
   public:
    Hold() = default;
    Hold(KeyLocks* owner, const ShardKey& key) : owner_(owner), key_(key) {
      slot_ = owner->slots_.try_emplace(key, nullptr).first->second;
      if (!slot_) {
        slot_ = std::make_shared<Slot>(owner->executor_);
        owner->slots_[key] = slot_;
      }
      ++slot_->users;
    }
    Hold(Hold&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), key_(other.key_),
          slot_(std::move(other.slot_)), permit_(std::move(other.permit_)) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (!owner_) return;
      permit_.release();
      if (--slot_->users == 0) owner_->slots_.erase(key_);
    }

   private:
    friend class KeyLocks;
    KeyLocks* owner_ = nullptr;
    ShardKey key_;
    std::shared_ptr<Slot> slot_;
    Semaphore::Permit permit_;
  };

  /// Several at once only in the order of keys.
  Task<Hold> lock(ShardKey key) {
    Hold hold(this, key);
    hold.permit_ = co_await hold.slot_->mutex.lock();
    co_return hold;
  }

 private:
  asio::any_io_executor executor_;
  std::map<ShardKey, std::shared_ptr<Slot>> slots_;
};

}  // namespace spatter::serverhalf
