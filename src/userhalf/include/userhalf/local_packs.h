// The pack files of a drive whose index was lost: which there are, how far they are whole, and reading
// them for a restore ahead of the network. They may hold what nobody else has yet.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/runtime.h"
#include "crypto/volume_keys.h"
#include "userhalf/pack_store.h"
#include "userhalf/volume.h"

namespace spatter {

/// The packs of `volume` in `folder`, by sequence, each up to its last entry that proves itself;
/// `local` is set. Reads and verifies every byte; other files are left out. No folder: none.
Task<Result<std::vector<RestorePack>>> find_local_packs(Runtime& runtime, std::string folder,
                                                        VolumeKeys keys, VolumeId volume);

/// Of a pack that both know, what reaches farther: the local file if it is as long, else the
/// network's bytes. Of two packs with one number, the network's. Pure; by sequence.
std::vector<RestorePack> merge_packs(std::vector<RestorePack> network,
                                     std::vector<RestorePack> local);

/// Reads packs that are local from their files, all others from `remote`.
class LocalFirst final : public RemotePacks {
 public:
  LocalFirst(Runtime& runtime, std::string folder, const std::vector<RestorePack>& packs,
             RemotePacks& remote);
  Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) override;

 private:
  Runtime& runtime_;
  std::string folder_;
  std::map<PackId, std::uint64_t> local_;  ///< lengths
  RemotePacks& remote_;
};

}  // namespace spatter
