#include "cli/put_plan.h"

#include <cerrno>

#include "cli/paths.h"

namespace spatter::doors {

namespace {

/// The destination as it was written and what it leads to.
struct Destination {
  std::string text;
  VolumePlace place;
  bool is_folder() const { return place.is_directory(); }
};

Result<Destination> find_destination(ControlClient& client, const std::string& text) {
  TRY(auto place, resolve_volume(client, text, LastLink::follow));
  if (place.dangling)
    return fail(Errc::not_found, "{} is a link to {}, which is not there: nothing is written through it", text, place.path);
  if (place.missing > 1) {
    std::string folder = place.path;
    for (std::size_t i = 1; i < place.missing; ++i) folder.resize(folder.rfind('/'));
    return fail(Errc::not_found, "{}: there is no folder {}", text, folder);
  }
  return Destination{text, std::move(place)};
}

/// Bytes are written to where a link leads; a link, a FIFO or a device takes the link's place.
Result<std::string> target_of(ControlClient& client, const Destination& dest, const std::string& source,
                              const struct stat& info) {
  auto name = given_name(source);
  if (dest.is_folder()) return name ? join_path(dest.place.path, *name) : dest.place.path;
  if (S_ISDIR(info.st_mode)) return dest.place.path;
  if (dest.text.ends_with('/'))
    return fail(Errc::not_directory, "{} is not a folder: make it with 'spatter mkdir'", dest.text);
  if (S_ISREG(info.st_mode)) return dest.place.path;
  TRY(auto place, resolve_volume(client, dest.text, LastLink::keep));
  return place.path;
}

class Planner {
 public:
  Planner(ControlClient& client, Destination dest, Failures& failures)
      : client_(client), dest_(std::move(dest)), failures_(failures) {}

  void add(const std::string& source) {
    struct stat info {};
    if (::lstat(source.c_str(), &info) != 0) return failures_.add(from_errno(errno, source));
    auto target = target_of(client_, dest_, source, info);
    if (!target) return failures_.add(target.error());
    auto [given, fresh] = given_.try_emplace({*target, info.st_dev, info.st_ino}, source);
    if (!fresh) return failures_.add({Errc::exists, fmt::format("{} was given more than once", source)});
    walk(source, *target, tree_, failures_);
  }
  LocalTree take() { return std::move(tree_); }

 private:
  ControlClient& client_;
  const Destination dest_;
  Failures& failures_;
  LocalTree tree_;
  std::map<std::tuple<std::string, dev_t, ino_t>, std::string> given_;
};

}  // namespace

Result<LocalTree> plan_put(ControlClient& client, const std::vector<std::string>& sources,
                           const std::string& dest, Failures& failures) {
  TRY(auto destination, find_destination(client, dest));
  if (sources.size() > 1 && !destination.is_folder())
    return fail(Errc::not_directory, "{} is not a folder, and {} sources were given", dest, sources.size());
  Planner planner(client, std::move(destination), failures);
  for (auto& source : sources) planner.add(source);
  return planner.take();
}

Result<std::string> plan_put_stream(ControlClient& client, const std::string& dest) {
  TRY(auto destination, find_destination(client, dest));
  if (destination.is_folder())
    return fail(Errc::is_directory, "{} is a folder: name the file to write standard input to", dest);
  if (dest.ends_with('/'))
    return fail(Errc::not_directory, "{} is not a folder, and standard input is no folder either", dest);
  return destination.place.path;
}

}  // namespace spatter::doors
