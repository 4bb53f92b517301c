#include "cli/paths.h"

namespace spatter::doors {

Result<std::string> volume_path(const std::string& text) {
  if (text.empty()) return fail(Errc::invalid, "an empty path names nothing");
  return text;
}

std::string join_path(const std::string& folder, const std::string& name) {
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::optional<std::string> given_name(const std::string& path) {
  std::string name = base_name(without_slashes(path));
  if (name.empty() || name == "." || name == "..") return std::nullopt;
  return name;
}

VolumeStat stat_from(const Json& message) {
  VolumeStat stat;
  stat.type = message.value("type", "");
  stat.mode = message.value("mode", 0u);
  stat.uid = message.value("uid", 0u);
  stat.gid = message.value("gid", 0u);
  stat.size = message.value("size", std::uint64_t{0});
  stat.mtime_ns = message.value("mtime_ns", std::int64_t{0});
  stat.inode = message.value("inode", std::uint64_t{0});
  stat.links = message.value("links", 1u);
  stat.device = message.value("device", std::uint64_t{0});
  if (message.contains("safety")) stat.safety = message["safety"];
  if (message.contains("target")) stat.target = binary_at(message, "target").value_or("");
  return stat;
}

Result<VolumePlace> resolve_volume(ControlClient& client, const std::string& text, LastLink last, bool local) {
  TRY(auto path, volume_path(text));
  auto reply = client.request({{"op", "resolve"}, {"path", to_binary(path)}, {"follow", last == LastLink::follow}, {"local", local}});
  if (!reply) return fail(reply.error().during(text));
  VolumePlace place;
  TRY(place.path, binary_at(*reply, "path"));
  place.missing = reply->value("missing", std::size_t{0});
  place.dangling = reply->value("dangling", false);
  if (place.missing == 0) place.stat = stat_from(*reply);
  return place;
}

Result<VolumePlace> find_volume(ControlClient& client, const std::string& text, LastLink last, bool local) {
  TRY(auto place, resolve_volume(client, text, last, local));
  if (!place.stat) return fail(Errc::not_found, "{}: there is no such file or folder", text);
  return place;
}

Result<std::vector<VolumeEntry>> list_volume(ControlClient& client, const std::string& path, bool local, bool safety) {
  std::vector<VolumeEntry> entries;
  auto collect = [&](ControlClient::Frame frame) -> Result<void> {
    for (const Json& one : frame.message["entries"]) {
      TRY(auto name, binary_at(one, "name"));
      entries.push_back({std::move(name), stat_from(one)});
    }
    return {};
  };
  TRY(auto done, client.request({{"op", "list"}, {"path", to_binary(path)}, {"local", local}, {"safety", safety}}, {}, collect));
  (void)done;
  return entries;
}

}  // namespace spatter::doors
