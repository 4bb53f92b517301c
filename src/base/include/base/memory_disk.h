// A Disk in memory that behaves as badly as a real one may: what was not synced can be lost, torn
// or reordered by a crash, bits rot, files become unreadable, and space runs out.
//
// The model of a crash: of a file's unsynced writes any subset of 512-byte sectors survives, and
// its size is the old, the new or one between. Of unsynced creations, removals and renames any
// subset survives, each whole (a rename never loses the file), except that of several on one name
// the later survive only with the earlier. sync() makes a file's bytes durable but not its name;
// sync_directory() makes the names in one folder durable.
#pragma once

#include <functional>
#include <memory>

#include "base/disk.h"
#include "base/random.h"
#include "base/sqlite_vfs.h"

namespace spatter {

class MemoryDisk final : public Disk {
 public:
  explicit MemoryDisk(std::uint64_t capacity_bytes = std::uint64_t{1} << 40);
  ~MemoryDisk() override;

  /// Power fails now. Every call on this object and on files opened through it fails from here on;
  /// the returned disk is what the machine finds when it starts again.
  std::unique_ptr<MemoryDisk> crash(Random& random);
  /// The same when the process alone dies: nothing written is lost, though it stays unsynced.
  std::unique_ptr<MemoryDisk> restart();

  // Faults. All apply at once and survive crashes.
  void set_capacity(std::uint64_t bytes);  ///< growing beyond it fails with no_space
  /// So many bytes are taken by others: what is left beside them and our own can be grown into, and
  /// beyond that no_space.
  void set_foreign_bytes(std::uint64_t bytes);
  std::uint64_t capacity_bytes() const;
  /// Flips one bit of a file, on stable storage too; false when it is missing or empty.
  bool flip_bit(const std::string& path, Random& random);
  void set_unreadable(const std::string& path, bool unreadable);  ///< reads fail with io
  std::vector<std::string> files() const;  ///< every file's path, sorted

  /// What was asked of the disk since the last call: for charging virtual time.
  struct Work {
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
    std::uint64_t syncs = 0;
  };
  Work take_work();
  std::uint64_t used_bytes() const;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directories(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::vector<DiskEntry>> list(const std::string& path) override;
  Result<DiskEntry> stat(const std::string& path) override;
  Result<DiskSpace> space() override;
  std::string sqlite_vfs() const override { return vfs_.name(); }
  std::string sqlite_path(const std::string& path) const override { return '/' + path; }

  struct Platter;  // shared with open files; for the implementation only

 private:
  explicit MemoryDisk(std::shared_ptr<Platter> platter);
  std::shared_ptr<Platter> hand_over();
  std::shared_ptr<Platter> platter_;
  SqliteVfs vfs_;
};

}  // namespace spatter
