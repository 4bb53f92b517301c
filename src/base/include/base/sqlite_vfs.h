// Lets SQLite work on any Disk. Databases must use locking_mode=EXCLUSIVE, as Database does: there
// is no shared memory, and any lock on a file keeps every other handle off it.
#pragma once

#include <memory>
#include <string>

#include "base/disk.h"

namespace spatter {

/// Registered with SQLite under name() as long as it lives; `disk` must outlive it, and it every
/// connection. SQLite's name of a file is '/' and its path on the disk.
class SqliteVfs {
 public:
  struct State;  // SQLite's callbacks know it
  explicit SqliteVfs(Disk& disk);
  SqliteVfs(const SqliteVfs&) = delete;
  ~SqliteVfs();
  const std::string& name() const;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace spatter
