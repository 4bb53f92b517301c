#include "pack_files.h"

#include "crypto/hash.h"
#include "wire/proto/volume.pb.h"

namespace spatter {

namespace {

// What chunks must leave free, so that a full half can still record that something was removed.
std::uint64_t reserve_of(std::uint64_t limit) {
  return std::min<std::uint64_t>(limit / 32, 16 << 20);
}
std::string human(std::uint64_t bytes) {
  if (bytes >= 10ull << 30) return fmt::format("{:.1f} GiB", double(bytes) / (1ull << 30));
  return fmt::format("{:.1f} MiB", double(bytes) / (1 << 20));
}
}  // namespace

PackFiles::PackFiles(Runtime& runtime, Database& database, const VolumeKeys& keys, VolumeId volume,
                     PackStoreOptions options)
    : runtime_(runtime),
      database_(database),
      keys_(keys),
      volume_(volume),
      options_(std::move(options)),
      tasks_(runtime.executor()) {
  runtime_.entropy().fill(id_seed_.bytes);
}

PackFiles::~PackFiles() = default;

Task<void> PackFiles::stop() { co_await tasks_.drain(); }

void PackFiles::set_target_bytes(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  options_.target_bytes = std::max<std::uint64_t>(bytes, 4 << 20);
}
std::uint64_t PackFiles::target_bytes() const {
  std::lock_guard lock(mutex_);
  return options_.target_bytes;
}
void PackFiles::set_limit_bytes(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  options_.limit_bytes = bytes;
}
std::uint64_t PackFiles::limit_bytes() const {
  std::lock_guard lock(mutex_);
  return options_.limit_bytes;
}
std::uint64_t PackFiles::used_bytes() const {
  std::lock_guard lock(mutex_);
  return used_;
}

std::vector<PackInfo> PackFiles::list() const {
  std::lock_guard lock(mutex_);
  std::vector<PackInfo> result;
  for (const auto& [sequence, pack] : packs_)
    if (pack->info.length > 0) result.push_back(pack->info);
  return result;
}

std::optional<PackInfo> PackFiles::find(const PackId& pack) const {
  std::lock_guard lock(mutex_);
  auto found = by_id_.find(pack);
  if (found == by_id_.end()) return std::nullopt;
  return found->second->info;
}

std::optional<PackInfo> PackFiles::find_sequence(std::uint64_t sequence) const {
  std::lock_guard lock(mutex_);
  auto found = packs_.find(sequence);
  if (found == packs_.end()) return std::nullopt;
  return found->second->info;
}

PackPosition PackFiles::end() const {
  std::lock_guard lock(mutex_);
  for (auto it = packs_.rbegin(); it != packs_.rend(); ++it)
    if (const PackInfo& info = it->second->info; info.length > 0)
      return {info.sequence, info.id, info.length};
  return {};
}

// ---- appending ----

Result<void> PackFiles::check_room(std::size_t bytes, bool reserve) const {
  std::lock_guard lock(mutex_);
  const std::uint64_t limit = options_.limit_bytes;
  if (used_ + bytes + (reserve ? reserve_of(limit) : 0) <= limit) return {};
  return fail(Errc::no_space,
              "the user half of this drive is full: {} used of {}; remove files, add servers so "
              "that packs can leave this machine, or give a larger drive",
              human(used_), human(limit));
}

Result<std::shared_ptr<PackFiles::Pack>> PackFiles::open_new() {
  const std::uint64_t counter = ids_drawn_++;
  auto pack = std::make_shared<Pack>();
  PackId id;
  id.bytes = blake2b(id_seed_.view(), ByteView(reinterpret_cast<const std::uint8_t*>(&counter), 8)).bytes;
  pack->info.id = id;
  TRY(auto file, runtime_.disk().open(path_of(id), OpenMode::create_new));
  pack->file = std::move(file);
  std::uint64_t sequence;
  {
    std::lock_guard lock(mutex_);
    sequence = next_sequence_;
  }
  pack->info.sequence = sequence;

  wire::PackStart start;
  start.set_version(pack_format_version);
  start.set_volume(volume_.raw());
  start.set_sequence(sequence);
  Bytes body = seal_entry_body(keys_.metadata, id, 0, as_bytes(start.SerializeAsString()));
  EntryHeader header{.type = EntryType::start, .number = sequence};
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  header.plain_bytes = static_cast<std::uint32_t>(start.ByteSizeLong());
  header.id.bytes = volume_.bytes;
  Bytes entry(pack_header_bytes + body.size());
  seal_entry_header(keys_.metadata, id, 0, header, MutableBytes(entry).first(pack_header_bytes));
  std::ranges::copy(body, entry.begin() + pack_header_bytes);
  if (auto written = pack->file->write_at(0, entry); !written) {
    (void)runtime_.disk().remove(path_of(id));
    return fail(std::move(written).error());
  }
  pack->end = entry.size();
  pack->dirty = true;
  pack->info.last_used_ms = runtime_.wall_ms();

  std::lock_guard lock(mutex_);
  ++next_sequence_;
  packs_[sequence] = pack;
  by_id_[id] = pack;
  open_ = pack;
  used_ += pack->end;
  folder_dirty_ = true;
  return pack;
}

void PackFiles::seal_open() {
  std::lock_guard lock(mutex_);
  if (!open_) return;
  open_->sealed = true;
  open_->unrecorded = true;
  open_.reset();
}

Result<std::shared_ptr<PackFiles::Pack>> PackFiles::pack_with_room(std::size_t bytes) {
  std::shared_ptr<Pack> open;
  std::uint64_t target;
  {
    std::lock_guard lock(mutex_);
    open = open_;
    target = options_.target_bytes;
  }
  if (open && open->end + bytes <= target) return open;
  if (open) seal_open();
  return open_new();
}

Result<PackPosition> PackFiles::append(
    EntryHeader header, std::size_t bytes, bool reserve,
    const std::function<void(const PackId&, std::uint64_t, MutableBytes)>& seal_body,
    MutableBytes memory) {
  if (broken_) return fail(*broken_);
  TRY_VOID(check_room(bytes, reserve));
  TRY(auto pack, pack_with_room(bytes));
  const std::uint64_t at = pack->end;
  seal_body(pack->info.id, at, memory.subspan(pack_header_bytes));
  seal_entry_header(keys_.metadata, pack->info.id, at, header, memory.first(pack_header_bytes));
  // On failure the end stays, and the next append overwrites what got there.
  if (auto written = pack->file->write_at(at, memory); !written) {
    Error error = std::move(written).error();
    if (error.code == Errc::no_space)
      return fail(Errc::no_space, "the disk of this drive is full, nothing was lost: {}",
                  error.message);
    return fail(std::move(error));
  }
  std::lock_guard lock(mutex_);
  tail_.append(pack->info.id, at, memory);
  pack->end = at + bytes;
  pack->dirty = true;
  pack->unrecorded = true;
  pack->info.last_used_ms = runtime_.wall_ms();
  if (header.type == EntryType::log) {
    if (pack->first_log == 0) pack->first_log = header.number;
    pack->last_log = header.number + header.count - 1;
    last_log_ = pack->last_log;
    unconfirmed_.push_back({pack, at, header.number, last_log_, header});
  }
  if (header.type == EntryType::snapshot) pack->snapshot = std::max(pack->snapshot, header.number);
  used_ += bytes;
  return PackPosition{pack->info.sequence, pack->info.id, at};
}

Result<PackPosition> PackFiles::append_chunk(const ChunkId& id, Codec codec,
                                             std::uint32_t plain_bytes, MutableBytes entry) {
  EntryHeader header{.type = EntryType::chunk, .codec = codec, .plain_bytes = plain_bytes};
  header.body_bytes = static_cast<std::uint32_t>(entry.size() - pack_header_bytes);
  header.id.bytes = id.bytes;
  std::lock_guard lock(append_mutex_);
  return append(header, entry.size(), true, [](auto&&...) {}, entry);
}

Result<PackPosition> PackFiles::append_record(EntryType type, std::uint64_t number,
                                              std::uint32_t count, ByteView plain) {
  EntryHeader header{.type = type, .count = count, .number = number};
  header.plain_bytes = static_cast<std::uint32_t>(plain.size());
  std::optional<Bytes> packed;
  if (plain.size() >= 1024) packed = compress(plain, 3);
  if (packed) header.codec = Codec::zstd;
  ByteView stored = packed ? ByteView(*packed) : plain;
  header.body_bytes = static_cast<std::uint32_t>(stored.size() + RecordKeys::overhead);
  SPATTER_ASSERT(header.body_bytes <= pack_body_bytes_max);
  Bytes entry(pack_header_bytes + header.body_bytes);
  std::lock_guard lock(append_mutex_);
  return append(header, entry.size(), type == EntryType::snapshot,
                [&](const PackId& pack, std::uint64_t at, MutableBytes out) {
                  Bytes body = seal_entry_body(keys_.metadata, pack, at, stored);
                  std::ranges::copy(body, out.begin());
                },
                entry);
}

Result<void> PackFiles::pad() {
  std::lock_guard lock(append_mutex_);
  if (broken_) return fail(*broken_);
  std::shared_ptr<Pack> open;
  std::uint64_t target;
  {
    std::lock_guard table(mutex_);
    open = open_;
    target = options_.target_bytes;
  }
  if (!open || open->end % pack_align_bytes == 0) return {};
  constexpr std::size_t least = pack_header_bytes + RecordKeys::overhead;
  std::uint64_t to = (open->end + least + pack_align_bytes - 1) / pack_align_bytes * pack_align_bytes;
  if (to > target) return {};  // the pack is as good as sealed; its length tells little
  const std::size_t bytes = to - open->end;
  EntryHeader header{.type = EntryType::padding};
  header.body_bytes = static_cast<std::uint32_t>(bytes - pack_header_bytes);
  header.plain_bytes = static_cast<std::uint32_t>(bytes - least);
  Bytes entry(bytes), zeros(bytes - least);
  TRY_VOID(append(header, bytes, false,
                  [&](const PackId& pack, std::uint64_t at, MutableBytes out) {
                    Bytes body = seal_entry_body(keys_.metadata, pack, at, zeros);
                    std::ranges::copy(body, out.begin());
                  },
                  entry));
  return {};
}

Result<void> PackFiles::roll() {
  std::lock_guard lock(append_mutex_);
  if (broken_) return fail(*broken_);
  seal_open();
  return {};
}

Result<void> PackFiles::begin_commit(std::uint64_t last_log) {
  std::lock_guard lock(append_mutex_);
  if (broken_) return fail(*broken_);
  while (!unconfirmed_.empty() && unconfirmed_.front().last <= last_log) unconfirmed_.pop_front();
  // What is left was appended for commits that failed.
  while (!unconfirmed_.empty()) {
    LogEntryPlace& entry = unconfirmed_.front();
    EntryHeader header{.type = EntryType::padding};
    header.body_bytes = entry.header.body_bytes;
    header.plain_bytes = entry.header.plain_bytes;
    Bytes sealed(pack_header_bytes);
    seal_entry_header(keys_.metadata, entry.pack->info.id, entry.offset, header, sealed);
    TRY_VOID(entry.pack->file->write_at(entry.offset, sealed));
    {
      std::lock_guard table(mutex_);
      tail_.clear();
      entry.pack->dirty = true;
    }
    unconfirmed_.pop_front();
  }
  last_log_ = last_log;
  return {};
}

// ---- durability ----

Result<void> PackFiles::sync() {
  // One at a time: who comes second must not go on before what the first took over is synced.
  std::lock_guard syncing(sync_mutex_);
  std::vector<std::pair<std::shared_ptr<Pack>, std::uint64_t>> dirty;
  bool folder;
  {
    std::lock_guard lock(mutex_);
    for (auto it = packs_.rbegin(); it != packs_.rend(); ++it) {
      auto& pack = it->second;
      if (pack->dirty) {
        pack->dirty = false;
        dirty.emplace_back(pack, pack->end);
      }
      if (!pack->unrecorded && pack->sealed) break;  // all before it is recorded as well
    }
    folder = std::exchange(folder_dirty_, false);
  }
  std::ranges::reverse(dirty);
  Result<void> done;
  if (folder) done = runtime_.disk().sync_directory(options_.folder);
  for (auto& [pack, end] : dirty) {
    if (!done) break;
    done = pack->file->sync();
    if (!done) break;
    std::lock_guard lock(mutex_);
    pack->synced = std::max(pack->synced, end);
  }
  if (done) return {};
  // Once a sync failed, the system may have dropped the pages: nothing more is known of the file.
  std::lock_guard lock(append_mutex_);
  broken_ = done.error().during(
      "the disk refused to store the open pack; restart this server once the disk is well");
  return fail(*broken_);
}

Result<PackFiles::Recorded> PackFiles::record(Connected& db) {
  TRY_VOID(sync());
  Recorded recorded;
  {
    std::lock_guard lock(mutex_);
    for (auto it = packs_.rbegin(); it != packs_.rend(); ++it) {
      const Pack& pack = *it->second;
      if (recorded.end.sequence == 0 && pack.synced > 0)
        recorded.end = {pack.info.sequence, pack.info.id, pack.synced};
      if (!pack.unrecorded && pack.sealed) break;  // all before it is recorded as well
      if (!pack.unrecorded || pack.synced == 0) continue;
      PackInfo info = pack.info;
      info.length = pack.synced;
      info.sealed = pack.sealed && pack.synced == pack.end;  // counts once all of it is synced
      info.first_log = pack.first_log;
      info.last_log = pack.last_log;
      info.snapshot = pack.snapshot;
      recorded.rows.push_back(info);
    }
  }
  for (const PackInfo& row : recorded.rows) {
    TRY(auto put, db.prepare("INSERT INTO packs(sequence, id, length, sealed, local, first_log, "
                             "last_log, snapshot, live) VALUES(?,?,?,?,1,?,?,?,0) "
                             "ON CONFLICT(sequence) DO UPDATE SET length = excluded.length, "
                             "sealed = excluded.sealed, first_log = excluded.first_log, "
                             "last_log = excluded.last_log, snapshot = excluded.snapshot"));
    put.bind(1, i64(row.sequence)).bind_blob(2, row.id.view());
    put.bind(3, i64(row.length)).bind(4, std::int64_t{row.sealed});
    put.bind(5, i64(row.first_log)).bind(6, i64(row.last_log)).bind(7, i64(row.snapshot));
    TRY_VOID(put.run());
  }
  return recorded;
}

void PackFiles::committed(const Recorded& recorded) {
  std::vector<PackId> sealed;
  bool grown = false;
  {
    std::lock_guard lock(mutex_);
    for (const PackInfo& row : recorded.rows) {
      auto found = packs_.find(row.sequence);
      if (found == packs_.end()) continue;
      Pack& pack = *found->second;
      grown |= row.length > pack.info.length;
      pack.info.length = std::max(pack.info.length, row.length);
      pack.info.first_log = row.first_log ? row.first_log : pack.info.first_log;
      pack.info.last_log = std::max(pack.info.last_log, row.last_log);
      pack.info.snapshot = std::max(pack.info.snapshot, row.snapshot);
      if (row.sealed && !pack.info.sealed) {
        pack.info.sealed = true;
        sealed.push_back(row.id);
      }
      if (pack.info.length == pack.end && pack.info.sealed == pack.sealed) pack.unrecorded = false;
      if (pack.info.sealed && !pack.dirty) pack.file.reset();
    }
  }
  std::ranges::reverse(sealed);
  if (grown && on_progress) on_progress();
  for (const PackId& pack : sealed)
    if (on_sealed) on_sealed(pack);
}

void PackFiles::publish_sealed() {
  if (publishing_) return;
  {
    std::lock_guard lock(mutex_);
    bool any = false;
    for (auto it = packs_.rbegin(); it != packs_.rend(); ++it) {
      if (it->second->sealed && it->second->unrecorded) any = true;
      if (it->second->sealed && !it->second->unrecorded) break;
    }
    if (!any) return;
  }
  publishing_ = true;
  tasks_.spawn(publish());
}

}  // namespace spatter
