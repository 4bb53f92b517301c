// Bringing a person's volumes back from the network onto a new machine.
#include <asio/experimental/awaitable_operators.hpp>

#include "recovery_choice.h"
#include "server_state.h"
#include "spatter/roots.h"
#include "volume_restore.h"

namespace spatter {
namespace {

/// A writer that was cut off is noticed by the others within so long.
constexpr auto writers_wait_max = std::chrono::seconds(30);
/// So long is asked for when nobody has said yet that he knows a volume.
constexpr auto answers_wait_max = std::chrono::seconds(90);
/// When so long nobody more has answered, those who are missing are probably gone.
constexpr auto answers_settled_after = std::chrono::seconds(4);
/// Unless something changes before.
constexpr auto ask_again_after = std::chrono::seconds(1);
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
  recovery.copy = text.find("\ncopy\n") != text.npos;
  co_return recovery;
}

/// An earlier try may have been interrupted anywhere. Pack files stay: they may hold what nobody else
/// has, and opening the volume removes those that it has no use for.
Task<Result<void>> Server::State::clear_user_half() {
  co_return co_await runtime.blocking([&]() -> Result<void> {
    auto& disk = runtime.disk();
    for (const std::string database : {drive_path::volume, drive_path::stripes}) {
      for (const auto* suffix : {"", "-wal", "-shm", "-journal"})
        TRY_VOID(remove_if_there(disk, database + suffix));
    }
    TRY_VOID(remove_if_there(disk, drive_path::root));
    TRY_VOID(remove_if_there(disk, drive_path::salvage));
    return {};
  });
}

/// The person's volumes. Members are asked again, as they come up, until a volume is found and all have
/// answered or no more do, or all say that there is none. Unless one was chosen, those whose server
/// this one can't reach but others still do are asked about until it is clear whether they have just
/// been lost.
Task<Result<std::vector<KnownVolume>>> Server::State::survey_volumes(bool chosen) {
  using namespace asio::experimental::awaitable_operators;
  struct Watch {
    Members& members;
    Event changed;
    Members::Subscription subscription;
    explicit Watch(Runtime& runtime, Members& watched)
        : members(watched), changed(runtime.executor()),
          subscription(members.subscribe([this] { changed.set(); })) {}
    ~Watch() { members.unsubscribe(subscription); }
  } watch(runtime, *members);
  const auto started = runtime.now();
  auto newest = started;  // when somebody answered who had not before
  std::size_t silent_before = members->others().size();
  FoundVolumes found;
  while (true) {
    watch.changed.reset();
    CO_TRY(found, co_await find_volumes(context()));
    const auto now = runtime.now();
    if (found.silent.size() < silent_before) newest = now;
    silent_before = found.silent.size();
    if (found.volumes.empty()) {
      if (found.silent.empty() || now - started >= answers_wait_max) break;
    } else {
      const bool unclear = !chosen && now - started < writers_wait_max &&
                           std::ranges::any_of(found.volumes, [](const KnownVolume& volume) {
                             return volume.writer_seen && !volume.writer_up;
                           });
      const bool settled = found.silent.empty() || now - newest >= answers_settled_after;
      if (settled && !unclear) break;
    }
    co_await (watch.changed.wait() || runtime.sleep(ask_again_after));
  }
  auto& volumes = found.volumes;
  if (volumes.empty()) {
    const auto answered = members->others().size() - found.silent.size();
    if (answered == 0) co_return fail(Errc::unavailable, "no member of the network can be reached");
    co_return fail(Errc::not_found, "none of the {} members that answer keeps a volume of person {}{}",
                   answered, identity->person,
                   found.silent.empty() ? "" : fmt::format("; those that could not be asked may: {}",
                                                           brief_list(found.silent)));
  }
  const auto lost = std::ranges::count_if(
      volumes, [](const KnownVolume& volume) { return !volume.has_server(); });
  if (!chosen && lost > 1)
    CO_TRY_VOID(co_await find_empty_volumes(context(), drive.keyring.person, volumes));
  for (const auto& volume : volumes)
    runtime.log().info("recovering: volume {} of server {}{}", volume.volume, volume.writer,
                       volume.has_server() ? ", which is up"
                       : volume.empty      ? ": without a server, and empty"
                                           : ": without a server");
  co_return std::move(volumes);
}

Task<Result<std::uint64_t>> Server::State::recover_volume(Recovery recovery) {
  CO_TRY_VOID(co_await clear_user_half());
  CO_TRY(database, co_await Database::open(runtime, drive_path::volume, volume_migrations()));
  CO_TRY(stripes, co_await StripeTable::open(runtime, drive_path::stripes));
  reader = std::make_unique<StripeReader>(context());
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (recover_from_network(std::move(recovery)) || interrupted.wait());
  if (first.index() == 1)
    co_return fail(Errc::cancelled, "stopped before the volume was back: the next start begins to "
                   "recover anew");
  co_return std::get<0>(std::move(first));
}

Task<Result<std::uint64_t>> Server::State::recover_from_network(Recovery recovery) {
  runtime.log().info("recovering: looking for the members of the network");
  CO_TRY(const auto volumes, co_await survey_volumes(!recovery.volume.empty() && !recovery.copy));
  // A drive that lost its index, or whose recovery was interrupted late, goes on with its own volume.
  const auto own = std::ranges::find(volumes, identity->server, &KnownVolume::writer);
  if (recovery.volume.empty() && own != volumes.end()) recovery.volume = own->volume.hex();
  CO_TRY(auto choice, choose_recovery(volumes, recovery.volume));
  if (recovery.copy && choice.take_over) {
    choice.copy.push_back(std::move(*choice.take_over));
    choice.take_over.reset();
  }
  if (!choice.take_over) {
    std::vector<VolumeId> lost;
    for (const auto& volume : choice.copy) lost.push_back(volume.volume);
    CO_TRY_VOID(co_await Salvage::save(runtime, lost));
    runtime.log().info("recovering: {} volumes are copied into a new one; none is taken over", lost.size());
    co_return 0;
  }
  const auto& known = *choice.take_over;
  const auto number = known.number_max + 1;
  if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    co_return fail(Errc::corrupt, "the root record of volume {} has writer number {}, which leaves none for this server: "
                   "copy what can be read into a new volume, `spatter recover --copy` on a new drive", known.volume,
                   known.number_max);
  keys = keys_of_volume(drive.keyring.person, known.root);
  if (!keys)
    co_return fail(Errc::corrupt, "volume {} was made under a secret that this machine does not have: run `spatter "
                   "key take` here with the recovery words", known.volume);
  CO_TRY(const auto restored, co_await restore_from_network(context(), known, number, *keys,
                                                            *database, *reader, drive_path::packs));
  // Its own shards, that an incomplete index doesn't know, would look superfluous to it.
  if (known.writer == identity->server && !restored.missing.empty())
    co_return fail(Errc::unavailable, "the volume of this drive cannot be rebuilt whole now: {}; start "
                   "the servers that are missing and try again, or bring back what there is on a new "
                   "drive with `spatter recover`", restored.missing);
  // Whoever writes on what is not the newest uses numbers again that others' bytes have already.
  if (restored.behind || (!restored.missing.empty() && restored.may_improve))
    co_return fail(Errc::unavailable, "the volume cannot be taken over now: {}; start the servers that are "
                   "missing, and then this one again, or copy what can be read into a new volume: `spatter "
                   "recover --copy` on a new drive", restored.missing);
  note = restored.missing;
  runtime.log().info("recovering: {} files are back", restored.files);
  co_return number;
}

}  // namespace spatter
