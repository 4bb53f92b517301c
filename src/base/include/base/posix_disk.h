// The real disk: a Disk below one folder of the operating system's file system.
#pragma once

#include "base/disk.h"

namespace spatter {

/// Files are made readable by their user alone (0600), folders likewise (0700).
class PosixDisk final : public Disk {
 public:
  /// `root` must be a folder that exists.
  static Result<std::unique_ptr<PosixDisk>> open(const std::string& root);
  ~PosixDisk() override;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directories(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::vector<DiskEntry>> list(const std::string& path) override;
  Result<DiskEntry> stat(const std::string& path) override;
  Result<DiskSpace> space() override;
  std::string sqlite_vfs() const override { return "unix"; }
  std::string sqlite_path(const std::string& path) const override { return name_of(path); }

 private:
  PosixDisk(std::string root, int root_fd) : root_(std::move(root)), root_fd_(root_fd) {}
  std::string name_of(const std::string& path) const;

  std::string root_;  // absolute
  int root_fd_;
};

}  // namespace spatter
