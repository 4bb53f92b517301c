// Snapshots: every row of the namespace, page by page, while others go on writing.
//
// Why that is right although no moment is held still: rows and log records alike say what is, not
// what was done. A page shows some state between the snapshot's beginning and its end; the log
// records of that time, applied in order after it, bring every row they touch to the same end.
// Extents bring the rows of their chunks along, so that none refers to one that comes later.
#include "volume_impl.h"

namespace spatter {

namespace {

constexpr std::size_t page_rows_max = 2000;
constexpr std::size_t page_bytes_max = 512 << 10;

// Where the next page begins.
struct Cursor {
  enum class Table { inodes, dirents, extents, done } table = Table::inodes;
  std::uint64_t number = 0;     // inode, parent or content
  std::string name;             // dirents
  std::int64_t offset = -1;     // extents
};

Result<bool> page_of_inodes(Connected& db, Cursor& cursor, wire::Changes& page) {
  std::vector<InodeNumber> numbers;
  {
    TRY(auto select, db.prepare("SELECT inode FROM inodes WHERE inode > ? ORDER BY inode LIMIT ?"));
    select.bind(1, i64(cursor.number)).bind(2, i64(page_rows_max));
    while (true) {
      TRY(bool more, select.step());
      if (!more) break;
      numbers.push_back(u64(select.integer(0)));
    }
  }
  TreeView view(db);
  std::size_t bytes = 0;
  for (InodeNumber number : numbers) {
    TRY(auto row, view.inode(number));
    cursor.number = number;
    bytes += row->ByteSizeLong();
    *page.add_inodes() = std::move(*row);
    if (bytes > page_bytes_max) return true;
  }
  return numbers.size() == page_rows_max;
}

Result<bool> page_of_dirents(Connected& db, Cursor& cursor, wire::Changes& page) {
  TRY(auto select, db.prepare("SELECT parent, name, inode FROM dirents WHERE (parent, name) > (?, ?) "
                              "ORDER BY parent, name LIMIT ?"));
  select.bind(1, i64(cursor.number)).bind_blob(2, as_bytes(cursor.name)).bind(3, i64(page_rows_max));
  std::size_t rows = 0;
  while (true) {
    TRY(bool more, select.step());
    if (!more) return rows == page_rows_max;
    auto* row = page.add_dirents();
    row->set_parent(cursor.number = u64(select.integer(0)));
    row->set_name(cursor.name = to_string(select.blob_view(1)));
    row->set_inode(u64(select.integer(2)));
    ++rows;
  }
}

Result<bool> page_of_extents(Connected& db, Cursor& cursor, wire::Changes& page) {
  TRY(auto select,
      db.prepare("SELECT e.content, e.offset, e.length, e.chunk_offset, c.id, c.sequence, c.offset, "
                 "c.body, c.plain, c.codec FROM extents e JOIN chunks c ON c.chunk = e.chunk "
                 "WHERE (e.content, e.offset) > (?, ?) ORDER BY e.content, e.offset LIMIT ?"));
  select.bind(1, i64(cursor.number)).bind(2, cursor.offset).bind(3, i64(page_rows_max));
  std::set<ChunkId> placed;
  std::size_t rows = 0;
  while (true) {
    TRY(bool more, select.step());
    if (!more) return rows == page_rows_max;
    ChunkPlace place;
    TRY(place.id, ChunkId::from(select.blob_view(4)));
    place.sequence = u64(select.integer(5));
    place.offset = u64(select.integer(6));
    place.body_bytes = static_cast<std::uint32_t>(select.integer(7));
    place.plain_bytes = static_cast<std::uint32_t>(select.integer(8));
    place.codec = static_cast<Codec>(select.integer(9));
    auto* row = page.add_extents();
    row->set_content(cursor.number = u64(select.integer(0)));
    cursor.offset = select.integer(1);
    row->set_offset(u64(cursor.offset));
    row->set_length(u64(select.integer(2)));
    row->set_chunk_offset(u64(select.integer(3)));
    row->set_chunk(place.id.raw());
    if (placed.insert(place.id).second) to_row(place, *page.add_chunks());
    ++rows;
  }
}

Result<wire::Changes> next_page(Connected& db, Cursor& cursor) {
  wire::Changes page;
  bool more = false;
  switch (cursor.table) {
    case Cursor::Table::inodes: {
      TRY(more, page_of_inodes(db, cursor, page));
      break;
    }
    case Cursor::Table::dirents: {
      TRY(more, page_of_dirents(db, cursor, page));
      break;
    }
    case Cursor::Table::extents: {
      TRY(more, page_of_extents(db, cursor, page));
      break;
    }
    case Cursor::Table::done: break;
  }
  if (!more) cursor = {static_cast<Cursor::Table>(static_cast<int>(cursor.table) + 1), 0, {}, -1};
  return page;
}

}  // namespace

bool VolumeImpl::snapshot_due() const {
  if (log_bytes_ > snapshot_bytes_ + (8 << 20)) return true;
  // Packs that could be compacted but for their log records.
  std::uint64_t held_back = 0;
  for (const PackInfo& pack : store_->list()) {
    const bool held = pack.last_log > log_state_.snapshot_covers ||
                      (pack.snapshot != 0 && pack.snapshot == log_state_.snapshot);
    if (pack.sealed && held && pack.live_bytes < pack.length / 2)
      held_back += pack.length - pack.live_bytes;
  }
  return held_back > std::max<std::uint64_t>(64 << 20, 2 * snapshot_bytes_);
}

Task<Result<LogState>> VolumeImpl::snapshot() {
  if (std::exchange(snapshotting_, true))
    co_return fail(Errc::busy, "a snapshot is being written already");
  auto done = co_await write_snapshot();
  snapshotting_ = false;
  store_->publish_sealed();
  co_return done;
}

Task<Result<LogState>> VolumeImpl::write_snapshot() {
  struct Begun {
    std::uint64_t number = 0, covers = 0;
  };
  auto begun = std::make_shared<Begun>();
  CO_TRY_VOID(co_await database_.write([begun](Connected& db) -> Result<void> {
    TRY(StateRow state, read_state(db));
    begun->number = state.next_snapshot++;
    begun->covers = state.last_log;
    return write_state(db, state);
  }));

  auto cursor = std::make_shared<Cursor>();
  std::uint32_t pieces = 0;
  std::uint64_t bytes = 0;
  while (cursor->table != Cursor::Table::done) {
    std::function<Result<wire::Changes>(Connected&)> read = [cursor](Connected& db) {
      return next_page(db, *cursor);
    };
    CO_TRY(wire::Changes rows, co_await database_.read_for<wire::Changes>(std::move(read)));
    if (rows.ByteSizeLong() == 0) continue;
    wire::SnapshotPiece piece;
    piece.set_snapshot(begun->number);
    piece.set_piece(pieces);
    *piece.mutable_rows() = std::move(rows);
    const std::string body = piece.SerializeAsString();
    CO_TRY_VOID(co_await runtime_.blocking([&]() -> Result<void> {
      TRY_VOID(store_->append_record(EntryType::snapshot, begun->number, pieces, as_bytes(body)));
      return {};
    }));
    bytes += body.size() + pack_header_bytes;
    ++pieces;
    store_->publish_sealed();
  }

  auto recorded = std::make_shared<PackFiles::Recorded>();
  CO_TRY_VOID(co_await database_.write([this, begun, recorded, pieces,
                                        bytes](Connected& db) -> Result<void> {
    TRY(StateRow state, read_state(db));
    TRY_VOID(store_->begin_commit(state.last_log));
    wire::SnapshotPiece piece;
    piece.set_snapshot(begun->number);
    piece.set_piece(pieces);
    piece.set_last(true);
    piece.set_covers(begun->covers);
    piece.set_log_end(state.last_log);
    piece.set_next_inode(state.next_inode);
    piece.set_next_content(state.next_content);
    TRY_VOID(store_->append_record(EntryType::snapshot, begun->number, pieces,
                                   as_bytes(piece.SerializeAsString())));
    TRY_VOID(store_->pad());
    TRY(*recorded, store_->record(db));
    state.snapshot = begun->number;
    state.snapshot_covers = begun->covers;
    state.snapshot_bytes = bytes;
    state.log_bytes = 0;
    return write_state(db, state);
  }));
  store_->committed(*recorded);
  log_state_.snapshot = begun->number;
  log_state_.snapshot_covers = begun->covers;
  snapshot_bytes_ = bytes;
  log_bytes_ = 0;
  log_state_.snapshot_packs.clear();
  for (const PackInfo& pack : store_->list())
    if (pack.snapshot == begun->number) log_state_.snapshot_packs.push_back(pack.id);
  co_return log_state_;
}

}  // namespace spatter
