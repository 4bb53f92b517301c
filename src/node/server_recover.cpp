// Bringing a person's volumes back from the network onto a new machine.
#include "recovery_choice.h"
#include "server_state.h"
#include "volume_restore.h"

namespace spatter {
namespace {

/// A writer that was cut off is noticed by the others within so long.
constexpr auto writers_wait_max = std::chrono::seconds(30);
constexpr auto writers_wait_step = std::chrono::seconds(1);
constexpr std::uint64_t recovering_bytes_max = 4096;

Result<void> remove_if_there(Disk& disk, const std::string& path) {
  auto removed = disk.remove(path);
  if (!removed && removed.error().code != Errc::not_found) return removed;
  return {};
}

}  // namespace

Task<Result<std::optional<Recovery>>> Server::State::wanted_recovery() {
  auto mark = co_await runtime.blocking(
      [&] { return read_file(runtime.disk(), drive_path::recovering, recovering_bytes_max); });
  if (!mark && mark.error().code == Errc::not_found) co_return std::nullopt;
  if (!mark) co_return fail(std::move(mark).error());
  Recovery recovery;
  const auto text = as_text(*mark);
  if (const auto at = text.find("\nvolume "); at != text.npos) {
    const auto digits = text.substr(at + 8);
    recovery.volume = digits.substr(0, digits.find('\n'));
  }
  co_return recovery;
}

/// An earlier try may have been interrupted anywhere.
Task<Result<void>> Server::State::clear_user_half() {
  co_return co_await runtime.blocking([&]() -> Result<void> {
    auto& disk = runtime.disk();
    for (const std::string database : {drive_path::volume, drive_path::stripes}) {
      for (const auto* suffix : {"", "-wal", "-shm", "-journal"})
        TRY_VOID(remove_if_there(disk, database + suffix));
    }
    TRY_VOID(remove_if_there(disk, drive_path::root));
    TRY_VOID(remove_if_there(disk, drive_path::salvage));
    TRY(auto files, disk.list(drive_path::packs));
    for (const auto& file : files)
      TRY_VOID(remove_if_there(disk, std::string(drive_path::packs) + "/" + file.name));
    return {};
  });
}

/// The person's volumes. Unless one was chosen, those whose server this one can't reach but others
/// still do are asked about again until it is clear whether they have just been lost.
Task<Result<std::vector<KnownVolume>>> Server::State::survey_volumes(bool chosen) {
  co_await wait_for_members(runtime, *members);
  const auto until = runtime.now() + writers_wait_max;
  std::vector<KnownVolume> volumes;
  while (true) {
    CO_TRY(volumes, co_await find_volumes(context()));
    const bool unclear = std::ranges::any_of(volumes, [](const KnownVolume& volume) {
      return volume.writer_seen && !volume.writer_up;
    });
    if (chosen || !unclear || runtime.now() >= until) break;
    co_await runtime.sleep(writers_wait_step);
  }
  const auto others = members->others();
  if (volumes.empty() && !std::ranges::any_of(others, &Member::up))
    co_return fail(Errc::unavailable, "no member of the network can be reached");
  const auto lost = std::ranges::count_if(
      volumes, [](const KnownVolume& volume) { return !volume.has_server(); });
  if (!chosen && lost > 1)
    CO_TRY_VOID(co_await find_empty_volumes(context(), drive.keyring.person, volumes));
  for (const auto& volume : volumes)
    runtime.log().info("recovering: volume {} of server {}{}", volume.volume, volume.writer,
                       volume.has_server() ? ", which is up"
                       : volume.empty      ? ": without a server, and empty"
                                           : ": without a server");
  co_return volumes;
}

Task<Result<std::uint64_t>> Server::State::recover_volume(Recovery recovery) {
  CO_TRY_VOID(co_await clear_user_half());
  CO_TRY(database, co_await Database::open(runtime, drive_path::volume, volume_migrations()));
  CO_TRY(stripes, co_await StripeTable::open(runtime, drive_path::stripes));
  runtime.log().info("recovering: looking for the members of the network");
  CO_TRY(const auto volumes, co_await survey_volumes(!recovery.volume.empty()));
  CO_TRY(const auto choice, choose_recovery(volumes, recovery.volume));
  if (!choice.take_over) {
    std::vector<VolumeId> lost;
    for (const auto& volume : choice.copy) lost.push_back(volume.volume);
    CO_TRY_VOID(co_await Salvage::save(runtime, lost));
    runtime.log().info("recovering: {} volumes are without a server; none is taken over, all are "
                       "copied into a new one", lost.size());
    co_return 0;
  }
  const auto& known = *choice.take_over;
  const auto number = known.root.number() + 1;
  const auto volume_keys = VolumeKeys::derive(drive.keyring.person, known.volume);
  reader = std::make_unique<StripeReader>(context());
  CO_TRY(const auto restored, co_await restore_from_network(context(), known, number, volume_keys,
                                                            *database, *reader));
  note = restored.missing;
  runtime.log().info("recovering: {} files are back", restored.files);
  co_return number;
}

}  // namespace spatter
