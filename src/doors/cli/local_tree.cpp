#include "cli/local_tree.h"

#include <dirent.h>
#include <unistd.h>

#include <cerrno>

#include "cli/paths.h"

namespace spatter::doors {

namespace {

Result<std::vector<std::string>> names_in(const std::string& folder) {
  DIR* dir = ::opendir(folder.c_str());
  if (!dir) return fail(from_errno(errno, "read folder " + folder));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> link_target(const std::string& path) {
  std::string target(4096, '\0');
  ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  if (n < 0) return fail(from_errno(errno, "read link " + path));
  target.resize(static_cast<std::size_t>(n));
  return target;
}

}  // namespace

Result<void> walk(const std::string& source, const std::string& dest, LocalTree& tree) {
  LocalItem item;
  item.source = source;
  item.dest = dest;
  if (::lstat(source.c_str(), &item.info) != 0) return fail(from_errno(errno, source));
  if (S_ISDIR(item.info.st_mode)) {
    TRY(auto names, names_in(source));
    tree.folders.push_back(std::move(item));
    for (auto& name : names) TRY_VOID(walk(source + (source.ends_with('/') ? "" : "/") + name, join_path(dest, name), tree));
  } else if (S_ISREG(item.info.st_mode)) {
    if (item.info.st_nlink > 1) {
      auto [first, fresh] = tree.linked.try_emplace({item.info.st_dev, item.info.st_ino}, dest);
      if (!fresh) {
        item.same_as = first->second;
        tree.links.push_back(std::move(item));
        return {};
      }
    }
    tree.bytes += static_cast<std::uint64_t>(item.info.st_size);
    tree.files.push_back(std::move(item));
  } else if (S_ISLNK(item.info.st_mode)) {
    TRY(item.target, link_target(source));
    tree.links.push_back(std::move(item));
  } else {
    tree.skipped.push_back(source);
  }
  return {};
}

Json attributes_of(const struct stat& info) {
  return {{"mode", info.st_mode & 07777},
          {"uid", info.st_uid},
          {"gid", info.st_gid},
          {"mtime_ns", std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec}};
}

}  // namespace spatter::doors
