#include "salvage.h"

#include "node/drive.h"
#include "spatter/roots.h"
#include "volume_restore.h"

namespace spatter {
namespace {

constexpr auto retry_min = std::chrono::seconds(10);
constexpr auto retry_max = std::chrono::hours(6);
constexpr std::uint64_t piece_bytes = 1 << 20;
constexpr std::uint64_t list_bytes_max = 64 << 10;
constexpr std::size_t list_page = 256;
constexpr auto top = "/recovered";

Result<void> remove_if_there(Disk& disk, const std::string& path) {
  auto removed = disk.remove(path);
  if (!removed && removed.error().code != Errc::not_found) return removed;
  return {};
}

Result<void> clear_source_files(Disk& disk) {
  for (const std::string database : {drive_path::salvage_volume, drive_path::salvage_stripes})
    for (const auto* suffix : {"", "-wal", "-shm", "-journal"})
      TRY_VOID(remove_if_there(disk, database + suffix));
  return {};
}

/// A failure of this one file: the others may still be copied.
bool is_of_the_source(const Error& error) {
  return error.code == Errc::corrupt || error.code == Errc::unavailable ||
         error.code == Errc::timeout || error.code == Errc::not_found;
}

}  // namespace

/// The lost volume, restored beside the own one for as long as it is copied. Nothing is written to
/// it, and nobody keeps its stripes up.
struct Salvage::Source {
  std::unique_ptr<Database> database;
  std::unique_ptr<StripeTable> stripes;
  std::unique_ptr<StripeReader> reader;
  std::unique_ptr<Volume> volume;
  std::map<InodeNumber, std::string> linked;  ///< where files of several names were copied to first
};

Salvage::Salvage(Parts parts, std::vector<VolumeId> volumes)
    : parts_(std::move(parts)), volumes_(std::move(volumes)),
      tasks_(parts_.context.runtime.executor()) {}

Salvage::~Salvage() = default;

Task<Result<std::vector<VolumeId>>> Salvage::load(Runtime& runtime) {
  std::vector<VolumeId> volumes;
  auto bytes = co_await runtime.blocking(
      [&] { return read_file(runtime.disk(), drive_path::salvage, list_bytes_max); });
  if (!bytes) {
    if (bytes.error().code == Errc::not_found) co_return volumes;
    co_return fail(std::move(bytes).error());
  }
  auto text = as_text(*bytes);
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    auto volume = VolumeId::from_hex(line);
    if (!volume) co_return fail(Errc::corrupt, "{}: \"{}\" is no volume", drive_path::salvage, line);
    volumes.push_back(*volume);
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  co_return volumes;
}

Task<Result<void>> Salvage::save(Runtime& runtime, const std::vector<VolumeId>& volumes) {
  std::string text;
  for (const auto& volume : volumes) text += volume.hex() + "\n";
  co_return co_await runtime.blocking([&]() -> Result<void> {
    if (!text.empty())
      return write_file_durably(runtime.disk(), drive_path::salvage, as_bytes(text));
    TRY_VOID(remove_if_there(runtime.disk(), drive_path::salvage));
    return runtime.disk().sync_directory("user");
  });
}

void Salvage::start() {
  if (!volumes_.empty()) tasks_.spawn(run());
}

Task<void> Salvage::stop() {
  co_await tasks_.stop();
  co_await close_source();
}

std::string Salvage::note() const {
  if (volumes_.empty()) return {};
  std::string text = fmt::format("files of {} lost volume{} are being copied into {}",
                                 volumes_.size(), volumes_.size() == 1 ? "" : "s", top);
  if (source_) text += fmt::format(": {} of {}", files_copied_, files_);
  if (!trouble_.empty()) text += "; " + trouble_;
  return text;
}

Task<void> Salvage::run() {
  auto& runtime = parts_.context.runtime;
  Duration pause = retry_min;
  while (!volumes_.empty()) {
    for (const auto& volume : std::vector(volumes_)) {
      auto done = co_await bring_back(volume);
      co_await close_source();
      if (done) {
        auto left = volumes_;
        std::erase(left, volume);
        done = co_await save(runtime, left);
        if (done) volumes_ = std::move(left);
      }
      trouble_ = done ? "" : done.error().message;
      if (!done) runtime.log().warning("volume {} is not copied yet: {}", volume, trouble_);
    }
    if (volumes_.empty()) co_return;
    co_await runtime.sleep(pause);
    pause = std::min<Duration>(2 * pause, retry_max);
  }
}

Task<Result<void>> Salvage::bring_back(VolumeId volume) {
  auto& context = parts_.context;
  auto& log = context.runtime.log();
  CO_TRY_VOID(parts_.may_write());
  co_await wait_for_members(context.runtime, context.members);
  CO_TRY(const auto found, co_await find_volumes(context));
  const auto known = std::ranges::find(found.volumes, volume, &KnownVolume::volume);
  if (known == found.volumes.end())
    co_return fail(Errc::unavailable, "no member that answers knows volume {}", volume);
  if (known->has_server()) {
    log.info("volume {}: its server {} is back, so it is left to it", volume, known->writer);
    co_return Result<void>{};
  }
  CO_TRY_VOID(co_await open_source(*known));
  const auto folder = fmt::format("{}/{}", top, volume.brief());
  auto made = co_await parts_.volume.make_directory(folder, {.mode = 0040755}, true);
  if (!made && made.error().code != Errc::exists) co_return fail(made.error());
  CO_TRY_VOID(co_await copy_directory("", folder));
  CO_TRY(const auto position, co_await parts_.volume.flush({.cut = true}));
  CO_TRY_VOID(co_await parts_.make_safe(position));
  if (!behind_.empty()) co_return fail(Errc::unavailable, "not all of it can be found now: {}", behind_);
  if (files_unread_ > 0)
    co_return fail(Errc::unavailable, "{} of {} files of volume {} can't be read now",
                   files_unread_, files_, volume);
  log.info("volume {}: {} files are copied into {}", volume, files_copied_, folder);
  co_return Result<void>{};
}

Task<Result<void>> Salvage::open_source(const KnownVolume& known) {
  auto& runtime = parts_.context.runtime;
  CO_TRY_VOID(co_await runtime.blocking([&]() -> Result<void> {
    TRY_VOID(clear_source_files(runtime.disk()));
    return runtime.disk().make_directories(drive_path::salvage_packs);
  }));
  const auto found = keys_of_volume(parts_.person, known.root);
  if (!found)
    co_return fail(Errc::corrupt, "volume {} was made under a secret that this machine does not have", known.volume);
  const auto& keys = *found;
  source_ = std::make_unique<Source>();
  auto& source = *source_;
  CO_TRY(source.database,
         co_await Database::open(runtime, drive_path::salvage_volume, volume_migrations()));
  CO_TRY(source.stripes, co_await StripeTable::open(runtime, drive_path::salvage_stripes));
  const auto& own = parts_.context;
  const SpatterContext context{own.runtime,   own.rpc,      own.members,
                               own.own_store, own.identity, *source.stripes};
  source.reader = std::make_unique<StripeReader>(context);
  CO_TRY(const auto restored, co_await restore_from_network(context, known, known.root.number(),
                                                            keys, *source.database, *source.reader));
  VolumeOptions options{.volume = known.volume};
  options.packs.folder = drive_path::salvage_packs;
  CO_TRY(source.volume, co_await Volume::open(runtime, *source.database, keys, options));
  source.volume->packs().set_remote(source.reader.get());
  behind_ = restored.behind && restored.may_improve ? restored.missing : "";
  files_ = restored.files;
  files_copied_ = 0;
  // What is missing shows when its files are read; only the names of files can be missing unseen.
  files_unread_ = 0;
  co_return Result<void>{};
}

Task<void> Salvage::close_source() {
  const auto source = std::move(source_);
  if (!source) co_return;
  if (source->volume) {
    source->volume->packs().set_remote(nullptr);
    co_await source->volume->stop();
  }
  if (source->reader) co_await source->reader->stop();
  source->volume.reset();
  source->reader.reset();
  if (source->stripes) co_await source->stripes->close();
  if (source->database) co_await source->database->close();
  auto& runtime = parts_.context.runtime;
  auto cleared = co_await runtime.blocking([&] { return clear_source_files(runtime.disk()); });
  if (!cleared) runtime.log().warning("{}", cleared.error().message);
}

Task<Result<void>> Salvage::copy_directory(std::string from, std::string to) {
  std::string after;
  while (true) {
    CO_TRY(const auto entries, co_await source_->volume->list(from, after, list_page));
    if (entries.empty()) break;
    after = entries.back().name;
    for (const auto& entry : entries)
      CO_TRY_VOID(co_await copy(entry, from + "/" + entry.name, to + "/" + entry.name));
  }
  CO_TRY(const auto node, co_await source_->volume->stat(from));
  // Its time last: what was put into it has changed that.
  if (!from.empty())
    CO_TRY_VOID(co_await parts_.volume.set_attributes(to, {.mtime_ns = node.attributes.mtime_ns}));
  co_return Result<void>{};
}

Task<bool> Salvage::is_copied(const Node& node, const std::string& to) {
  const auto there = co_await parts_.volume.stat(to);
  if (!there) co_return false;
  if (!node.is_file()) co_return true;
  co_return there->size == node.size && there->attributes.mtime_ns == node.attributes.mtime_ns;
}

Task<Result<void>> Salvage::copy(const DirectoryEntry& entry, const std::string& from,
                                 const std::string& to) {
  const auto& node = entry.node;
  auto& own = parts_.volume;
  CO_TRY_VOID(parts_.may_write());
  const bool there = co_await is_copied(node, to);
  if (node.is_directory()) {
    if (!there) CO_TRY_VOID(co_await own.make_directory(to, node.attributes));
    co_return co_await copy_directory(from, to);
  }
  auto first = source_->linked.end();
  if (node.links > 1) first = source_->linked.find(node.inode);
  Result<void> done;
  if (there) {
  } else if (first != source_->linked.end()) {
    CO_TRY_VOID(co_await own.link(first->second, to));
  } else if (node.is_symlink()) {
    CO_TRY_VOID(co_await own.make_symlink(node.target, to, node.attributes));
  } else if (node.is_file()) {
    done = co_await copy_file(node, from, to);
  } else {
    CO_TRY_VOID(co_await own.make_special(to, node.attributes));
  }
  if (!done) {
    if (!is_of_the_source(done.error())) co_return done;
    ++files_unread_;
    parts_.context.runtime.log().info("volume {}: {}", source_->volume->id(),
                                      done.error().message);
    co_return Result<void>{};
  }
  if (node.links > 1 && first == source_->linked.end()) source_->linked.emplace(node.inode, to);
  // As the volume counts its files: each once, whatever its names.
  if (node.is_file() && first == source_->linked.end()) ++files_copied_;
  co_return Result<void>{};
}

Task<Result<void>> Salvage::copy_file(const Node& node, const std::string& from,
                                      const std::string& to) {
  CO_TRY(auto reader, co_await source_->volume->read_file(from, ReadFrom::network));
  CO_TRY(auto writer, co_await parts_.volume.write_file(to, node.attributes));
  for (std::uint64_t at = 0; at < node.size;) {
    CO_TRY(const auto data, co_await reader->next_data(at));
    const auto [begin, length] = data;
    const auto hole_end = length == 0 ? node.size : begin;
    if (hole_end > at) CO_TRY_VOID(co_await writer->write_hole(hole_end - at));
    for (at = hole_end; at < begin + length;) {
      CO_TRY(auto piece, co_await reader->read(at, std::min(piece_bytes, begin + length - at)));
      if (piece.empty()) co_return fail(Errc::corrupt, "{} ends at byte {}", from, at);
      at += piece.size();
      CO_TRY_VOID(co_await writer->write(std::move(piece)));
    }
  }
  CO_TRY_VOID(co_await writer->commit());
  co_return Result<void>{};
}

}  // namespace spatter
