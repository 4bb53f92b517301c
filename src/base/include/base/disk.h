// The disk as node logic sees it: plain, blocking calls below one root folder. Implementations:
// PosixDisk (real) and MemoryDisk (simulated, with torn writes, rot and full disks); both pass the
// same test suite.
//
// Call these only inside Runtime::blocking(), never on the executor. Calls on one File from several
// threads are allowed if they do not overlap in the bytes they touch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace spatter {

class File {
 public:
  virtual ~File() = default;
  /// Reads up to out.size() bytes; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) = 0;
  /// Writes all of `bytes`, extending the file where needed. Durable only after sync().
  virtual Result<void> write_at(std::uint64_t offset, ByteView bytes) = 0;
  /// All earlier writes, and the size, are on stable storage when this returns (fdatasync).
  virtual Result<void> sync() = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;
  /// The file's synced bytes will hardly be read soon: memory that caches them is better used for
  /// what is written next. A hint.
  virtual void forget_cached() {}
};

enum class OpenMode {
  read,            ///< must exist
  read_write,      ///< must exist
  create,          ///< read-write, made when missing
  create_new,      ///< read-write, must not exist
};

struct DiskEntry {
  std::string name;
  std::uint64_t size = 0;
  bool is_directory = false;
};

struct DiskSpace {
  std::uint64_t total = 0;
  std::uint64_t free = 0;  ///< what an unprivileged user may still write
};

/// Paths are relative to the root, with '/', and must not contain "..". Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  /// Atomic; replaces `to`. Durable after sync_directory of the parent(s).
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;  ///< a file or an empty folder
  virtual Result<void> make_directories(const std::string& path) = 0;  ///< like mkdir -p
  virtual Result<void> sync_directory(const std::string& path) = 0;
  virtual Result<std::vector<DiskEntry>> list(const std::string& path) = 0;  ///< sorted by name
  virtual Result<DiskEntry> stat(const std::string& path) = 0;
  virtual Result<DiskSpace> space() = 0;
  /// The name of the SQLite VFS that reaches this disk, and the prefix that turns a path of this
  /// disk into a file name for it.
  virtual std::string sqlite_vfs() const = 0;
  virtual std::string sqlite_path(const std::string& path) const = 0;
};

/// tmp, write, fsync, rename, fsync of the folder: after success `path` holds exactly `bytes` even
/// if power fails; before, whatever it held.
Result<void> write_file_durably(Disk& disk, const std::string& path, ByteView bytes);
Result<Bytes> read_file(Disk& disk, const std::string& path, std::uint64_t size_max);

}  // namespace spatter
