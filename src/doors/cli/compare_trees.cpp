#include "cli/compare_trees.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "doors/control.h"

namespace spatter::doors {

namespace {

void differ(TreeComparison& result, const std::string& path, const std::string& what) {
  if (result.differences.size() < 100) result.differences.push_back(path + ": " + what);
}

Result<std::size_t> read_full(int fd, std::vector<char>& buffer) {
  std::size_t got = 0;
  while (got < buffer.size()) {
    ssize_t n = ::read(fd, buffer.data() + got, buffer.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "read"));
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

Result<void> compare_content(const std::string& a, const std::string& b, TreeComparison& result) {
  Descriptor left(::open(a.c_str(), O_RDONLY | O_CLOEXEC)), right(::open(b.c_str(), O_RDONLY | O_CLOEXEC));
  if (!left || !right) return fail(from_errno(errno, "open " + (left ? b : a)));
  static thread_local std::vector<char> one(1 << 18), two(1 << 18);
  for (std::uint64_t at = 0;;) {
    TRY(auto n, read_full(left.get(), one));
    TRY(auto m, read_full(right.get(), two));
    if (n != m || std::memcmp(one.data(), two.data(), n) != 0) {
      differ(result, b, "content differs near byte " + std::to_string(at));
      return {};
    }
    if (n == 0) return {};
    at += n;
    result.bytes += n;
  }
}

Result<std::set<std::string>> names_in(const std::string& folder) {
  std::error_code error;
  std::set<std::string> names;
  for (auto& entry : std::filesystem::directory_iterator(folder, error)) names.insert(entry.path().filename().string());
  if (error) return fail(from_errno(error.value(), "read folder " + folder));
  return names;
}

Result<void> compare(const std::string& a, const std::string& b, TreeComparison& result) {
  struct stat left {}, right {};
  if (::lstat(a.c_str(), &left) != 0) return fail(from_errno(errno, a));
  if (::lstat(b.c_str(), &right) != 0) {
    differ(result, b, "missing");
    return {};
  }
  if ((left.st_mode & S_IFMT) != (right.st_mode & S_IFMT)) {
    differ(result, b, "another type");
    return {};
  }
  if (left.st_mtim.tv_sec != right.st_mtim.tv_sec || left.st_mtim.tv_nsec != right.st_mtim.tv_nsec)
    differ(result, b, "another time");
  if (S_ISLNK(left.st_mode)) {
    std::error_code error;
    if (std::filesystem::read_symlink(a, error) != std::filesystem::read_symlink(b, error)) differ(result, b, "another target");
    return {};
  }
  if (left.st_mode != right.st_mode) differ(result, b, "another mode");
  if (S_ISDIR(left.st_mode)) {
    TRY(auto ours, names_in(a));
    TRY(auto theirs, names_in(b));
    for (auto& name : theirs)
      if (!ours.contains(name)) differ(result, b + "/" + name, "unexpected");
    for (auto& name : ours) TRY_VOID(compare(a + "/" + name, b + "/" + name, result));
    return {};
  }
  ++result.files;
  if (!S_ISREG(left.st_mode)) {
    if (left.st_rdev != right.st_rdev) differ(result, b, "another device");
    return {};
  }
  if (left.st_size != right.st_size) {
    differ(result, b, "another size");
    return {};
  }
  return compare_content(a, b, result);
}

}  // namespace

Result<TreeComparison> compare_trees(const std::string& a, const std::string& b) {
  TreeComparison result;
  TRY_VOID(compare(a, b, result));
  return result;
}

}  // namespace spatter::doors
