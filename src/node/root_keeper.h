// Keeps the volume's root record at the other servers: the one thing a new machine must find there
// to bring the volume back, and the fence between two writers.
//
// The newest record is in the drive before anybody else sees it, so that its version never goes
// back. All calls on the executor.
#pragma once

#include <set>

#include "base/sync.h"
#include "crypto/volume_keys.h"
#include "spatter/context.h"
#include "trust/certificate.h"
#include "userhalf/volume.h"

namespace spatter {

/// The last root record this drive made, if it is of `volume`.
Task<Result<std::optional<wire::RootRecord>>> load_root(Runtime& runtime, VolumeId volume);

class RootKeeper {
 public:
  /// `number` is this server's as a writer. References outlive the keeper.
  RootKeeper(SpatterContext context, Volume& volume, const VolumeKeys& keys, std::uint64_t number,
             std::uint64_t last_version);

  void start();
  Task<void> stop();

  /// Completes when at least one other server, if any is up, has a root record of this writer.
  Task<Result<void>> ensure_known();

  /// Another server has taken the volume over: nothing may be written here any more.
  Result<void> may_write() const;

  /// After a snapshot: what the root says has changed.
  void changed();

 private:
  Task<void> publish_loop();
  Task<Result<void>> publish();
  Task<Result<wire::Signed>> make_record();
  std::set<ServerId> servers_up() const;

  SpatterContext context_;
  Volume& volume_;
  const VolumeKeys& keys_;
  std::uint64_t number_;
  std::uint64_t version_;
  std::optional<wire::Signed> record_;  ///< the newest, in the drive
  std::set<ServerId> known_to_;         ///< have record_
  bool stale_ = true;                   ///< record_ no longer says what is so
  std::optional<Error> fenced_;
  Mutex publishing_;
  Event wanted_;
  Members::Subscription subscription_ = 0;
  TaskGroup tasks_;
};

}  // namespace spatter
