// Keeps the volume's root record at the other servers: the one thing a new machine must find there
// to bring the volume back, and the fence between two writers. Before it gives one to a member it
// looks at what that member has: so that a drive whose index was lost or set back is found out.
//
// The newest record is in the drive before anybody else sees it, so that its version never goes
// back. All calls on the executor.
#pragma once

#include <map>
#include <set>

#include "base/sync.h"
#include "crypto/volume_keys.h"
#include "spatter/context.h"
#include "spatter/keeper.h"
#include "trust/certificate.h"
#include "userhalf/volume.h"

namespace spatter {

/// The last root record this drive made, of whatever volume.
Task<Result<std::optional<wire::RootRecord>>> load_root(Runtime& runtime);

/// Of so many others that are up, how many must know the writer so that the level's promise holds for
/// finding the volume as well: safe survives the loss of a third of them, full of two thirds.
std::size_t roots_wanted(std::size_t others_up, Level level);

class RootKeeper {
 public:
  /// `number` is this server's as a writer. References outlive the keeper.
  RootKeeper(SpatterContext context, Volume& volume, const VolumeKeys& keys, std::uint64_t number,
             std::uint64_t last_version);

  void start();
  Task<void> stop();

  /// Completes when roots_wanted() of the others that are up have a root record of this writer.
  /// Errc::unavailable when they don't take it for long, else as may_write.
  Task<Result<void>> ensure_known(Level level);

  /// An error when nothing may be written here any more: another server has taken the volume over
  /// (fenced), or the index here turned out not to be the newest (corrupt).
  Result<void> may_write() const;
  /// Whether it is the index here that is wrong.
  bool index_is_behind() const { return refused_ && refused_->code == Errc::corrupt; }
  /// Somebody else found out that it is.
  void refuse(Error why);

  /// Whether shards at this holder may be released: all that are up, and it, were asked in this run
  /// what root records they have, and none says more than the index here.
  Task<Result<void>> may_release(ServerId holder);

  /// Looks at what all others that are up have, again. Errors as of may_write; who does not answer is passed over.
  Task<Result<void>> compare_all();

  /// After a snapshot: what the root says has changed.
  void changed();

  /// What root records by these keys of the person say counts no more: they were in wrong hands. A refusal is
  /// looked into anew.
  /// False: they counted for nothing before.
  bool disown(std::set<PersonId> keys);

 private:
  struct Told {
    bool compared = false;    ///< what it has was looked at in this run
    bool knows = false;       ///< has a record of this writer number
    std::uint64_t version = 0;  ///< of the newest that it has of us
    bool busy = false;
    Duration pause{};         ///< before the next try
  };

  Task<void> publish_loop();
  Task<void> tell(ServerId member);
  Task<Result<void>> tell_once(ServerId member);
  Task<Result<void>> compare(ServerId member);
  Task<Result<void>> make_record();
  std::vector<ServerId> servers_up() const;
  bool is_known(Level level) const;

  SpatterContext context_;
  Volume& volume_;
  const VolumeKeys& keys_;
  std::uint64_t number_;
  std::uint64_t version_;               ///< the highest that was ever given to anybody
  std::optional<wire::Signed> record_;  ///< the newest made in this run, in the drive
  std::uint64_t record_version_ = 0;
  std::map<ServerId, Told> told_;
  bool stale_ = true;                   ///< record_ no longer says what is so
  std::optional<Error> refused_;
  std::set<PersonId> disowned_;
  Event wanted_;
  WaitQueue progress_;
  Members::Subscription subscription_ = 0;
  TaskGroup tasks_;
};

}  // namespace spatter
