#include "schema.h"

#include "pack_files.h"

namespace spatter {

std::vector<std::string> volume_migrations() {
  return {R"(
CREATE TABLE state(
  one INTEGER PRIMARY KEY CHECK(one = 1), volume BLOB NOT NULL, next_inode INTEGER NOT NULL,
  next_content INTEGER NOT NULL, last_log INTEGER NOT NULL, next_snapshot INTEGER NOT NULL,
  snapshot INTEGER NOT NULL, snapshot_covers INTEGER NOT NULL, snapshot_bytes INTEGER NOT NULL,
  log_bytes INTEGER NOT NULL, next_sequence INTEGER NOT NULL);
CREATE TABLE inodes(
  inode INTEGER PRIMARY KEY, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
  links INTEGER NOT NULL, content INTEGER NOT NULL, target BLOB, device INTEGER NOT NULL,
  xattrs BLOB);
CREATE TABLE dirents(
  parent INTEGER NOT NULL, name BLOB NOT NULL, inode INTEGER NOT NULL,
  PRIMARY KEY(parent, name)) WITHOUT ROWID;
CREATE TABLE chunks(
  chunk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, sequence INTEGER NOT NULL,
  offset INTEGER NOT NULL, body INTEGER NOT NULL, plain INTEGER NOT NULL, codec INTEGER NOT NULL,
  refs INTEGER NOT NULL);
CREATE INDEX chunks_by_pack ON chunks(sequence);
CREATE TABLE extents(
  content INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  chunk INTEGER NOT NULL, chunk_offset INTEGER NOT NULL,
  PRIMARY KEY(content, offset)) WITHOUT ROWID;
CREATE TABLE orphans(content INTEGER PRIMARY KEY);
CREATE TABLE packs(
  sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, length INTEGER NOT NULL,
  sealed INTEGER NOT NULL, local INTEGER NOT NULL, first_log INTEGER NOT NULL,
  last_log INTEGER NOT NULL, snapshot INTEGER NOT NULL, live INTEGER NOT NULL);
)"};
}

Task<Result<VolumeId>> volume_of(Database& database) {
  std::function<Result<VolumeId>(Connected&)> work = [](Connected& db) -> Result<VolumeId> {
    TRY(StateRow state, read_state(db));
    return state.volume;
  };
  co_return co_await database.read_for<VolumeId>(std::move(work));
}

Result<StateRow> read_state(Connected& db) {
  TRY(auto select, db.prepare("SELECT volume, next_inode, next_content, last_log, next_snapshot, "
                              "snapshot, snapshot_covers, snapshot_bytes, log_bytes, next_sequence "
                              "FROM state"));
  TRY(bool row, select.step());
  StateRow state;
  if (!row) return state;
  TRY(state.volume, VolumeId::from(select.blob_view(0)));
  std::uint64_t* fields[] = {&state.next_inode,      &state.next_content,   &state.last_log,
                             &state.next_snapshot,   &state.snapshot,       &state.snapshot_covers,
                             &state.snapshot_bytes,  &state.log_bytes,      &state.next_sequence};
  int column = 1;
  for (std::uint64_t* field : fields) *field = u64(select.integer(column++));
  return state;
}

Result<void> write_state(Connected& db, const StateRow& state) {
  TRY(auto put, db.prepare("INSERT OR REPLACE INTO state VALUES(1,?,?,?,?,?,?,?,?,?,?)"));
  put.bind_blob(1, state.volume.view());
  const std::uint64_t fields[] = {state.next_inode,     state.next_content, state.last_log,
                                  state.next_snapshot,  state.snapshot,     state.snapshot_covers,
                                  state.snapshot_bytes, state.log_bytes,    state.next_sequence};
  int parameter = 2;
  for (std::uint64_t field : fields) put.bind(parameter++, i64(field));
  return put.run();
}

Result<std::optional<ChunkPlace>> find_chunk(Connected& db, const ChunkId& id) {
  TRY(auto select, db.prepare("SELECT sequence, offset, body, plain, codec FROM chunks "
                              "WHERE id = ?"));
  select.bind_blob(1, id.view());
  TRY(bool row, select.step());
  if (!row) return std::nullopt;
  return ChunkPlace{id,
                    u64(select.integer(0)),
                    u64(select.integer(1)),
                    static_cast<std::uint32_t>(select.integer(2)),
                    static_cast<std::uint32_t>(select.integer(3)),
                    static_cast<Codec>(select.integer(4))};
}

void to_row(const ChunkPlace& place, wire::ChunkRow& row) {
  row.set_id(place.id.raw());
  row.set_pack_sequence(place.sequence);
  row.set_offset(place.offset);
  row.set_body_bytes(place.body_bytes);
  row.set_plain_bytes(place.plain_bytes);
  row.set_codec(static_cast<std::uint32_t>(place.codec));
}

Result<ChunkPlace> from_row(const wire::ChunkRow& row) {
  ChunkPlace place;
  TRY(place.id, ChunkId::from(std::string_view(row.id())));
  if (row.codec() > 1)
    return fail(Errc::newer_format, "chunk {} is packed in an unknown way ({})", place.id,
                row.codec());
  if (row.body_bytes() > pack_body_bytes_max || row.plain_bytes() > pack_body_bytes_max)
    return fail(Errc::corrupt, "chunk {} has an impossible size", place.id);
  place.sequence = row.pack_sequence();
  place.offset = row.offset();
  place.body_bytes = row.body_bytes();
  place.plain_bytes = row.plain_bytes();
  place.codec = static_cast<Codec>(row.codec());
  return place;
}

namespace {
// The length of a valid UTF-8 sequence at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<std::uint8_t>(text[0]);
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xf0 && lead < 0xf5 ? 4
                             : lead >= 0xe0 && lead < 0xf0                 ? 3
                             : lead >= 0xc2 && lead < 0xe0                 ? 2
                                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((static_cast<std::uint8_t>(text[i]) & 0xc0) != 0x80) return 0;
  return length;
}
}  // namespace

std::string shown(std::string_view raw) {
  std::string text = "\"";
  for (std::size_t i = 0; i < raw.size();) {
    const auto byte = static_cast<std::uint8_t>(raw[i]);
    const std::size_t length = byte < 0x20 || byte == 0x7f ? 0 : utf8_length(raw.substr(i));
    if (length == 0) {
      text += fmt::format("\\x{:02x}", byte);
      ++i;
      continue;
    }
    text += raw.substr(i, length);
    i += length;
  }
  return text + "\"";
}

}  // namespace spatter
