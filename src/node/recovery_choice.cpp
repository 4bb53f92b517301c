#include "recovery_choice.h"

namespace spatter {
namespace {

std::string list_of(const std::vector<KnownVolume>& volumes) {
  std::string text;
  for (const auto& volume : volumes)
    text += fmt::format("{}{} (server {}{})", text.empty() ? "" : ", ", volume.volume, volume.writer,
                        volume.has_server() ? ", up" : "");
  return text;
}

Result<RecoveryChoice> take_chosen(const std::vector<KnownVolume>& volumes,
                                   std::string_view chosen) {
  std::vector<KnownVolume> matching;
  for (const auto& volume : volumes)
    if (volume.volume.hex().starts_with(chosen)) matching.push_back(volume);
  if (matching.empty())
    return fail(Errc::not_found, "this person has no volume {}; there are {}", chosen,
                list_of(volumes));
  if (matching.size() > 1)
    return fail(Errc::invalid, "{} may be any of these volumes: {}", chosen, list_of(matching));
  auto& volume = matching.front();
  if (volume.writer_up)
    return fail(Errc::busy, "volume {} is written by server {}, which is up: stop that server "
                "first, or retire it with `spatter forget`", volume.volume, volume.writer);
  return RecoveryChoice{.take_over = std::move(volume)};
}

}  // namespace

Result<RecoveryChoice> choose_recovery(const std::vector<KnownVolume>& volumes,
                                       std::string_view chosen) {
  if (volumes.empty())
    return fail(Errc::not_found, "none of the members that answer keeps a volume of this person");
  if (!chosen.empty()) return take_chosen(volumes, chosen);
  // Whoever has the words and one volume means that one, even while the old machine still runs.
  if (volumes.size() == 1) return RecoveryChoice{.take_over = volumes.front()};
  std::vector<KnownVolume> lost;
  for (const auto& volume : volumes)
    if (!volume.has_server()) lost.push_back(volume);
  if (lost.empty())
    return fail(Errc::exists, "nothing is lost: every volume of this person has its server ({}); "
                "`spatter join` with the words makes one more server, `spatter recover --volume` "
                "takes over a volume whose server is stopped", list_of(volumes));
  std::vector<KnownVolume> filled;
  for (const auto& volume : lost)
    if (!volume.empty) filled.push_back(volume);
  if (filled.size() > 1) return RecoveryChoice{.copy = std::move(filled)};
  return RecoveryChoice{.take_over = filled.empty() ? lost.front() : filled.front()};
}

}  // namespace spatter
