// Bringing a volume back from its packs: find the log and snapshot entries, apply the newest
// complete snapshot, then the log.
#include "volume_impl.h"

namespace spatter {

namespace {

constexpr std::uint64_t window_bytes = 256 << 10;
constexpr std::size_t kept_bytes_max = 64 << 20;
constexpr unsigned packs_at_once = 4;

// A log or snapshot entry somewhere in the packs.
struct Found {
  EntryHeader header;
  PackId pack;
  std::uint64_t sequence = 0;
  std::uint64_t offset = 0;
  std::optional<Bytes> body;  // sealed; left out when too much was kept already
};

struct Restore {
  Runtime& runtime;
  Database& database;
  VolumeKeys keys;
  VolumeId volume;
  RemotePacks& remote;
  std::vector<RestorePack> packs;
  std::size_t next_pack = 0;
  std::size_t kept_bytes = 0;
  std::vector<Found> logs;
  std::vector<Found> pieces;
  std::map<std::uint64_t, PackInfo> infos;  // by sequence
  std::optional<Error> error;
  StateRow state;
  RestoreReport report;
};

// Reads a pack from its start on, in windows; skips over what is not asked for.
class PackWalk {
 public:
  PackWalk(RemotePacks& remote, const RestorePack& pack) : remote_(remote), pack_(pack) {}

  Task<Result<Buffer>> bytes(std::uint64_t offset, std::uint64_t length) {
    if (length > pack_.length || offset > pack_.length - length)
      co_return fail(Errc::corrupt, "pack {} ends before {}", pack_.id, offset + length);
    if (offset < from_ || offset + length > from_ + window_.size()) {
      const std::uint64_t want =
          std::min(std::max(length, window_bytes), pack_.length - offset);
      CO_TRY(window_, co_await remote_.read(pack_.id, offset, want));
      from_ = offset;
      if (window_.size() != want)
        co_return fail(Errc::corrupt, "pack {}: the network gave {} bytes instead of {}", pack_.id,
                       window_.size(), want);
    }
    co_return window_.slice(offset - from_, length);
  }

