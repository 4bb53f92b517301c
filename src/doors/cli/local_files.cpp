#include "cli/local_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>

namespace spatter::doors {

namespace {

/// Our standard output or error, if `info` is that: /dev/stdout names what was opened there, and a
/// file must not be pulled away from under it.
std::optional<int> own_output(const struct stat& info) {
  for (int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat own {};
    if (::fstat(fd, &own) == 0 && own.st_dev == info.st_dev && own.st_ino == info.st_ino) return fd;
  }
  return std::nullopt;
}

/// Makes something at a temporary path by `make`, which returns 0, and moves it to `path`.
template <class Make>
Result<void> make_in_place(const std::string& path, const VolumeStat* stat, Make make) {
  const std::string temporary = temporary_beside(path);
  if (make(temporary.c_str()) != 0) return fail(from_errno(errno, "make " + path));
  auto done = stat ? apply_attributes(temporary, *stat) : Result<void>();
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return put_in_place(temporary, path);
}

}  // namespace

Result<LocalTarget> local_target(const std::string& dest) {
  struct stat info {};
  if (::stat(dest.c_str(), &info) != 0) {
    if (errno != ENOENT) return fail(from_errno(errno, dest));
    if (::lstat(dest.c_str(), &info) == 0)
      return fail(Errc::not_found, "{} is a link to something that is not there: nothing is written through it", dest);
    return LocalTarget{dest};
  }
  if (S_ISDIR(info.st_mode)) return fail(Errc::is_directory, "{} is a folder and can't be replaced by a file", dest);
  if (!S_ISREG(info.st_mode) || own_output(info)) return LocalTarget{dest, true};
  struct stat link {};
  if (::lstat(dest.c_str(), &link) != 0 || !S_ISLNK(link.st_mode)) return LocalTarget{dest};
  char resolved[PATH_MAX];
  if (!::realpath(dest.c_str(), resolved)) return fail(from_errno(errno, "follow the link " + dest));
  return LocalTarget{resolved};
}

Result<Descriptor> open_stream(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return fail(from_errno(errno, path));
  auto own = own_output(info);
  Descriptor fd(own ? ::fcntl(*own, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
  if (!fd) return fail(from_errno(errno, "write to " + path));
  return fd;
}

Result<void> write_all(int fd, ByteView bytes, const std::string& name) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "write to " + name));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

std::string temporary_beside(const std::string& path) {
  static std::atomic<unsigned> count = 0;
  return fmt::format("{}.spatter-{}-{}", path.substr(0, path.rfind('/') + 1), ::getpid(), count++);
}

Result<void> put_in_place(const std::string& temporary, const std::string& path) {
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto error = from_errno(errno, "put the finished file at " + path);
    ::unlink(temporary.c_str());
    return fail(std::move(error));
  }
  return {};
}

/// In this order: chown clears set-user-id bits.
Result<void> apply_attributes(const std::string& path, const VolumeStat& stat) {
  if (::geteuid() == 0 && ::lchown(path.c_str(), stat.uid, stat.gid) != 0)
    return fail(from_errno(errno, "set the owner of " + path));
  if (!stat.is_symlink() && ::chmod(path.c_str(), stat.mode) != 0)
    return fail(from_errno(errno, "set the mode of " + path));
  std::int64_t seconds = stat.mtime_ns / 1'000'000'000, rest = stat.mtime_ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  timespec times[2] = {{seconds, rest}, {seconds, rest}};
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return fail(from_errno(errno, "set the times of " + path));
  return {};
}

Result<void> make_local_symlink(const std::string& path, const VolumeStat& stat) {
  return make_in_place(path, &stat, [&](const char* at) { return ::symlink(stat.target.c_str(), at); });
}

Result<void> make_local_special(const std::string& path, const VolumeStat& stat) {
  const mode_t type = stat.type == "fifo" ? S_IFIFO : stat.type == "socket" ? S_IFSOCK
                      : stat.type == "char" ? S_IFCHR : S_IFBLK;
  auto done = make_in_place(path, &stat, [&](const char* at) { return ::mknod(at, type | 0600, stat.device); });
  if (!done && (type == S_IFCHR || type == S_IFBLK) && ::geteuid() != 0)
    return fail(Errc::denied, "{} is a device, which only root can make: skipped", path);
  return done;
}

Result<void> make_local_link(const std::string& existing, const std::string& path) {
  struct stat there {}, first {};
  if (::lstat(path.c_str(), &there) == 0 && ::lstat(existing.c_str(), &first) == 0 &&
      there.st_dev == first.st_dev && there.st_ino == first.st_ino)
    return {};
  return make_in_place(path, nullptr, [&](const char* at) { return ::link(existing.c_str(), at); });
}

}  // namespace spatter::doors
