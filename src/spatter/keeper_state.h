// Inside the keeper: what its parts (waiting, shipping, mending, tidying) share. All of it lives on
// the executor.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <set>

#include "holder_link.h"
#include "spatter/keeper.h"
#include "spatter/upkeep.h"
#include "base/task_groups.h"

namespace spatter {

struct Keeper::State {
  State(SpatterContext context, OwnedVolume volume, PackStore& packs, StripeReader& reader,
        KeeperOptions options);

  // --- The whole (keeper.cpp) -----------------------------------------------------------------
  Task<void> run();
  Task<TimePoint> sweep();
  const NetworkView& view();
  void view_changed() { view_until = {}; }
  void poke() { work.set(); }
  StripeLabel label_of(const PackInfo& pack, ByteRange range) const;
  Task<void> remove_stripes(std::vector<StripeId> ids);
  Task<void> remove_pack(PackId pack);
  Task<void> remove_all_of(PackId pack);

  // --- Waiting for levels, and slices of the open pack (keeper_wait.cpp) ------------------------
  struct Waiter {
    PackPosition position;
    Level level;
  };
  struct Cut {
    PackId pack;
    ByteRange range;
    bool wide = false;
  };
  /// A place in the log that only moves forward: everything before it has once reached a level.
  struct Mark {
    std::uint64_t sequence = 0;
    PackId pack;
    std::uint64_t offset = 0;
  };
  Task<Result<void>> wait_for(PackPosition position, Level level);
  bool reached(const PackPosition& position, Level level);
  bool is_stuck(Level level);
  bool counts(const Stripe& stripe, Level level);
  void cut_if_wanted();
  Task<void> cut();
  std::uint64_t cut_from(const PackId& pack, Level level);
  void failed(Error error);

  // --- Shipping sealed packs and quiet tails (keeper_ship.cpp) ----------------------------------
  void start_ships(TimePoint& next);
  Task<void> ship(PackInfo pack);
  void start_tail(TimePoint& next);
  Task<void> write_tail(PackInfo pack, ByteRange range);
  Task<void> tidy(PackId pack);
  Task<Result<void>> write_range(PackInfo pack, ByteRange range, Shape shape);
  std::uint64_t backlog() const;

  // --- Mending stripes, releasing, asking holders (keeper_mend.cpp,
  // keeper_renew.cpp) ---------------------------------------------------------------------------
  Task<void> scan();
  void end_round();
  void start_mends(TimePoint& next);
  Task<void> mend(StripeId id);
  void start_releases(TimePoint& next);
  Task<void> release(ServerId holder);
  void start_inventory(TimePoint& next);
  Task<void> inventory(ServerId holder);
  Task<Result<void>> take_inventory(ServerId holder);
  Task<void> renew(ServerId holder, std::vector<ShardKey> due);
  Task<Result<void>> renew_some(ServerId holder, std::span<const ShardKey> keys);
  Task<Result<void>> release_unknown(ServerId holder, std::vector<ReleasedShard> unknown);
  Task<Result<void>> check_packs_known(ServerId holder, std::set<StripeId> unknown);
  Result<void> check_pack_known(const wire::Signed& descriptor);
  Task<void> remove_garbage();
  Task<void> mark_lost(StripeId stripe, std::uint16_t index, ServerId holder);

  class Source final : public PackBytes {
   public:
    explicit Source(PackStore& packs) : packs_(packs) {}
    Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) override {
      if (auto bytes = packs_.newest(pack, offset, length)) co_return std::move(*bytes);
      co_return co_await packs_.read(pack, offset, length);
    }

   private:
    PackStore& packs_;
  };

  SpatterContext context;
  OwnedVolume volume;
  PackStore& packs;
  StripeReader& reader;
  KeeperOptions options;
  Source source;
  StripeWriter writer;
  HolderLink link;
  TaskGroup tasks;
  Event work;        ///< something may be to do
  WaitQueue changed; ///< a stripe got safer, something ended or failed
  std::optional<Members::Subscription> subscription;
  Keeper::MayRelease may_release;
  std::function<void(Error)> on_behind;
  bool stopping = false;
  unsigned removing = 0;  ///< packs whose stripes are being forgotten

  NetworkView view_;
  TimePoint view_until{};
  TimePoint grace_ends = TimePoint::max();  ///< of whoever comes next to be counted as gone
  WallMs started_ms = 0;

  std::list<Waiter> waiters;
  std::list<Cut> cuts;
  bool deciding = false;
  std::map<Level, Mark> marks;
  std::uint64_t old_packs_until = 0;  ///< packs of earlier runs: any stripe counts for waiters
  std::uint64_t failures = 0;
  Error last_failure;

  std::set<PackId> shipping;
  std::map<PackId, TimePoint> ship_again_at;
  std::set<PackId> in_shape;      ///< sealed packs with nothing to ship; emptied when the view changes
  bool writing_tail = false;
  TimePoint tail_again_at{};
  PackPosition tail_seen;
  TimePoint tail_seen_at{};
  std::uint64_t shipped_bytes = 0;
  double shipped_per_second = 0;

  bool scan_wanted = true;
  bool scanning = false;
  std::deque<StripeId> to_mend;
  std::set<StripeId> mending;
  std::set<StripeId> mend_queued;
  /// From the first stripe that is not as the network allows until none is left.
  struct MendRound {
    TimePoint begun;
    std::size_t shards = 0;
    std::uint64_t bytes = 0;
  };
  std::optional<MendRound> round;
  std::map<StripeId, TimePoint> mend_again_at;
  TimePoint scan_at{};

  std::set<ServerId> releasing;
  std::map<ServerId, TimePoint> release_again_at;
  std::map<ServerId, TimePoint> inventory_at;  ///< next time
  std::map<ServerId, TimePoint> inventory_begun;  ///< last time
  std::optional<ServerId> taking_inventory;
};

}  // namespace spatter
