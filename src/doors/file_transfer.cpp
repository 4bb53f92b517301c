#include "file_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace spatter::doors {

namespace {

constexpr std::size_t piece_bytes = 1 << 20;
constexpr std::size_t small_bytes_max = 256 << 10;
constexpr std::size_t read_bytes = 4 << 20;
constexpr std::uint64_t report_every_bytes = 8 << 20;
/// Written at a time: larger pieces cost the kernel more (as PosixDisk knows, too).
constexpr std::size_t write_piece_bytes = 64 << 10;

Result<Buffer> read_piece(int fd, std::uint64_t offset, std::size_t length) {
  Buffer piece = Buffer::allocate(length);
  std::size_t got = 0;
  while (got < length) {
    ssize_t n = ::pread(fd, piece.mutable_data() + got, length - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "read the source file"));
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return piece.slice(0, got);
}

/// The whole of a small file, if the system has it in memory and it ends where it should: without
/// waiting for a disk.
std::optional<Buffer> read_cached(int fd, std::size_t size) {
  Buffer bytes = Buffer::allocate(size + 1);
  iovec piece{bytes.mutable_data(), size + 1};
  if (size == 0 || ::preadv2(fd, &piece, 1, 0, RWF_NOWAIT) != static_cast<ssize_t>(size)) return std::nullopt;
  return bytes.slice(0, size);
}

Result<void> write_piece(int fd, std::uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    std::size_t piece = std::min(bytes.size(), write_piece_bytes - offset % write_piece_bytes);
    ssize_t n = ::pwrite(fd, bytes.data(), piece, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "write the destination file"));
    offset += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

/// The next data at or after `offset` as [begin, end); both `size` when only a hole follows.
Result<std::pair<std::uint64_t, std::uint64_t>> next_data(int fd, std::uint64_t offset, std::uint64_t size) {
  off_t begin = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (begin < 0) {
    if (errno == ENXIO) return std::pair{size, size};
    if (errno == EINVAL) return std::pair{offset, size};  // a file system that knows no holes
    return fail(from_errno(errno, "look for holes in the source file"));
  }
  off_t end = ::lseek(fd, begin, SEEK_HOLE);
  if (end < 0) return std::pair{offset, size};
  return std::pair{std::min<std::uint64_t>(static_cast<std::uint64_t>(begin), size),
                   std::min<std::uint64_t>(static_cast<std::uint64_t>(end), size)};
}

/// Writes a large file out while it comes, and lets the page cache have what is written again for
/// what comes next: memory used a moment ago is much cheaper than fresh memory. Never waits for the
/// disk; where that is slower, the page cache takes more.
class WriteBehind {
 public:
  WriteBehind(int fd, std::uint64_t size) : fd_(fd), wanted_(size >= file_bytes_min) {}
  void written(std::uint64_t end) {
    if (!wanted_ || end - begun_ < step_bytes) return;
    ::sync_file_range(fd_, static_cast<off_t>(begun_), static_cast<off_t>(end - begun_), SYNC_FILE_RANGE_WRITE);
    begun_ = end;
    if (begun_ > behind_bytes) ::posix_fadvise(fd_, 0, static_cast<off_t>(begun_ - behind_bytes), POSIX_FADV_DONTNEED);
  }

 private:
  static constexpr std::uint64_t file_bytes_min = 64 << 20;
  static constexpr std::uint64_t step_bytes = 8 << 20;
  static constexpr std::uint64_t behind_bytes = 24 << 20;

  int fd_;
  bool wanted_;
  std::uint64_t begun_ = 0;
};

class Reporter {
 public:
  explicit Reporter(Report report) : report_(std::move(report)) {}
  Task<Result<void>> add(std::uint64_t bytes, bool last = false) {
    unreported_ += bytes;
    if (unreported_ < report_every_bytes && !last) co_return Result<void>{};
    co_return co_await report_(std::exchange(unreported_, 0));
  }

 private:
  Report report_;
  std::uint64_t unreported_ = 0;
};

}  // namespace

