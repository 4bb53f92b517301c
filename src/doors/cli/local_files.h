// How `get` puts things on this machine's disk: whole or not at all, and as cp treats what is there.
#pragma once

#include <sys/stat.h>

#include "cli/paths.h"

namespace spatter::doors {

/// Where the bytes of a file go that is fetched to some path.
struct LocalTarget {
  std::string path;     ///< behind the links at the path it was asked for
  bool stream = false;  ///< it is a FIFO, a device, a socket, or our own output: written into
};
/// An error when nothing can be written there.
Result<LocalTarget> local_target(const std::string& dest);

/// For writing into a target that is a stream. Waits, as for the reader of a FIFO.
Result<Descriptor> open_stream(const std::string& path);
Result<void> write_all(int fd, ByteView bytes, const std::string& name);

/// A file beside `path`, to be renamed when it is complete.
std::string temporary_beside(const std::string& path);
/// Moves what was made at `temporary` to `path`; removes it when that is impossible.
Result<void> put_in_place(const std::string& temporary, const std::string& path);

/// Owner (as far as permitted), mode and times.
Result<void> apply_attributes(const std::string& path, const VolumeStat& stat);

/// These replace what is at `path`, unless it is a folder.
Result<void> make_local_symlink(const std::string& path, const VolumeStat& stat);
Result<void> make_local_special(const std::string& path, const VolumeStat& stat);
Result<void> make_local_link(const std::string& existing, const std::string& path);

}  // namespace spatter::doors
