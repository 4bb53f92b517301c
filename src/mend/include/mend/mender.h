// The holder's part of keeping stripes alive: knows from the lists of holders (trust/holder_list.h)
// who else keeps what it keeps, sees who is gone, and, when it is its turn, rebuilds what is
// missing from any k shards, places it with new holders whom chance names, and has a majority of the
// old holders sign the new list. All on ciphertext; the owner need not be there.
//
// What goes wrong on the way costs work, never shards: a rebuilt shard is kept on trial until a list
// names it; a list counts only with its signatures; whoever has a newer list passes it on; who finds
// himself left out keeps his shards until somebody else has them by a list that a majority signed.
//
// All calls on the executor. The parts outlive it; await stop() before it dies. What it knows is in
// memory, read from the shard store at start; lists and shards are durable there before anybody is told.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/byte_rate.h"
#include "base/sync.h"
#include "directory/members.h"
#include "mend/danger.h"
#include "net/rpc.h"
#include "serverhalf/shard_store.h"
#include "spatter/placement.h"
#include "trust/certificate.h"
#include "trust/holder_list.h"

namespace spatter {

struct MendOptions {
  Duration grace = std::chrono::hours(24);         ///< away longer: what a holder keeps counts as lost
  Duration absent_after = std::chrono::hours(72);  ///< away longer: it no longer has a voice
  Duration look_every = std::chrono::seconds(60);
  Duration claim = std::chrono::minutes(10);       ///< that a coordinator has for a rebuilding, while it is up
  Duration trial = std::chrono::hours(24);         ///< that a rebuilt shard is kept without a list
  Duration again_after = std::chrono::seconds(60); ///< a rebuilding that did not come off
  Turns turns;
  std::string seen_path = "network/seen";          ///< on the Runtime's disk: when others were last there
  std::string gathered_folder = "server/gathered"; ///< likewise: fetched, of stripes that lack more yet
  std::uint64_t gathered_bytes_max = 0;            ///< of these; 0: a sixteenth of the server half
  unsigned at_once = 1;                            ///< stripes being rebuilt
  std::uint64_t bytes_per_s = 0;                   ///< read and sent for `due` ones; 0: as fast as it goes
};

/// What a holder sees of what it helps to keep.
struct MendReport {
  std::uint64_t stripes = 0;   ///< with a list; each is counted once below
  std::uint64_t none = 0, tidy = 0, due = 0, urgent = 0, lost = 0;
  std::uint64_t untold = 0;    ///< with shards here and no list yet: only their owners can mend them
  std::uint64_t stuck = 0;     ///< of the urgent ones: fewer than k of their shards are at servers that are up, or
                               ///< nobody had room for what is missing when it was last tried here
  std::uint64_t waiting = 0;   ///< to be rebuilt by somebody
  std::uint64_t left_bytes = 0;  ///< to be moved for these
  std::uint64_t stuck_bytes = 0; ///< of that, for those that are stuck
  std::uint64_t running = 0;   ///< being rebuilt here
  std::uint64_t gathered_bytes = 0, gathered_stripes = 0;  ///< kept here for when more of their holders come
  std::uint64_t rebuilt_stripes = 0, rebuilt_shards = 0;  ///< here, since the start
  std::uint64_t rebuilt_bytes = 0, moved_bytes = 0;       ///< likewise: of new shards; read and sent for them
  std::uint64_t taken_back = 0, let_go = 0;               ///< shards of the own half, after an absence
  std::uint64_t rate_bytes_per_s = 0;  ///< the dial; 0: no bound
  double bytes_per_s = 0;      ///< moved, measured while something was rebuilt
  double seconds_left = 0;     ///< for what is waiting; 0 when nothing is, infinity while nothing moves
  std::set<ServerId> gone;     ///< holders whose shards count as lost
  std::string trouble;         ///< why the last rebuilding did not come off; may be empty
};

class Mender {
 public:
  struct Parts {
    Runtime& runtime;
    Rpc& rpc;
    Members& members;
    ShardStore& shards;
    const Identity& identity;
    /// What heavy work took is measured by this clock of the calling thread's CPU time, on any thread, and told on the
    /// executor; unset: neither.
    std::function<Duration()> thread_time;
    std::function<void(Duration)> computed;
  };
  explicit Mender(Parts parts, MendOptions options = {});
  ~Mender();

  /// Reads what the shard store knows, serves mend.tell, get, versions, put and sign, and begins to look.
  Task<Result<void>> start();
  Task<void> stop();

  MendReport report() const;
  void set_rate(std::uint64_t bytes_per_s);
  void set_at_once(unsigned stripes);
  /// Looks at everything soon.
  void poke();
  /// An audit or a read has found a shard wrong or missing at a holder that is up.
  void shard_failed(StripeId stripe, unsigned index, ServerId holder);
  void shard_found(StripeId stripe, unsigned index, ServerId holder);

  /// Called with chains of stripes that a person's servers own, as they are told: the own ones are for
  /// their owner to take in. Set before start().
  std::function<void(wire::HolderChain)> on_told_owner;

  /// What another server keeps of the stripes that are kept here, as the lists say.
  struct SharedShard {
    StripeId stripe;
    std::uint8_t index = 0;
    std::uint64_t size = 0;
    std::vector<ServerId> holders;  ///< of the stripe, both of them included
  };
  std::vector<SharedShard> shared_with(const ServerId& holder) const;
  /// Every other server that shares a stripe with this one.
  std::set<ServerId> counterparts() const;
  /// Who kept stripes with this server until others took the place of one that was gone, and has not come back
  /// since this server was started.
  std::set<ServerId> former_counterparts() const;
  bool holds(const StripeId& stripe, unsigned index, const ServerId& holder) const;  ///< by its list
  std::optional<std::uint64_t> shard_size_of(const StripeId& stripe) const;

  /// Takes in a chain of a stripe that the own server half keeps, as if it had been told.
  Task<Result<void>> take(wire::HolderChain chain);

  /// How long a server has been away, also before this start if it keeps stripes together with this one;
  /// nothing: it is up.
  std::optional<Duration> away(const ServerId& server) const;
  /// Whether its shards count as lost: retired, or away for longer than the grace.
  bool is_gone(const ServerId& server) const;

  /// Whether a server signs for a person.
  bool signs_for(const ServerId& server, const PersonId& owner) const;

  struct State;

 private:
  std::shared_ptr<State> state_;  ///< shared with calls that come too late
};

}  // namespace spatter
