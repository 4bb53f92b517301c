// Following links, inside the volume.
#include "tree.h"

namespace spatter {

namespace {

constexpr unsigned links_max = 40;  // as Linux

struct Step {
  std::string name;
  wire::InodeRow row;
};

// What is left of a path, its next name last. A '/' at the end is as good as a "." after it.
Result<std::vector<std::string>> names_ahead(std::string_view path) {
  TRY(auto names, split_path_with_dots(path));
  if (path.ends_with('/')) names.push_back(".");
  std::ranges::reverse(names);
  return names;
}

bool is_last(const std::vector<std::string>& ahead) {
  return std::ranges::all_of(ahead, [](const std::string& name) { return name == "."; });
}

}  // namespace

Result<Followed> TreeView::follow(std::string_view path, LastLink last) {
  TRY(auto ahead, names_ahead(path));
  TRY(auto root, inode(root_inode));
  if (!root) return fail(Errc::corrupt, "the volume has no root");
  std::vector<Step> steps = {{"", std::move(*root)}};
  std::vector<std::string> missing;
  unsigned links = 0;
  bool last_followed = false;
  while (!ahead.empty()) {
    const std::string name = std::move(ahead.back());
    ahead.pop_back();
    if (!missing.empty()) {
      if (name == "..") return fail(Errc::not_found, "no such directory: {} (in {})", shown(missing.back()), shown(path));
      if (name != ".") missing.push_back(name);
      continue;
    }
    if (!is_directory(steps.back().row))
      return fail(Errc::not_directory, "not a directory: {} (in {})", shown(steps.back().name), shown(path));
    if (name == ".") continue;
    if (name == "..") {
      if (steps.size() > 1) steps.pop_back();
      continue;
    }
    TRY(InodeNumber number, child(steps.back().row.inode(), name));
    if (number == 0) {
      missing.push_back(name);
      continue;
    }
    TRY(auto row, inode(number));
    if (!row) return fail(Errc::corrupt, "{} names inode {}, which is missing", shown(path), number);
    if (!is_symlink(*row) || (ahead.empty() && last == LastLink::keep)) {
      steps.push_back({name, std::move(*row)});
      continue;
    }
    if (++links > links_max) return fail(Errc::invalid, "too many levels of links: {}", shown(path));
    last_followed |= is_last(ahead);
    if (row->target().starts_with('/')) steps.resize(1);
    TRY(auto target, names_ahead(row->target()));
    std::ranges::move(target, std::back_inserter(ahead));
  }
  Followed found;
  for (const Step& step : steps)
    if (!step.name.empty()) found.path += "/" + step.name;
  for (const std::string& name : missing) found.path += "/" + name;
  if (found.path.empty()) found.path = "/";
  found.missing = missing.size();
  if (missing.empty()) found.node = to_node(steps.back().row);
  found.dangling = last_followed && !missing.empty();
  return found;
}

}  // namespace spatter
