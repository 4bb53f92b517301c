// Copies the files of volumes that lost their servers into this server's own volume, each below
// `/recovered/<volume>`: what a new machine does with the volumes it does not take over.
//
// It works in the background while the server serves, and goes on where it was after a restart: the
// list of volumes still to be copied is a file of the drive, a volume leaves it when every file of it
// is safe with others as part of the own volume. Files that can't be read yet are tried again. A
// volume whose server comes back meanwhile is left to it. All calls on the executor.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/sync.h"
#include "crypto/person_keys.h"
#include "crypto/volume_keys.h"
#include "spatter/reader.h"
#include "spatter/recover.h"
#include "userhalf/volume.h"

namespace spatter {

class Salvage {
 public:
  struct Parts {
    SpatterContext context;
    const PersonKeys& person;
    Volume& volume;  ///< the own one
    std::function<Result<void>()> may_write;
    /// Completes when everything before the position is safe with others.
    std::function<Task<Result<void>>(PackPosition)> make_safe;
  };
  Salvage(Parts parts, std::vector<VolumeId> volumes);
  ~Salvage();

  /// The volumes still to be copied, as the drive says; none when there is nothing to do.
  static Task<Result<std::vector<VolumeId>>> load(Runtime& runtime);
  /// Durable on return.
  static Task<Result<void>> save(Runtime& runtime, const std::vector<VolumeId>& volumes);

  void start();
  Task<void> stop();

  bool is_done() const { return volumes_.empty(); }
  /// What people should know; empty when it is done.
  std::string note() const;

 private:
  struct Source;
  Task<void> run();
  Task<Result<void>> bring_back(VolumeId volume);
  Task<Result<void>> open_source(const KnownVolume& known);
  Task<void> close_source();
  Task<Result<void>> copy_directory(std::string from, std::string to);
  Task<Result<void>> copy(const DirectoryEntry& entry, const std::string& from,
                          const std::string& to);
  Task<Result<void>> copy_file(const Node& node, const std::string& from, const std::string& to);
  Task<bool> is_copied(const Node& node, const std::string& to);

  Parts parts_;
  std::vector<VolumeId> volumes_;
  std::unique_ptr<Source> source_;  ///< the volume being copied
  std::uint64_t files_ = 0;         ///< in it
  std::uint64_t files_copied_ = 0;
  std::uint64_t files_unread_ = 0;
  std::string behind_;              ///< why the list of its files is not the newest, if it may be yet
  std::string trouble_;             ///< why the last try did not finish
  TaskGroup tasks_;
};

}  // namespace spatter
