#include "cli/paths.h"

namespace spatter::doors {

Result<std::string> volume_path(const std::string& text) {
  std::string out;
  std::size_t at = 0;
  if (text.empty()) return fail(Errc::invalid, "an empty path names nothing");
  while (at < text.size()) {
    std::size_t end = std::min(text.find('/', at), text.size());
    std::string part = text.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(Errc::invalid, "{}: '..' is not understood inside the volume", text);
    out += "/" + part;
  }
  return out.empty() ? "/" : out;
}

std::string join_path(const std::string& folder, const std::string& name) {
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

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
  if (message.contains("target")) stat.target = binary_at(message, "target").value_or("");
  return stat;
}

Result<std::optional<VolumeStat>> stat_volume(ControlClient& client, const std::string& path) {
  auto reply = client.request({{"op", "stat"}, {"path", to_binary(path)}});
  if (!reply) {
    if (reply.error().code == Errc::not_found) return std::nullopt;
    return fail(reply.error());
  }
  return stat_from(*reply);
}

Result<std::vector<VolumeEntry>> list_volume(ControlClient& client, const std::string& path) {
  std::vector<VolumeEntry> entries;
  auto collect = [&](ControlClient::Frame frame) -> Result<void> {
    for (const Json& one : frame.message["entries"]) {
      TRY(auto name, binary_at(one, "name"));
      entries.push_back({std::move(name), stat_from(one)});
    }
    return {};
  };
  TRY(auto done, client.request({{"op", "list"}, {"path", to_binary(path)}}, {}, collect));
  (void)done;
  return entries;
}

}  // namespace spatter::doors
