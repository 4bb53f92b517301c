// Bringing a person's volume back from the network onto a new machine.
#include "server_state.h"
#include "spatter/recover.h"

namespace spatter {
namespace {

/// How long to wait for members that do not answer before going on without them.
constexpr auto members_wait_max = std::chrono::seconds(30);
/// When so long nobody more has come up, those who are missing are probably gone.
constexpr auto members_settled_after = std::chrono::seconds(4);
constexpr auto members_wait_step = std::chrono::milliseconds(200);

Result<void> remove_if_there(Disk& disk, const std::string& path) {
  auto removed = disk.remove(path);
  if (!removed && removed.error().code != Errc::not_found) return removed;
  return {};
}

Task<void> wait_for_members(Runtime& runtime, Members& members) {
  const auto until = runtime.now() + members_wait_max;
  auto newest = runtime.now();
  std::ptrdiff_t up_before = 0;
  while (runtime.now() < until) {
    const auto others = members.others();
    const auto up = std::ranges::count_if(others, &Member::up);
    if (up > up_before) newest = runtime.now();
    up_before = up;
    if (up > 0 && (static_cast<std::size_t>(up) == others.size() ||
                   runtime.now() - newest > members_settled_after))
      co_return;
    co_await runtime.sleep(members_wait_step);
  }
}

std::string brief_list(const std::vector<ServerId>& servers) {
  std::string text;
  for (std::size_t i = 0; i < servers.size() && i < 5; ++i)
    text += (i ? ", " : "") + servers[i].brief();
  if (servers.size() > 5) text += fmt::format(" and {} more", servers.size() - 5);
  return text;
}

}  // namespace

Task<Result<bool>> Server::State::is_recovering() {
  auto there = co_await runtime.blocking([&] { return runtime.disk().stat(drive_path::recovering); });
  if (there) co_return true;
  if (there.error().code == Errc::not_found) co_return false;
  co_return fail(std::move(there).error());
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
    TRY(auto files, disk.list(drive_path::packs));
    for (const auto& file : files)
      TRY_VOID(remove_if_there(disk, std::string(drive_path::packs) + "/" + file.name));
    return {};
  });
}

Task<Result<std::uint64_t>> Server::State::recover_volume() {
  CO_TRY_VOID(co_await clear_user_half());
  CO_TRY(database, co_await Database::open(runtime, drive_path::volume, volume_migrations()));
  CO_TRY(stripes, co_await StripeTable::open(runtime, drive_path::stripes));
  runtime.log().info("recovering: looking for the members of the network");
  co_await wait_for_members(runtime, *members);

  CO_TRY(auto root, co_await fetch_root(context()));
  if (!root) {
    const auto others = members->others();
    const auto up = std::ranges::count_if(others, &Member::up);
    if (up == 0) co_return fail(Errc::unavailable, "no member of the network can be reached");
    co_return fail(Errc::not_found, "none of the {} members that answer keeps a volume of person {}",
                   up, identity->person);
  }
  CO_TRY(auto volume_id, VolumeId::from(root->volume()));
  const auto number = root->number() + 1;
  const auto volume_keys = VolumeKeys::derive(drive.keyring.person, volume_id);

  CO_TRY(auto found, co_await recover_stripes(
                         context(), OwnedVolume{volume_id, number, volume_keys.labels}));
  runtime.log().info("recovering: {} stripes of {} packs found", found.stripes, found.packs.size());
  std::vector<RestorePack> packs;
  for (const auto& pack : found.packs)
    packs.push_back({pack.pack, pack.sequence, pack.length, pack.sealed, pack.has_log,
                     pack.has_snapshot});
  reader = std::make_unique<StripeReader>(context());
  auto restored = co_await Volume::restore(runtime, *database, volume_keys, volume_id,
                                           std::move(packs), *reader);
  if (!restored) {
    auto error = restored.error().during("recovering");
    if (!found.silent.empty())
      error.message += fmt::format(" (servers that do not answer: {})", brief_list(found.silent));
    co_return fail(std::move(error));
  }
  runtime.log().info("recovering: {} files are back", restored->files);

  std::uint64_t last_log_known = 0;
  if (auto plain = volume_keys.metadata.open(volume_id.view(), as_bytes(root->sealed()))) {
    wire::RootContent content;
    if (content.ParseFromArray(plain->data(), static_cast<int>(plain->size())))
      last_log_known = content.last_log();
  }
  if (restored->chunks_missing > 0 || found.stripes_unreadable > 0 ||
      restored->last_log < last_log_known) {
    note = fmt::format("the recovery is incomplete: {} stripes could not be read, {} chunks of "
                       "files are missing", found.stripes_unreadable, restored->chunks_missing);
    if (!found.silent.empty())
      note += fmt::format("; servers that do not answer: {}", brief_list(found.silent));
    runtime.log().warning("{}", note);
  }
  co_return number;
}

}  // namespace spatter
