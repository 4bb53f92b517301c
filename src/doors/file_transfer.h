// File contents between descriptors that callers opened and the volume.
#pragma once

#include <functional>

#include "base/runtime.h"
#include "doors/control.h"
#include "userhalf/volume.h"

namespace spatter::doors {

using Report = std::function<Task<Result<void>>(std::uint64_t bytes)>;
/// Asked before each piece: an error ends the transfer.
using MayGoOn = std::function<Result<void>()>;

/// Stores the regular file behind `fd` at `path`, holes as holes, to where it ends: which may be
/// before or after what its size says (below /proc it says 0). `options` go with its commit.
Task<Result<PackPosition>> store_file(Runtime& runtime, Volume& volume, const Descriptor& fd, std::string path,
                                      Attributes attributes, CommitOptions options, MayGoOn may_go_on, Report report);

/// Writes the file at `path` into the empty file behind `fd`, holes as holes.
Task<Result<void>> fetch_file(Runtime& runtime, Volume& volume, std::string path, ReadFrom from,
                              const Descriptor& fd, MayGoOn may_go_on, Report report);

}  // namespace spatter::doors
