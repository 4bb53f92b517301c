// What `put` finds on the local disk, walked once so that the whole size is known beforehand.
#pragma once

#include <sys/stat.h>

#include <limits>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "cli/context.h"
#include "cli/failures.h"

namespace spatter::doors {

struct LocalItem {
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  std::string source;       ///< path on this machine
  std::string dest;         ///< path in the volume
  struct stat info {};
  std::string target;       ///< of a symlink
  std::size_t folder = none;   ///< the one of LocalTree::folders that it is in, if that is put too
  std::size_t same_as = none;  ///< of a further hard link: the one of LocalTree::items it is a link to
  bool failed = false;      ///< it is not there: do not build on it
};

struct LocalTree {
  std::vector<LocalItem> folders;  ///< parents before children
  std::vector<LocalItem> items;    ///< files, symlinks, FIFOs, sockets, devices
  std::vector<LocalItem> links;    ///< further names of items
  std::uint64_t bytes = 0;
  std::map<std::pair<dev_t, ino_t>, std::size_t> linked;  ///< items that have several names
  std::unordered_set<std::string> taken;  ///< what is not a folder goes to these

  bool empty() const { return folders.empty() && items.empty() && links.empty(); }
  bool is_in_failed_folder(const LocalItem& item) const {
    return item.folder != LocalItem::none && folders[item.folder].failed;
  }
};

/// Walks `source` without following symlinks; `dest` is where it goes in the volume. What can't be
/// read is left out, so is what would go where something else of this tree goes already.
void walk(const std::string& source, const std::string& dest, LocalTree& tree, Failures& failures,
          std::size_t folder = LocalItem::none);

Json attributes_of(const struct stat& info);

}  // namespace spatter::doors
