// The service that keeps what was written in the network, in the shape the network now has: ships
// sealed packs as wide stripes, cuts slices of the open pack when somebody waits, widens and evens
// out when servers join, rebuilds what holders lost, releases what is no longer needed.
//
// It persists nothing it can compute again from the stripe table, the packs and the members.
#pragma once

#include <functional>
#include <memory>
#include <set>

#include "base/sync.h"
#include "spatter/context.h"
#include "spatter/reader.h"
#include "spatter/safety.h"
#include "spatter/writer.h"
#include "userhalf/pack_store.h"

namespace spatter {

enum class Level {
  local,  ///< on this machine's stable storage
  safe,   ///< 2k of 3k shards receipted, or all the network can have
  full,   ///< every shard of the present shape receipted
};

struct KeeperOptions {
  Duration grace = std::chrono::hours(24);  ///< a holder gone this long has lost its shards
  Duration check_every = std::chrono::hours(6);  ///< ask every holder whether it still has all
  Duration fold_after = std::chrono::seconds(5); ///< an idle tail's small slices are folded
  unsigned writes_at_once = 4;  ///< packs being shipped; half of them may wait for receipts only
  unsigned moves_at_once = 9;   ///< stripes being mended; of some the holders' receipts are on their way only
};

class Keeper {
 public:
  Keeper(SpatterContext context, OwnedVolume volume, PackStore& packs, StripeReader& reader,
         KeeperOptions options = {});
  ~Keeper();

  /// Asked before anything is released at a holder; with an error nothing is. Set before start().
  using MayRelease = std::function<Task<Result<void>>(ServerId holder)>;
  void set_may_release(MayRelease call);
  /// Told when what holders keep shows that the packs known here are not all there are: then this
  /// drive's index is older than the network's, and what it doesn't know must not be released.
  void on_behind(std::function<void(Error)> call);

  void start();
  Task<void> stop();

  /// Completes when every pack byte before `position` has reached `level`. Waiters that come at the
  /// same time share a slice. With no other server, the copy in the own server half is all there
  /// can be, and is waited for. Errc::unavailable when the level can't be reached as things are
  /// (too few servers reachable, all full), naming what is missing.
  Task<Result<void>> wait_for(PackPosition position, Level level);

  /// `each_gone`: the chance that a server goes for good within a day; 0: chances are not asked for.
  SafetyReport report(double each_gone = 0) const;
  /// nullopt: nothing that could be lost.
  std::optional<FileSafety> safety_of(std::span<const PackPiece> pieces, double each_gone) const;
  /// True for a pack whose every byte is full in the network, by stripes whose rows are durable: it
  /// may be evicted.
  bool is_full(const PackId& pack) const;
  /// Nothing left to ship, move, rebuild or release as far as can be done now.
  bool idle() const;
  Task<void> wait_idle();

  /// A holder says that it lost some of what it keeps for us: asks it soon what it still has.
  void holder_lost_some(ServerId holder);

  /// An audit has found a shard wrong or missing: it is mended at once.
  void shard_failed(StripeId stripe, std::uint16_t index, ServerId holder);

  /// Asks for an immediate look at everything (members changed, a pack was removed).
  void poke();
  /// The same, and asks those again who have refused: this server is known to them by another key now.
  void ask_all_again();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace spatter
