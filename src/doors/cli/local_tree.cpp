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

bool is_further_link(LocalItem& item, LocalTree& tree) {
  if (item.info.st_nlink <= 1) return false;
  auto [first, fresh] = tree.linked.try_emplace({item.info.st_dev, item.info.st_ino}, tree.items.size());
  if (!fresh) item.same_as = first->second;
  return !fresh;
}

/// A folder that can't be read is stored empty, as cp does.
void walk_folder(LocalItem item, LocalTree& tree, Failures& failures) {
  const std::string source = item.source, dest = item.dest;
  const std::size_t number = tree.folders.size();
  tree.folders.push_back(std::move(item));
  auto names = names_in(source);
  if (!names) return failures.add(names.error());
  for (auto& name : *names) walk(join_path(source, name), join_path(dest, name), tree, failures, number);
}

}  // namespace

void walk(const std::string& source, const std::string& dest, LocalTree& tree, Failures& failures,
          std::size_t folder) {
  LocalItem item;
  item.source = source;
  item.dest = dest;
  item.folder = folder;
  if (::lstat(source.c_str(), &item.info) != 0) return failures.add(from_errno(errno, source));
  if (S_ISDIR(item.info.st_mode)) return walk_folder(std::move(item), tree, failures);
  if (!tree.taken.insert(dest).second)
    return failures.add({Errc::exists, fmt::format("will not overwrite just-created {} with {}", dest, source)});
  if (S_ISLNK(item.info.st_mode)) {
    auto target = link_target(source);
    if (!target) return failures.add(target.error());
    item.target = std::move(*target);
  }
  if (is_further_link(item, tree)) {
    tree.links.push_back(std::move(item));
    return;
  }
  if (S_ISREG(item.info.st_mode)) tree.bytes += static_cast<std::uint64_t>(item.info.st_size);
  tree.items.push_back(std::move(item));
}

Json attributes_of(const struct stat& info) {
  return {{"mode", info.st_mode & 07777},
          {"uid", info.st_uid},
          {"gid", info.st_gid},
          {"mtime_ns", std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec},
          {"device", std::uint64_t{info.st_rdev}}};
}

}  // namespace spatter::doors
