#include "base/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#include "disk_path.h"

namespace spatter {
namespace {

/// Repeats a system call that a signal interrupted.
template <class Call>
auto retry(Call call) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

std::unexpected<Error> failed(std::string_view verb, const std::string& name) {
  return fail(from_errno(errno, fmt::format("{} {}", verb, name)));
}

/// Written to the page cache at a time. The kernel takes memory in blocks about as large as a piece;
/// small blocks are free again and again, large ones it must gather or, on a virtual machine, get from
/// its host: pieces of 1 MiB cost up to ten times the processor time.
constexpr std::size_t write_piece_bytes = 64 << 10;

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  ~PosixFile() override { ::close(fd_); }

  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = retry([&] {
        return ::pread(fd_, out.data() + done, out.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return failed("read", name_);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    for (std::size_t done = 0; done < bytes.size();) {
      const std::size_t piece = std::min(bytes.size() - done,
                                         write_piece_bytes - (offset + done) % write_piece_bytes);
      const ssize_t put = retry([&] {
        return ::pwrite(fd_, bytes.data() + done, piece, static_cast<off_t>(offset + done));
      });
      if (put < 0) return failed("write", name_);
      done += static_cast<std::size_t>(put);
    }
    return {};
  }

  Result<void> sync() override {
    if (retry([&] { return ::fdatasync(fd_); }) != 0) return failed("sync", name_);
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    if (retry([&] { return ::ftruncate(fd_, static_cast<off_t>(size)); }) != 0)
      return failed("truncate", name_);
    return {};
  }

  void forget_cached() override { ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

  Result<std::uint64_t> size() override {
    struct stat info;
    if (::fstat(fd_, &info) != 0) return failed("stat", name_);
    return static_cast<std::uint64_t>(info.st_size);
  }

 private:
  int fd_;
  std::string name_;
};

DiskEntry entry_of(std::string name, const struct stat& info) {
  const bool is_directory = S_ISDIR(info.st_mode);
  return {std::move(name), is_directory ? 0 : static_cast<std::uint64_t>(info.st_size),
          is_directory};
}

/// openat and its kin want "." for the root itself.
const char* c_path(const std::string& path) { return path.empty() ? "." : path.c_str(); }

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::read: return O_RDONLY;
    case OpenMode::read_write: return O_RDWR;
    case OpenMode::create: return O_RDWR | O_CREAT;
    case OpenMode::create_new: return O_RDWR | O_CREAT | O_EXCL;
  }
  panic(__FILE__, __LINE__, "an open mode that is none");
}

}  // namespace

Result<std::unique_ptr<PosixDisk>> PosixDisk::open(const std::string& root) {
  char absolute[PATH_MAX];
  if (::realpath(root.c_str(), absolute) == nullptr) return failed("open", root);
  const int fd = retry([&] { return ::open(absolute, O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return failed("open", root);
  return std::unique_ptr<PosixDisk>(new PosixDisk(absolute, fd));
}

PosixDisk::~PosixDisk() { ::close(root_fd_); }

std::string PosixDisk::name_of(const std::string& path) const {
  return path.empty() ? root_ : root_ + '/' + path;
}

Result<std::unique_ptr<File>> PosixDisk::open(const std::string& path, OpenMode mode) {
  TRY_VOID(check_disk_path(path));
  const int fd = retry(
      [&] { return ::openat(root_fd_, c_path(path), flags_of(mode) | O_CLOEXEC, 0600); });
  if (fd < 0) return failed("open", name_of(path));
  auto file = std::make_unique<PosixFile>(fd, name_of(path));
  struct stat info;
  if (::fstat(fd, &info) != 0) return failed("stat", name_of(path));
  if (S_ISDIR(info.st_mode)) return fail(Errc::is_directory, "{} is a folder", name_of(path));
  return file;
}

Result<void> PosixDisk::rename(const std::string& from, const std::string& to) {
  TRY_VOID(check_disk_path(from));
  TRY_VOID(check_disk_path(to));
  if (::renameat(root_fd_, c_path(from), root_fd_, c_path(to)) != 0)
    return failed("rename", fmt::format("{} to {}", name_of(from), to));
  return {};
}

Result<void> PosixDisk::remove(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  if (::unlinkat(root_fd_, c_path(path), 0) == 0) return {};
  // Linux says EISDIR for a folder, POSIX would say EPERM.
  if ((errno == EISDIR || errno == EPERM) &&
      ::unlinkat(root_fd_, c_path(path), AT_REMOVEDIR) == 0)
    return {};
  return failed("remove", name_of(path));
}

Result<void> PosixDisk::make_directories(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  for (std::size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    const std::string part = path.substr(0, end);
    if (::mkdirat(root_fd_, part.c_str(), 0700) == 0) continue;
    if (errno != EEXIST) return failed("make folder", name_of(part));
    struct stat info;
    if (::fstatat(root_fd_, part.c_str(), &info, 0) != 0) return failed("stat", name_of(part));
    if (!S_ISDIR(info.st_mode))
      return fail(Errc::not_directory, "{} is no folder", name_of(part));
  }
  return {};
}

Result<void> PosixDisk::sync_directory(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  const int fd = retry([&] {
    return ::openat(root_fd_, c_path(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  });
  if (fd < 0) return failed("open", name_of(path));
  const bool synced = retry([&] { return ::fsync(fd); }) == 0;
  const int number = errno;
  ::close(fd);
  if (!synced) return fail(from_errno(number, "sync " + name_of(path)));
  return {};
}

Result<std::vector<DiskEntry>> PosixDisk::list(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  const int fd = retry([&] {
    return ::openat(root_fd_, c_path(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  });
  if (fd < 0) return failed("list", name_of(path));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), &::closedir);
  if (stream == nullptr) return failed("list", name_of(path));
  std::vector<DiskEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info;
    if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // removed since
      return failed("stat", name_of(path) + '/' + entry->d_name);
    }
    entries.push_back(entry_of(std::string(name), info));
  }
  if (errno != 0) return failed("list", name_of(path));
  std::ranges::sort(entries, {}, &DiskEntry::name);
  return entries;
}

Result<DiskEntry> PosixDisk::stat(const std::string& path) {
  TRY_VOID(check_disk_path(path));
  struct stat info;
  if (::fstatat(root_fd_, c_path(path), &info, 0) != 0) return failed("stat", name_of(path));
  return entry_of(path.substr(path.rfind('/') + 1), info);
}

Result<DiskSpace> PosixDisk::space() {
  struct statvfs info;
  if (retry([&] { return ::fstatvfs(root_fd_, &info); }) != 0) return failed("statvfs", root_);
  return DiskSpace{std::uint64_t{info.f_blocks} * info.f_frsize,
                   std::uint64_t{info.f_bavail} * info.f_frsize};
}

}  // namespace spatter
