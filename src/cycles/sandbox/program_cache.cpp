#include "program_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "crypto/hash.h"
#include "cycles/descriptor.h"

namespace spatter::cycles {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "SPTRPRG1";
constexpr std::size_t digest_bytes = 32;
constexpr std::size_t header_bytes = magic.size() + 2 * digest_bytes;
constexpr std::uint64_t entry_bytes_max = 256ULL << 20;
constexpr std::string_view ending = ".program";

Result<Bytes> read_whole(int file) {
  struct stat info{};
  if (::fstat(file, &info) != 0 || info.st_size < 0 ||
      static_cast<std::uint64_t>(info.st_size) > entry_bytes_max)
    return fail(Errc::corrupt, "not an entry");
  Bytes bytes(static_cast<std::size_t>(info.st_size));
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto n = ::pread(file, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Errc::io, "cut short");
    at += static_cast<std::size_t>(n);
  }
  return bytes;
}

Result<void> write_whole(int file, ByteView bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "write a translated program"));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

bool is_right(const Bytes& entry, const Digest& key) {
  if (entry.size() < header_bytes) return false;
  const ByteView view(entry);
  const auto digest = sha256(view.subspan(header_bytes));
  return as_text(view.first(magic.size())) == magic &&
         std::ranges::equal(view.subspan(magic.size(), digest_bytes), key.view()) &&
         std::ranges::equal(view.subspan(magic.size() + digest_bytes, digest_bytes), digest.view());
}

}  // namespace

std::string ProgramCache::path_of(const Digest& key) const {
  return fmt::format("{}/{}{}", folder_, to_hex(key.view()), ending);
}

std::optional<Bytes> ProgramCache::get(const Digest& key) const {
  const auto path = path_of(key);
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return {};
  auto entry = read_whole(file.get());
  if (!entry || !is_right(*entry, key)) {
    log_.warning("the translated program {} is not what was kept there: it is made anew", path);
    ::unlink(path.c_str());
    return {};
  }
  ::futimens(file.get(), nullptr);
  entry->erase(entry->begin(), entry->begin() + header_bytes);
  return std::move(*entry);
}

Result<void> ProgramCache::put(const Digest& key, ByteView program) const {
  std::error_code trouble;
  fs::create_directories(folder_, trouble);
  if (trouble) return fail(from_errno(trouble.value(), "make the folder " + folder_));
  std::string temporary = folder_ + "/new-XXXXXX";
  const Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file) return fail(from_errno(errno, "make a file in " + folder_));
  const auto written = [&]() -> Result<void> {
    const auto digest = sha256(program);
    TRY_VOID(write_whole(file.get(), as_bytes(magic)));
    TRY_VOID(write_whole(file.get(), key.view()));
    TRY_VOID(write_whole(file.get(), digest.view()));
    TRY_VOID(write_whole(file.get(), program));
    if (::fsync(file.get()) != 0) return fail(from_errno(errno, "write " + temporary));
    if (::rename(temporary.c_str(), path_of(key).c_str()) != 0)
      return fail(from_errno(errno, "keep " + path_of(key)));
    return {};
  }();
  if (!written) ::unlink(temporary.c_str());
  else make_room(path_of(key));
  return written;
}

void ProgramCache::make_room(const std::string& keep) const {
  struct Entry {
    fs::file_time_type used;
    std::uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  std::uint64_t bytes = 0;
  std::error_code trouble;
  for (fs::directory_iterator at(folder_, trouble), end; !trouble && at != end; at.increment(trouble)) {
    std::error_code gone;  // another process makes room too
    if (at->path().extension() != ending) continue;
    const auto size = at->file_size(gone);
    const auto used = at->last_write_time(gone);
    if (gone) continue;
    bytes += size;
    if (at->path() != keep) entries.push_back({used, size, at->path()});
  }
  std::ranges::sort(entries, {}, &Entry::used);
  for (const auto& entry : entries) {
    if (bytes <= bytes_max_) return;
    fs::remove(entry.path, trouble);
    bytes -= entry.bytes;
  }
}

}  // namespace spatter::cycles
