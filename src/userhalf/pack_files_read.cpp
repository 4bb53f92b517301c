// Opening the store, reading packs, and packs leaving and coming back.
#include "pack_files.h"
#include "schema.h"

namespace spatter {

Task<Result<std::unique_ptr<PackFiles>>> PackFiles::open(Runtime& runtime, Database& database,
                                                         const VolumeKeys& keys, VolumeId volume,
                                                         PackStoreOptions options) {
  std::unique_ptr<PackFiles> store(
      new PackFiles(runtime, database, keys, volume, std::move(options)));
  PackFiles* self = store.get();
  CO_TRY_VOID(co_await database.read([self](Connected& db) { return self->load(db); }));
  CO_TRY_VOID(co_await runtime.blocking([self] { return self->match_files(); }));
  co_return store;
}

Result<void> PackFiles::load(Connected& db) {
  TRY(auto select, db.prepare("SELECT sequence, id, length, sealed, local, first_log, last_log, "
                              "snapshot, live FROM packs ORDER BY sequence"));
  while (true) {
    TRY(bool row, select.step());
    if (!row) break;
    auto pack = std::make_shared<Pack>();
    TRY(pack->info.id, PackId::from(select.blob_view(1)));
    pack->info.sequence = u64(select.integer(0));
    pack->end = pack->synced = pack->info.length = u64(select.integer(2));
    pack->sealed = pack->info.sealed = select.integer(3) != 0;
    pack->info.local = select.integer(4) != 0;
    pack->first_log = pack->info.first_log = u64(select.integer(5));
    pack->last_log = pack->info.last_log = u64(select.integer(6));
    pack->snapshot = pack->info.snapshot = u64(select.integer(7));
    pack->info.live_bytes = u64(select.integer(8));
    pack->unrecorded = false;
    packs_[pack->info.sequence] = pack;
    by_id_[pack->info.id] = pack;
  }
  TRY(StateRow state, read_state(db));
  last_log_ = state.last_log;
  next_sequence_ = state.next_sequence;
  if (!packs_.empty()) next_sequence_ = std::max(next_sequence_, packs_.rbegin()->first + 1);
  return {};
}

Result<void> PackFiles::match_files() {
  Disk& disk = runtime_.disk();
  TRY_VOID(disk.make_directories(options_.folder));
  for (std::string made = options_.folder; !made.empty();) {
    const std::size_t slash = made.rfind('/');
    made.resize(slash == made.npos ? 0 : slash);
    TRY_VOID(disk.sync_directory(made));
  }
  TRY(auto entries, disk.list(options_.folder));
  std::unordered_map<PackId, std::uint64_t> sizes;
  for (const DiskEntry& entry : entries) {
    auto id = PackId::from_hex(entry.name);
    const std::string path = options_.folder + "/" + entry.name;
    auto known = id ? by_id_.find(*id) : by_id_.end();
    if (known != by_id_.end() && known->second->info.local) {
      sizes[*id] = entry.size;
    } else if (id || entry.name.ends_with(".tmp")) {
      // Never acknowledged, or evicted, or half fetched.
      TRY_VOID(disk.remove(path));
    }
  }
  for (auto& [sequence, pack] : packs_) {
    if (!pack->info.local) continue;
    auto size = sizes.find(pack->info.id);
    if (size == sizes.end() || size->second < pack->info.length) {
      runtime_.log().error("pack {} is {} on this disk; what is missing is read from the network, "
                           "`spatter fsck --mend` puts it back", pack->info.id,
                           size == sizes.end() ? "missing" : "cut short");
      // An open pack can't go on from here.
      pack->missing = size == sizes.end();
      pack->sealed = true;
      pack->unrecorded = !pack->info.sealed;
      used_ += pack->info.length;
      continue;
    }
    used_ += pack->info.length;
    const bool torn = size->second > pack->info.length;
    if (pack->sealed && !torn) continue;
    TRY(auto file, disk.open(path_of(pack->info.id), OpenMode::read_write));
    if (torn) {
      TRY_VOID(file->truncate(pack->info.length));
      TRY_VOID(file->sync());
    }
    if (!pack->sealed) {
      pack->file = std::move(file);
      open_ = pack;
    }
  }
  return {};
}

// ---- reading ----

Result<std::shared_ptr<File>> PackFiles::file_of(const PackId& pack) {
  {
    std::lock_guard lock(mutex_);
    auto known = by_id_.find(pack);
    if (known != by_id_.end() && known->second->file) return known->second->file;
    for (auto it = handles_.begin(); it != handles_.end(); ++it) {
      if (it->first != pack) continue;
      handles_.splice(handles_.begin(), handles_, it);
      return it->second;
    }
  }
  TRY(auto opened, runtime_.disk().open(path_of(pack), OpenMode::read));
  std::shared_ptr<File> file = std::move(opened);
  std::lock_guard lock(mutex_);
  handles_.emplace_front(pack, file);
  if (handles_.size() > handles_max) handles_.pop_back();
  return file;
}

Result<Buffer> PackFiles::read_file(const PackId& pack, std::uint64_t offset,
                                    std::uint64_t length) {
  TRY(auto file, file_of(pack));
  Buffer bytes = Buffer::allocate(length);
  TRY(std::size_t got, file->read_at(offset, bytes.mutable_view()));
  if (got != length)
    return fail(Errc::corrupt, "the file of pack {} is cut short: {} bytes missing at {}", pack,
                length - got, offset + got);
  return bytes;
}

Task<Result<Buffer>> PackFiles::read(PackId pack, std::uint64_t offset, std::uint64_t length,
                                     ReadFrom from) {
  bool local, missing;
  {
    std::lock_guard lock(mutex_);
    auto found = by_id_.find(pack);
    if (found == by_id_.end()) co_return fail(Errc::not_found, "no pack {}", pack);
    missing = found->second->missing;
    PackInfo& info = found->second->info;
    if (offset > info.length || length > info.length - offset)
      co_return fail(Errc::invalid, "pack {} has {} bytes, not {} at {}", pack, info.length, length,
                     offset);
    info.last_used_ms = runtime_.wall_ms();
    local = info.local;
  }
  if (length == 0) co_return Buffer();
  if (missing && from == ReadFrom::local)
    co_return fail(Errc::not_found, "the file of pack {} is missing on this disk", pack);
  if (local && !missing && from != ReadFrom::network) {
    auto bytes = co_await runtime_.blocking([&] { return read_file(pack, offset, length); });
    if (bytes || from == ReadFrom::local || !remote_) co_return bytes;
    runtime_.log().warning("reading from the network instead: {}", bytes.error().message);
  }
  if (from == ReadFrom::local)
    co_return fail(Errc::unavailable, "pack {} is not on this machine", pack);
  if (!remote_)
    co_return fail(Errc::unavailable,
                   "pack {} is not on this machine, and the network can't be asked", pack);
  auto bytes = co_await remote_->read(pack, offset, length);
  if (bytes && bytes->size() != length)
    co_return fail(Errc::corrupt, "pack {}: the network gave {} bytes instead of {}", pack,
                   bytes->size(), length);
  co_return bytes;
}

std::optional<Buffer> PackFiles::newest(const PackId& pack, std::uint64_t offset,
                                        std::uint64_t length) const {
  std::lock_guard lock(mutex_);
  const auto found = by_id_.find(pack);
  if (found == by_id_.end() || offset + length > found->second->info.length) return std::nullopt;
  return tail_.read(pack, offset, length);
}

// ---- cutting and sealing ----

Task<Result<PackPosition>> PackFiles::close_off(bool seal) {
  auto recorded = std::make_shared<Recorded>();
  CO_TRY_VOID(co_await database_.write([this, seal, recorded](Connected& db) -> Result<void> {
    TRY(StateRow state, read_state(db));
    TRY_VOID(begin_commit(state.last_log));
    TRY_VOID(seal ? roll() : pad());
    TRY(*recorded, record(db));
    return {};
  }));
  committed(*recorded);
  co_return recorded->end;
}

Task<Result<PackPosition>> PackFiles::cut() {
  {
    std::lock_guard lock(mutex_);
    if (!open_ || (open_->info.length == open_->end && open_->end % pack_align_bytes == 0)) {
      bool all = true;
      for (auto it = packs_.rbegin(); it != packs_.rend() && all; ++it) {
        all = !it->second->unrecorded;
        if (it->second->info.sealed) break;
      }
      if (all && !packs_.empty()) {
        const PackInfo& last = packs_.rbegin()->second->info;
        co_return PackPosition{last.sequence, last.id, last.length};
      }
    }
  }
  co_return co_await close_off(false);
}

Task<Result<PackPosition>> PackFiles::seal() { co_return co_await close_off(true); }

Task<void> PackFiles::publish() {
  // The long sync first, so that the database isn't kept waiting for it.
  auto synced = co_await runtime_.blocking([this] { return sync(); });
  Result<void> done = std::move(synced);
  if (done) {
    auto recorded = std::make_shared<Recorded>();
    done = co_await database_.write([this, recorded](Connected& db) -> Result<void> {
      TRY(StateRow state, read_state(db));
      TRY_VOID(begin_commit(state.last_log));
      TRY(*recorded, record(db));
      return {};
    });
    if (done) committed(*recorded);
  }
  publishing_ = false;
  if (!done)
    runtime_.log().error("a sealed pack could not be recorded: {}", done.error().message);
  else
    publish_sealed();
}

// ---- packs leaving and coming back ----

Task<void> PackFiles::forget_cached(PackId pack) {
  if (const auto info = find(pack); !info || !info->sealed || !info->local) co_return;
  co_await runtime_.blocking([&] {
    if (auto file = file_of(pack)) (*file)->forget_cached();
  });
}

Task<Result<void>> PackFiles::drop_local(PackId pack) {
  auto info = find(pack);
  if (!info) co_return fail(Errc::not_found, "no pack {}", pack);
  if (!info->local) co_return Result<void>{};
  if (!info->sealed) co_return fail(Errc::invalid, "pack {} is still open", pack);
  const std::int64_t sequence = i64(info->sequence);
  CO_TRY_VOID(co_await database_.write([sequence](Connected& db) -> Result<void> {
    TRY(auto update, db.prepare("UPDATE packs SET local = 0 WHERE sequence = ?"));
    return update.bind(1, sequence).run();
  }));
  mark_not_local(info->sequence);
  // Should this fail or the machine stop first, the file goes at the next start.
  auto removed =
      co_await runtime_.blocking([&] { return runtime_.disk().remove(path_of(pack)); });
  if (!removed && removed.error().code != Errc::not_found)
    runtime_.log().warning("evicted pack {}: {}", pack, removed.error().message);
  co_return Result<void>{};
}

void PackFiles::mark_not_local(std::uint64_t sequence) {
  std::lock_guard lock(mutex_);
  auto found = packs_.find(sequence);
  if (found == packs_.end() || !found->second->info.local) return;
  found->second->info.local = false;
  used_ -= found->second->end;
  handles_.remove_if([&](const auto& entry) { return entry.first == found->second->info.id; });
}

void PackFiles::add_live(const std::map<std::uint64_t, std::int64_t>& deltas) {
  std::lock_guard lock(mutex_);
  for (auto [sequence, delta] : deltas) {
    auto found = packs_.find(sequence);
    if (found != packs_.end()) found->second->info.live_bytes += u64(delta);
  }
}

Task<void> PackFiles::forget(std::uint64_t sequence) {
  auto info = find_sequence(sequence);
  if (!info) co_return;
  mark_not_local(sequence);
  {
    std::lock_guard lock(mutex_);
    packs_.erase(sequence);
    by_id_.erase(info->id);
  }
  if (on_removed) on_removed(info->id);
  if (!info->local) co_return;
  auto removed =
      co_await runtime_.blocking([&] { return runtime_.disk().remove(path_of(info->id)); });
  if (!removed) runtime_.log().warning("removed pack {}: {}", info->id, removed.error().message);
}

}  // namespace spatter