Task<Result<PackPosition>> store_file(Runtime& runtime, Volume& volume, const Descriptor& fd, std::string path,
                                      Attributes attributes, CommitOptions options, MayGoOn may_go_on, Report report) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) co_return fail(from_errno(errno, "look at the source file"));
  if (!S_ISREG(info.st_mode)) co_return fail(Errc::invalid, "the source is not a regular file");
  auto size = static_cast<std::uint64_t>(info.st_size);
  int source = fd.get();
  Reporter reporter(std::move(report));
  if (size <= small_bytes_max) {
    auto cached = read_cached(source, size);
    if (cached) co_return co_await volume.put_small(std::move(path), std::move(attributes), std::move(*cached), options);
    // One byte more than there should be, to see that it ends there.
    CO_TRY(auto bytes, co_await runtime.blocking([source, size] { return read_piece(source, 0, size + 1); }));
    if (bytes.size() <= size)
      co_return co_await volume.put_small(std::move(path), std::move(attributes), std::move(bytes), options);
  }
  CO_TRY(auto writer, co_await volume.write_file(std::move(path), std::move(attributes)));
  std::uint64_t at = 0;
  while (at < size) {
    CO_TRY(auto data, co_await runtime.blocking([source, at, size] { return next_data(source, at, size); }));
    if (data.first > at) {
      CO_TRY_VOID(co_await writer->write_hole(data.first - at));
      CO_TRY_VOID(co_await reporter.add(data.first - at));
    }
    for (at = data.first; at < data.second;) {
      CO_TRY_VOID(may_go_on());
      auto length = static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, data.second - at));
      CO_TRY(auto bytes, co_await runtime.blocking([source, at, length] { return read_piece(source, at, length); }));
      if (bytes.empty()) {
        size = at;
        break;
      }
      at += bytes.size();
      std::uint64_t count = bytes.size();
      CO_TRY_VOID(co_await writer->write(std::move(bytes)));
      CO_TRY_VOID(co_await reporter.add(count));
    }
  }
  for (;;) {
    CO_TRY_VOID(may_go_on());
    CO_TRY(auto bytes, co_await runtime.blocking([source, at] { return read_piece(source, at, piece_bytes); }));
    if (bytes.empty()) break;
    at += bytes.size();
    CO_TRY_VOID(co_await writer->write(std::move(bytes)));
  }
  CO_TRY(auto position, co_await writer->commit(options));
  CO_TRY_VOID(co_await reporter.add(0, true));
  co_return position;
}

Task<Result<void>> fetch_file(Runtime& runtime, Volume& volume, std::string path, ReadFrom from,
                              const Descriptor& fd, MayGoOn may_go_on, Report report) {
  CO_TRY(auto reader, co_await volume.read_file(std::move(path), from));
  int dest = fd.get();
  std::uint64_t size = reader->node().size;
  if (::ftruncate(dest, static_cast<off_t>(size)) != 0) co_return fail(from_errno(errno, "size the destination file"));
  Reporter reporter(std::move(report));
  WriteBehind behind(dest, size);
  for (std::uint64_t at = 0; at < size;) {
    CO_TRY(auto data, co_await reader->next_data(at));
    if (data.second == 0) break;
    std::uint64_t end = data.first + data.second;
    CO_TRY_VOID(co_await reporter.add(data.first - at));
    for (at = data.first; at < end;) {
      CO_TRY_VOID(may_go_on());
      CO_TRY(auto bytes, co_await reader->read_piece(at, std::min<std::uint64_t>(read_bytes, end - at)));
      if (bytes.empty()) co_return fail(Errc::corrupt, "the file ended at byte {} of {}", at, size);
      CO_TRY_VOID(co_await runtime.blocking([dest, at, &bytes, &behind]() -> Result<void> {
        TRY_VOID(write_piece(dest, at, bytes));
        behind.written(at + bytes.size());
        return {};
      }));
      at += bytes.size();
      CO_TRY_VOID(co_await reporter.add(bytes.size()));
    }
  }
  co_return co_await reporter.add(0, true);
}

}  // namespace spatter::doors
