// What `put` finds on the local disk, walked once so that the whole size is known beforehand.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <vector>

#include "cli/context.h"

namespace spatter::doors {

struct LocalItem {
  std::string source;     ///< path on this machine
  std::string dest;       ///< path in the volume
  struct stat info {};
  std::string target;     ///< of a symlink
  std::string same_as;    ///< volume path of an earlier hard link to the same file, if any
};

struct LocalTree {
  std::vector<LocalItem> folders;  ///< parents before children
  std::vector<LocalItem> files;
  std::vector<LocalItem> links;    ///< symlinks, and further hard links
  std::vector<std::string> skipped;  ///< sockets, devices, pipes: what can't be stored
  std::uint64_t bytes = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> linked;  ///< where a file of several links went first
};

/// Walks `source` without following symlinks; `dest` is where it goes in the volume.
Result<void> walk(const std::string& source, const std::string& dest, LocalTree& tree);

Json attributes_of(const struct stat& info);

}  // namespace spatter::doors
