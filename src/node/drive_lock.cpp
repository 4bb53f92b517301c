#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "node/drive.h"

namespace spatter {

Result<DriveLock> DriveLock::take(const std::string& folder) {
  const auto path = folder + "/" + drive_path::lock;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(from_errno(errno, fmt::format("open {}", path)));
  DriveLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(from_errno(errno, fmt::format("lock {}", path)));
    char text[32] = {};
    const auto length = ::pread(fd, text, sizeof text - 1, 0);
    std::string_view pid(text, length > 0 ? static_cast<std::size_t>(length) : 0);
    pid = pid.substr(0, pid.find_first_not_of("0123456789"));
    return fail(Errc::busy, "the drive {} is in use by {}", folder,
                pid.empty() ? "another process" : fmt::format("process {}", pid));
  }
  const auto text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail(from_errno(errno, fmt::format("write {}", path)));
  return lock;
}

DriveLock& DriveLock::operator=(DriveLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

DriveLock::~DriveLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace spatter
