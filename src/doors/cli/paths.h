// Paths inside the volume as people write them on the command line, and what is there.
#pragma once

#include <optional>
#include <string>

#include "cli/context.h"
#include "userhalf/volume.h"

namespace spatter::doors {

/// Refuses the empty path, which names nothing; the rest is the server's to resolve.
Result<std::string> volume_path(const std::string& text);
std::string join_path(const std::string& folder, const std::string& name);
std::string base_name(const std::string& path);
/// "a/b//" becomes "a/b", "//" becomes "/".
std::string without_slashes(std::string path);
/// What a copy of `path` is called in a folder; nullopt for "/", "." and "..": its contents go there.
std::optional<std::string> given_name(const std::string& path);

struct VolumeStat {
  std::string type;  ///< "file", "directory", "symlink", "fifo", "socket", "char" or "block"
  std::uint32_t mode = 0;
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t inode = 0;
  std::uint32_t links = 1;
  std::uint64_t device = 0;
  std::string target;
  Json safety;  ///< when asked for and there is any
  bool is_directory() const { return type == "directory"; }
  bool is_symlink() const { return type == "symlink"; }
  bool is_file() const { return type == "file"; }
};
VolumeStat stat_from(const Json& message);

/// Where a path leads (see Volume::follow).
struct VolumePlace {
  std::string path;
  std::optional<VolumeStat> stat;  ///< nullopt when nothing is there
  std::size_t missing = 0;
  bool dangling = false;
  bool is_directory() const { return stat && stat->is_directory(); }
};
/// `local`: for a command that reads what this machine has and nothing else.
Result<VolumePlace> resolve_volume(ControlClient& client, const std::string& text, LastLink last, bool local = false);
/// The same for what must be there: Errc::not_found otherwise.
Result<VolumePlace> find_volume(ControlClient& client, const std::string& text, LastLink last, bool local = false);

struct VolumeEntry {
  std::string name;
  VolumeStat stat;
};
/// Sorted by name.
Result<std::vector<VolumeEntry>> list_volume(ControlClient& client, const std::string& path, bool local = false, bool safety = false);

}  // namespace spatter::doors