 private:
  RemotePacks& remote_;
  const RestorePack& pack_;
  Buffer window_;
  std::uint64_t from_ = 0;
};

Task<Result<void>> check_start(Restore& restore, PackWalk& walk, const RestorePack& pack,
                               const EntryHeader& header) {
  CO_TRY(Buffer body, co_await walk.bytes(pack_header_bytes, header.body_bytes));
  CO_TRY(Bytes plain, open_entry_body(restore.keys.metadata, pack.id, 0, header, body));
  wire::PackStart start;
  if (header.type != EntryType::start || !start.ParseFromArray(plain.data(), static_cast<int>(plain.size())))
    co_return fail(Errc::corrupt, "pack {} does not begin as packs do", pack.id);
  if (start.version() > pack_format_version)
    co_return fail(Errc::newer_format, "pack {} has format {}, this Spatter knows {}", pack.id,
                   start.version(), pack_format_version);
  if (start.volume() != restore.volume.raw() || start.sequence() != pack.sequence)
    co_return fail(Errc::corrupt, "pack {} is not number {} of volume {}", pack.id, pack.sequence,
                   restore.volume);
  co_return Result<void>{};
}

Task<Result<void>> walk_pack(Restore& restore, const RestorePack& pack) {
  PackInfo& info = restore.infos[pack.sequence];
  if (!pack.has_log && !pack.has_snapshot) co_return Result<void>{};
  PackWalk walk(restore.remote, pack);
  std::uint64_t at = 0;
  while (at < pack.length) {
    const std::uint64_t left = pack.length - at;
    CO_TRY(Buffer head, co_await walk.bytes(at, std::min<std::uint64_t>(left, pack_header_bytes)));
    auto header = open_entry_header(restore.keys.metadata, pack.id, at, head);
    if (!header || left - pack_header_bytes < header->body_bytes) {
      // What follows is lost; whether that matters, the numbers of the log will tell.
      restore.runtime.log().warning("pack {} can be read up to {} of {}", pack.id, at, pack.length);
      if (at == 0) co_return fail(Errc::corrupt, "pack {} can't be opened", pack.id);
      break;
    }
    if (at == 0) CO_TRY_VOID(co_await check_start(restore, walk, pack, *header));
    if (header->type == EntryType::log || header->type == EntryType::snapshot) {
      Found found{*header, pack.id, pack.sequence, at, std::nullopt};
      if (restore.kept_bytes + header->body_bytes <= kept_bytes_max) {
        CO_TRY(Buffer body, co_await walk.bytes(at + pack_header_bytes, header->body_bytes));
        found.body = to_bytes(body.view());
        restore.kept_bytes += header->body_bytes;
      }
      if (header->type == EntryType::log) {
        const std::uint64_t last = header->number + header->count - 1;
        if (info.first_log == 0) info.first_log = header->number;
        info.last_log = std::max(info.last_log, last);
        restore.logs.push_back(std::move(found));
      } else {
        info.snapshot = std::max(info.snapshot, header->number);
        restore.pieces.push_back(std::move(found));
      }
    }
    at += pack_header_bytes + header->body_bytes;
  }
  co_return Result<void>{};
}

Task<void> walk_packs(Restore& restore) {
  while (restore.next_pack < restore.packs.size() && !restore.error) {
    const RestorePack& pack = restore.packs[restore.next_pack++];
    auto done = co_await walk_pack(restore, pack);
    if (!done && !restore.error)
      restore.error = done.error().during(fmt::format("reading pack {}", pack.id));
  }
}

Task<Result<Bytes>> body_of(Restore& restore, Found& found) {
  if (!found.body) {
    CO_TRY(Buffer body, co_await restore.remote.read(found.pack, found.offset + pack_header_bytes,
                                                     found.header.body_bytes));
    found.body = to_bytes(body.view());
  }
  Bytes sealed = std::move(*found.body);
  found.body.reset();
  co_return open_entry_body(restore.keys.metadata, found.pack, found.offset, found.header, sealed);
}

Task<Result<void>> apply(Restore& restore, std::shared_ptr<std::vector<wire::Changes>> records) {
  Restore* self = &restore;
  co_return co_await restore.database.write([self, records](Connected& db) -> Result<void> {
    TreeEdit edit(db, self->state, TreeEdit::Mode::replay, 0);
    for (const wire::Changes& changes : *records) TRY_VOID(edit.apply(changes));
    return {};
  });
}

Task<Result<wire::SnapshotPiece>> piece_of(Restore& restore, Found& found) {
  CO_TRY(Bytes body, co_await body_of(restore, found));
  wire::SnapshotPiece piece;
  if (!piece.ParseFromArray(body.data(), static_cast<int>(body.size())) ||
      piece.snapshot() != found.header.number || piece.piece() != found.header.count)
    co_return fail(Errc::corrupt, "pack {}: the snapshot piece at {} can't be read", found.pack,
                   found.offset);
  co_return piece;
}

// Applies the newest snapshot of which every piece is there. Returns the log record that must at
// least be reached.
Task<Result<std::uint64_t>> apply_snapshot(Restore& restore) {
  std::map<std::uint64_t, std::map<std::uint32_t, Found*>, std::greater<>> snapshots;
  for (Found& found : restore.pieces) {
    snapshots[found.header.number][found.header.count] = &found;
    restore.state.next_snapshot = std::max(restore.state.next_snapshot, found.header.number + 1);
  }
  for (auto& [number, pieces] : snapshots) {
    if (pieces.rbegin()->first + 1 != pieces.size()) continue;
    CO_TRY(wire::SnapshotPiece last, co_await piece_of(restore, *pieces.rbegin()->second));
    if (!last.last()) continue;
    for (auto& [index, found] : pieces) {
      if (found == pieces.rbegin()->second) break;
      CO_TRY(wire::SnapshotPiece piece, co_await piece_of(restore, *found));
      auto rows = std::make_shared<std::vector<wire::Changes>>();
      rows->push_back(std::move(*piece.mutable_rows()));
      CO_TRY_VOID(co_await apply(restore, std::move(rows)));
    }
    restore.report.snapshot = restore.state.snapshot = number;
    restore.report.last_log = restore.state.snapshot_covers = last.covers();
    restore.state.next_inode = last.next_inode();
    restore.state.next_content = last.next_content();
    co_return last.log_end();
  }
  co_return 0;
}

Task<Result<void>> apply_log(Restore& restore) {
  // Of equal numbers the later pack counts: it was written by who took over.
  std::ranges::sort(restore.logs, [](const Found& a, const Found& b) {
    return std::pair(a.header.number, b.sequence) < std::pair(b.header.number, a.sequence);
  });
  std::uint64_t& applied = restore.report.last_log;
  for (Found& found : restore.logs) {
    if (found.header.number + found.header.count <= applied + 1) continue;
    if (found.header.number > applied + 1)
      co_return fail(Errc::corrupt,
                     "log records {} to {} are in no pack that can be read; the next is in pack {}",
                     applied + 1, found.header.number - 1, found.pack);
    CO_TRY(Bytes body, co_await body_of(restore, found));
    wire::LogEntry entry;
    if (!entry.ParseFromArray(body.data(), static_cast<int>(body.size())) ||
        entry.first() != found.header.number ||
        static_cast<std::uint32_t>(entry.records_size()) != found.header.count)
      co_return fail(Errc::corrupt, "pack {}: the log entry at {} can't be read", found.pack,
                     found.offset);
    auto records = std::make_shared<std::vector<wire::Changes>>();
    for (std::uint64_t number = applied + 1; number < entry.first() + found.header.count; ++number)
      records->push_back(
          std::move(*entry.mutable_records(static_cast<int>(number - entry.first()))));
    CO_TRY_VOID(co_await apply(restore, std::move(records)));
    applied = entry.first() + found.header.count - 1;
  }
  co_return Result<void>{};
}

Result<void> finish(Connected& db, Restore& restore) {
  for (auto& [sequence, info] : restore.infos) {
    TRY(auto put, db.prepare("INSERT INTO packs(sequence, id, length, sealed, local, first_log, "
                             "last_log, snapshot, live) VALUES(?,?,?,1,?,?,?,?,0)"));
    put.bind(1, i64(sequence)).bind_blob(2, info.id.view()).bind(3, i64(info.length));
    put.bind(4, std::int64_t{info.local});
    put.bind(5, i64(info.first_log)).bind(6, i64(info.last_log)).bind(7, i64(info.snapshot));
    TRY_VOID(put.run());
    restore.state.next_sequence = std::max(restore.state.next_sequence, sequence + 1);
  }
  // Half a large change at the end of the log, or contents freed since the snapshot.
  TRY_VOID(db.execute(
      "DELETE FROM extents WHERE content NOT IN (SELECT content FROM inodes);"
      "DELETE FROM orphans;"));
  TRY_VOID(recount_uses(db));
  TRY_VOID(db.execute("DELETE FROM chunks WHERE refs = 0"));
  {
    TRY(auto select, db.prepare("SELECT ifnull(max(inode), 0), ifnull(max(content), 0) FROM inodes"));
    TRY(bool row, select.step());
    if (row) {
      restore.state.next_inode = std::max(restore.state.next_inode, u64(select.integer(0)) + 1);
      restore.state.next_content = std::max(restore.state.next_content, u64(select.integer(1)) + 1);
    }
  }
  {
    TRY(auto select, db.prepare("SELECT count(*) FROM chunks c LEFT JOIN packs p ON "
                                "p.sequence = c.sequence WHERE p.sequence IS NULL OR "
                                "c.offset + c.body + ? > p.length"));
    select.bind(1, i64(pack_header_bytes));
    TRY(bool row, select.step());
    if (row) restore.report.chunks_missing = u64(select.integer(0));
  }
  {
    TRY(auto select, db.prepare("SELECT count(*) FROM inodes WHERE mode & 61440 = 32768"));
    TRY(bool row, select.step());
    if (row) restore.report.files = u64(select.integer(0));
  }
  restore.state.volume = restore.volume;
  restore.state.last_log = restore.report.last_log;
  return write_state(db, restore.state);
}

}  // namespace

// There is no index of extents by chunk: it would cost every write, and counting all at once does
// without.
Result<void> recount_uses(Connected& db) {
  TRY_VOID(db.execute(
      "UPDATE chunks SET refs = 0 WHERE chunk NOT IN (SELECT chunk FROM extents);"
      "UPDATE chunks SET refs = used.n FROM (SELECT chunk, count(*) AS n FROM extents GROUP BY chunk) "
      "AS used WHERE chunks.chunk = used.chunk AND refs <> used.n;"));
  TRY(auto update, db.prepare("UPDATE packs SET live = ifnull((SELECT sum(body + ?) FROM chunks "
                              "WHERE chunks.sequence = packs.sequence AND refs > 0), 0)"));
  return update.bind(1, i64(pack_header_bytes)).run();
}

Task<Result<RestoreReport>> Volume::restore(Runtime& runtime, Database& database, VolumeKeys keys,
                                            VolumeId volume, std::vector<RestorePack> packs,
                                            RemotePacks& remote) {
  using namespace asio::experimental::awaitable_operators;
  CO_TRY(VolumeId known, co_await volume_of(database));
  if (!known.is_zero())
    co_return fail(Errc::exists, "the database holds volume {} already", known);
  auto owned = std::make_unique<Restore>(Restore{runtime, database, std::move(keys), volume, remote,
                                                 std::move(packs)});
  Restore& restore = *owned;
  for (const RestorePack& pack : restore.packs) {
    PackInfo info{.id = pack.id, .sequence = pack.sequence, .length = pack.length,
                  .local = pack.local};
    if (!restore.infos.emplace(pack.sequence, info).second)
      co_return fail(Errc::corrupt, "two packs have number {}: {} is one of them", pack.sequence,
                     pack.id);
  }
  static_assert(packs_at_once == 4);
  co_await (walk_packs(restore) && walk_packs(restore) && walk_packs(restore) && walk_packs(restore));
  if (restore.error) co_return fail(*restore.error);

  const std::int64_t now_ns = runtime.wall_ms() * 1'000'000;
  // A restore that failed half way left rows behind; it starts over.
  CO_TRY_VOID(co_await database.write([now_ns](Connected& db) -> Result<void> {
    TRY_VOID(db.execute("DELETE FROM inodes; DELETE FROM dirents; DELETE FROM extents; "
                        "DELETE FROM chunks; DELETE FROM packs; DELETE FROM orphans;"));
    return make_root(db, now_ns);
  }));
  CO_TRY(std::uint64_t needed, co_await apply_snapshot(restore));
  CO_TRY_VOID(co_await apply_log(restore));
  if (restore.report.last_log < needed)
    co_return fail(Errc::corrupt, "snapshot {} needs log records up to {}, found are those up to {}",
                   restore.report.snapshot, needed, restore.report.last_log);
  CO_TRY_VOID(co_await database.write(
      [&restore](Connected& db) -> Result<void> { return finish(db, restore); }));
  co_return restore.report;
}

}  // namespace spatter
