// Sealed announce clips at one server: kept as files, given to any member who asks, and fetched from
// others. Sealed, so that copies are of use to members alone (trust/clip.h).
//
// All calls on the executor. Bounded: what no present business needs goes when there are more than
// `bytes_max` of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime.h"
#include "directory/members.h"
#include "net/rpc.h"
#include "trust/clip.h"

namespace spatter {

class ClipStore {
 public:
  /// Files go into `folder` below the drive. The references outlive it.
  ClipStore(Runtime& runtime, Rpc& rpc, const Members& members, std::string folder,
            std::uint64_t bytes_max = 512ULL << 20)
      : runtime_(runtime), rpc_(rpc), members_(members), folder_(std::move(folder)),
        bytes_max_(bytes_max) {}

  /// Serves trust.clip.
  void start();

  /// Whether a clip must stay; asked when room is made. Unset: none must.
  std::function<bool(const Digest& clip)> is_needed;

  /// Durable on return. invalid: longer than a clip may be; no_space: all that is here is needed.
  Task<Result<void>> keep(Digest clip, Bytes sealed);
  /// not_found; corrupt when the file has rotted (it is then removed).
  Task<Result<Bytes>> read(Digest clip);
  /// From here, else from the first of these servers that has it; kept then. `bytes` as announced.
  Task<Result<Bytes>> fetch(Digest clip, std::uint64_t bytes, std::vector<ServerId> from);

 private:
  std::string path_of(const Digest& clip) const { return folder_ + "/" + clip.hex(); }
  Task<Result<RpcReply>> handle_clip(Caller caller, RpcRequest request);
  Task<Result<Bytes>> fetch_from(ServerId server, Digest clip, std::uint64_t bytes);
  Task<Result<void>> make_room(std::uint64_t bytes);

  Runtime& runtime_;
  Rpc& rpc_;
  const Members& members_;
  std::string folder_;
  std::uint64_t bytes_max_;
};

}  // namespace spatter
