// Paths inside the volume as people write them on the command line.
#pragma once

#include <optional>
#include <string>

#include "cli/context.h"

namespace spatter::doors {

/// "docs/a", "/docs//a/", "." become "/docs/a", "/docs/a", "/". ".." is refused: it would mean
/// different things before and after following links.
Result<std::string> volume_path(const std::string& text);
std::string join_path(const std::string& folder, const std::string& name);
std::string base_name(const std::string& path);

struct VolumeStat {
  std::string type;  ///< "file", "directory" or "symlink"
  std::uint32_t mode = 0;
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t inode = 0;
  std::uint32_t links = 1;
  std::string target;
  bool is_directory() const { return type == "directory"; }
};
VolumeStat stat_from(const Json& message);

/// nullopt when nothing is there.
Result<std::optional<VolumeStat>> stat_volume(ControlClient& client, const std::string& path);

struct VolumeEntry {
  std::string name;
  VolumeStat stat;
};
/// Sorted by name.
Result<std::vector<VolumeEntry>> list_volume(ControlClient& client, const std::string& path);

}  // namespace spatter::doors
