// What the owner knows of his stripes: which pack range each one encodes, who keeps its shards, and
// the signed descriptor and receipts that prove it. Kept in user/stripes.db; the part needed to find
// and judge stripes is mirrored in memory.
//
// Crash rules: a row exists only for stripes that reached `safe` (or all that could be had), with
// their receipts. Nobody waits for a new row to be durable: what makes bytes safe is that they are
// on this disk and that holders signed for them. Rows follow within milliseconds, many in one
// commit. Shards sent before a crash without a row are unknown to their owner: the keeper ships
// their pack range again, and only then, when listing shows them, releases them. Stripes of packs
// the volume no longer knows are released.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/database.h"
#include "base/ids.h"
#include "base/runtime.h"
#include "base/sync.h"

namespace spatter {

struct PlacedShard {
  std::uint16_t index = 0;
  bool lost = false;  ///< its holder lost or rotted it, or is gone for good: to be rebuilt
  ServerId holder;    ///< the own server for copies in the own server half
};

struct Stripe {
  StripeId id;
  PackId pack;
  std::uint64_t offset = 0;  ///< where in the pack it begins
  std::uint64_t length = 0;  ///< pack bytes encoded
  std::uint16_t k = 1;
  std::uint16_t n = 3;
  std::uint64_t shard_size = 0;
  WallMs created_ms = 0;
  std::vector<PlacedShard> shards;  ///< an index may stand twice while it moves

  std::uint64_t end() const { return offset + length; }
};
using StripePtr = std::shared_ptr<const Stripe>;

/// A shard at a holder that is no longer needed; kept until the holder confirms.
struct ReleasedShard {
  StripeId stripe;
  std::uint16_t index = 0;
  ServerId holder;
};

struct ShardReceipt {
  std::uint16_t index = 0;
  ServerId holder;
  Bytes contract;  ///< a wire::Contract with both signatures
};

/// All calls on the executor. Changes are durable, and visible in memory, when they complete, but for
/// add() and what add_shards() adds to a stripe not yet recorded: those are visible, and durable soon.
class StripeTable {
 public:
  static Task<Result<std::unique_ptr<StripeTable>>> open(Runtime& runtime, std::string path);
  Task<void> close();  ///< what is not yet durable is made so

  /// `descriptor` is the serialized wire::Signed. While the disk refuses rows, new ones are refused.
  Task<Result<void>> add(Stripe stripe, Bytes descriptor, std::vector<ShardReceipt> receipts);
  struct NewStripe {
    Stripe stripe;
    Bytes descriptor;
    std::vector<ShardReceipt> receipts;
  };
  /// Makes durable what add() has left to be. On an error it is tried again by itself.
  Task<Result<void>> flush();
  /// Whether the row of this stripe is on stable storage (and is not on its way there).
  bool is_recorded(const StripeId& id) const { return !unrecorded_.contains(id); }
  /// Many at once, as when recovering; those known already are replaced.
  Task<Result<void>> add_all(std::vector<NewStripe> stripes);
  /// More shards stand; an index that had another holder keeps both until drop_shards.
  Task<Result<void>> add_shards(StripeId stripe, std::vector<ShardReceipt> receipts);
  /// Forgets shards and, if `release`, queues them for release at their holders.
  Task<Result<void>> drop_shards(std::vector<ReleasedShard> shards, bool release);
  Task<Result<void>> mark_lost(StripeId stripe, std::uint16_t index, ServerId holder);
  Task<Result<void>> mark_found(StripeId stripe, std::uint16_t index, ServerId holder);
  /// Forgets whole stripes and queues their shards for release.
  Task<Result<void>> remove(std::vector<StripeId> stripes);

  Task<Result<std::vector<ReleasedShard>>> releases(ServerId holder, unsigned limit);
  Task<Result<void>> queue_releases(std::vector<ReleasedShard> shards);
  Task<Result<void>> released(std::vector<ReleasedShard> shards);
  const std::unordered_map<ServerId, std::uint64_t>& releases_waiting() const { return waiting_; }

  StripePtr find(const StripeId& id) const;
  /// Stripes of a pack by offset, longer ones first. The reference holds until the next suspension.
  const std::vector<StripePtr>& of_pack(const PackId& pack) const;
  std::vector<StripePtr> all() const;
  std::size_t size() const { return stripes_.size(); }
  std::vector<PackId> packs() const;

  /// The serialized wire::Signed descriptor; the newest few are cached.
  Task<Result<Bytes>> descriptor(StripeId id);
  struct Contracted {
    StripeId stripe;
    std::uint16_t index;
    ServerId holder;
    Bytes contract;
  };
  Task<Result<std::vector<Contracted>>> contracts(std::size_t limit);
  /// Later contracts in place of those of shards that are still known; nothing else changes.
  Task<Result<void>> renew(std::vector<Contracted> contracts);

  /// Counts changes: equal versions mean an unchanged table.
  std::uint64_t version() const { return version_; }
  /// Called after every change (on the executor).
  void on_change(std::function<void()> call) { changed_ = std::move(call); }

 private:
  explicit StripeTable(Runtime& runtime);
  Task<Result<void>> load();
  Task<void> record_soon();
  Task<Result<void>> mark(StripeId stripe, std::uint16_t index, ServerId holder, bool lost);
  void put(Stripe stripe);
  void notify();
  void erase(const StripeId& id);

  Runtime& runtime_;
  std::unique_ptr<Database> database_;
  std::vector<NewStripe> pending_;           ///< added, and not yet handed to the database
  std::unordered_set<StripeId> unrecorded_;  ///< those, and those being written
  Mutex flushing_;                           ///< held by who writes what was pending
  bool recording_ = false;
  bool refused_ = false;                     ///< the last flush failed
  TaskGroup recorder_;
  std::unordered_map<StripeId, StripePtr> stripes_;
  std::unordered_map<PackId, std::vector<StripePtr>> by_pack_;
  std::unordered_map<ServerId, std::uint64_t> waiting_;
  std::unordered_map<StripeId, Bytes> descriptors_;  ///< cache
  std::deque<StripeId> descriptor_order_;
  std::uint64_t version_ = 0;
  std::function<void()> changed_;
};

}  // namespace spatter
