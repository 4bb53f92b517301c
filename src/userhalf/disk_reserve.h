// Removing files needs room itself: for a log record and for pages of the index. A full disk has
// none, and could then never be emptied from here. So a file of no use is kept beside the packs, and
// given up when that happens.
#pragma once

#include <string>

#include "base/runtime.h"

namespace spatter {

/// Blocking calls, one at a time, off the executor.
class DiskReserve {
 public:
  static constexpr std::uint64_t bytes = 2 << 20;

  DiskReserve(Runtime& runtime, std::string path) : runtime_(runtime), path_(std::move(path)) {}

  /// Makes the file unless it is there or the disk is nearly full. That it can't be made is no error.
  void keep();
  /// True when there was one and its room is free now.
  bool give_up();

 private:
  Result<void> write();

  Runtime& runtime_;
  const std::string path_;
};

}  // namespace spatter
