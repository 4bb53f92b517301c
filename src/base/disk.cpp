#include "base/disk.h"

#include "disk_path.h"

namespace spatter {
namespace {

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

Result<void> fill_file(Disk& disk, const std::string& path, ByteView bytes) {
  TRY(auto file, disk.open(path, OpenMode::create));
  TRY_VOID(file->truncate(0));
  TRY_VOID(file->write_at(0, bytes));
  return file->sync();
}

}  // namespace

Result<void> check_disk_path(std::string_view path) {
  if (path.find('\0') != std::string_view::npos)
    return fail(Errc::invalid, "a path of the drive holds a NUL");
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    if (name.empty() || name == "." || name == ".." || end + 1 == path.size())
      return fail(Errc::invalid, "\"{}\" is no path of the drive", path);
    begin = end + 1;
  }
  return {};
}

Result<void> write_file_durably(Disk& disk, const std::string& path, ByteView bytes) {
  const std::string temporary = path + ".tmp";
  if (auto filled = fill_file(disk, temporary, bytes); !filled) {
    (void)disk.remove(temporary);  // the first failure is the one worth telling
    return fail(std::move(filled).error());
  }
  TRY_VOID(disk.rename(temporary, path));
  return disk.sync_directory(parent_of(path));
}

Result<Bytes> read_file(Disk& disk, const std::string& path, std::uint64_t size_max) {
  TRY(auto file, disk.open(path, OpenMode::read));
  TRY(const std::uint64_t size, file->size());
  if (size > size_max)
    return fail(Errc::invalid, "{} has {} bytes, more than the {} allowed", path, size, size_max);
  Bytes bytes(size);
  TRY(const std::size_t got, file->read_at(0, bytes));
  bytes.resize(got);
  return bytes;
}

}  // namespace spatter
