#include "volume_restore.h"

#include "userhalf/local_packs.h"

namespace spatter {
namespace {

/// How long to wait for members that do not answer before going on without them.
constexpr auto members_wait_max = std::chrono::seconds(30);
/// When so long nobody more has come up, those who are missing are probably gone.
constexpr auto members_settled_after = std::chrono::seconds(4);
constexpr auto members_wait_step = std::chrono::milliseconds(200);

/// How far the log went when the root was made.
std::uint64_t last_log_of(const KnownVolume& known, const VolumeKeys& keys) {
  const auto plain = keys.metadata.open(known.volume.view(), as_bytes(known.root.sealed()));
  wire::RootContent content;
  if (!plain || !content.ParseFromArray(plain->data(), static_cast<int>(plain->size()))) return 0;
  return content.last_log();
}

}  // namespace

std::string brief_list(const std::vector<ServerId>& servers) {
  std::string text;
  for (std::size_t i = 0; i < servers.size() && i < 5; ++i)
    text += (i ? ", " : "") + servers[i].brief();
  if (servers.size() > 5) text += fmt::format(" and {} more", servers.size() - 5);
  return text;
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

Task<Result<RestoredVolume>> restore_from_network(SpatterContext context, const KnownVolume& known,
                                                  std::uint64_t number, const VolumeKeys& keys,
                                                  Database& database, StripeReader& reader,
                                                  std::string packs_folder) {
  auto& log = context.runtime.log();
  CO_TRY(const auto found,
         co_await recover_stripes(context, OwnedVolume{known.volume, number, keys.labels}));
  log.info("volume {}: {} stripes of {} packs found", known.volume, found.stripes,
           found.packs.size());
  std::vector<RestorePack> packs;
  for (const auto& pack : found.packs)
    packs.push_back({pack.pack, pack.sequence, pack.length, pack.sealed, pack.has_log,
                     pack.has_snapshot});
  if (!packs_folder.empty()) {
    CO_TRY(auto local, co_await find_local_packs(context.runtime, packs_folder, keys, known.volume));
    log.info("volume {}: {} packs are on this disk", known.volume, local.size());
    packs = merge_packs(std::move(packs), std::move(local));
  }
  LocalFirst source(context.runtime, packs_folder, packs, reader);
  auto restored = co_await Volume::restore(context.runtime, database, keys, known.volume,
                                           std::move(packs), source);
  if (!restored) {
    auto error = restored.error().during(fmt::format("bringing back volume {}", known.volume));
    if (!found.silent.empty())
      error.message += fmt::format(" (servers that do not answer: {})", brief_list(found.silent));
    co_return fail(std::move(error));
  }
  RestoredVolume result{.files = restored->files};
  if (restored->chunks_missing > 0 || found.stripes_unreadable > 0 ||
      restored->last_log < last_log_of(known, keys)) {
    result.missing = fmt::format("the recovery is incomplete: {} stripes could not be read, {} "
                                 "chunks of files are missing", found.stripes_unreadable,
                                 restored->chunks_missing);
    result.behind = restored->last_log < last_log_of(known, keys);
    if (result.behind) result.missing += ", and the newest changes to the list of files";
    result.may_improve = !found.silent.empty();
    if (!found.silent.empty())
      result.missing += fmt::format("; servers that do not answer: {}", brief_list(found.silent));
    log.warning("volume {}: {}", known.volume, result.missing);
  }
  co_return result;
}

}  // namespace spatter
