#include "tree.h"

#include "pack_files.h"

namespace spatter {

namespace {

std::string xattrs_blob(const wire::InodeRow& row) {
  if (row.xattrs_size() == 0) return {};
  wire::InodeRow only;
  *only.mutable_xattrs() = row.xattrs();
  return only.SerializeAsString();
}

constexpr std::size_t name_bytes_max = 255;

}  // namespace

Node to_node(const wire::InodeRow& row) {
  Node node;
  node.inode = row.inode();
  node.attributes.mode = row.mode();
  node.attributes.uid = row.uid();
  node.attributes.gid = row.gid();
  node.attributes.mtime_ns = row.mtime_ns();
  node.attributes.device = row.device();
  for (const auto& xattr : row.xattrs()) node.attributes.xattrs[xattr.name()] = xattr.value();
  node.ctime_ns = row.ctime_ns();
  node.size = row.size();
  node.links = row.links();
  node.target = row.target();
  node.content = row.content();
  return node;
}

wire::InodeRow new_inode_row(const Attributes& attributes, std::uint32_t type,
                             std::int64_t now_ns) {
  wire::InodeRow row;
  row.set_mode(type | (attributes.mode & 07777));
  row.set_uid(attributes.uid);
  row.set_gid(attributes.gid);
  row.set_mtime_ns(attributes.mtime_ns);
  row.set_ctime_ns(now_ns);
  row.set_device(attributes.device);
  for (const auto& [name, value] : attributes.xattrs) {
    auto* xattr = row.add_xattrs();
    xattr->set_name(name);
    xattr->set_value(value);
  }
  return row;
}

Result<void> make_root(Connected& db, std::int64_t now_ns) {
  StateRow state;
  TreeEdit edit(db, state, TreeEdit::Mode::replay, now_ns);
  Attributes attributes{.mode = 0755, .mtime_ns = now_ns};
  wire::InodeRow row = new_inode_row(attributes, mode_directory, now_ns);
  row.set_inode(root_inode);
  row.set_links(2);
  return edit.put_inode(row);
}

Result<std::vector<std::string>> split_path_with_dots(std::string_view path) {
  if (path.size() > 64 << 10)
    return fail(Errc::invalid, "a path of {} bytes is too long", path.size());
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    std::string_view part = path.substr(at, slash - at);
    at = slash + 1;
    if (part.empty()) continue;
    if (part.find('\0') != part.npos)
      return fail(Errc::invalid, "a name may not contain a zero byte: {}", shown(path));
    if (part.size() > name_bytes_max)
      return fail(Errc::invalid, "a name may have {} bytes, not {}: {}", name_bytes_max,
                  part.size(), shown(part));
    parts.emplace_back(part);
  }
  return parts;
}

Result<std::vector<std::string>> split_path(std::string_view path) {
  TRY(auto parts, split_path_with_dots(path));
  for (const std::string& part : parts)
    if (part == "." || part == "..")
      return fail(Errc::invalid, "a path may not contain {}: {}", shown(part), shown(path));
  return parts;
}

// ---- looking up ----

Result<std::optional<wire::InodeRow>> TreeView::inode(InodeNumber number) {
  TRY(auto select, db_.prepare("SELECT mode, uid, gid, mtime_ns, ctime_ns, size, links, content, "
                               "target, device, xattrs FROM inodes WHERE inode = ?"));
  select.bind(1, i64(number));
  TRY(bool found, select.step());
  if (!found) return std::nullopt;
  wire::InodeRow row;
  if (!select.is_null(10)) {
    ByteView blob = select.blob_view(10);
    if (!row.ParseFromArray(blob.data(), static_cast<int>(blob.size())))
      return fail(Errc::corrupt, "the attributes of inode {} can't be read", number);
  }
  row.set_inode(number);
  row.set_mode(static_cast<std::uint32_t>(select.integer(0)));
  row.set_uid(static_cast<std::uint32_t>(select.integer(1)));
  row.set_gid(static_cast<std::uint32_t>(select.integer(2)));
  row.set_mtime_ns(select.integer(3));
  row.set_ctime_ns(select.integer(4));
  row.set_size(u64(select.integer(5)));
  row.set_links(u64(select.integer(6)));
  row.set_content(u64(select.integer(7)));
  if (!select.is_null(8)) row.set_target(to_string(select.blob_view(8)));
  row.set_device(u64(select.integer(9)));
  return row;
}

Result<InodeNumber> TreeView::child(InodeNumber parent, std::string_view name) {
  TRY(auto select, db_.prepare("SELECT inode FROM dirents WHERE parent = ? AND name = ?"));
  select.bind(1, i64(parent)).bind_blob(2, as_bytes(name));
  TRY(bool found, select.step());
  return found ? u64(select.integer(0)) : 0;
}

Result<bool> TreeView::has_children(InodeNumber parent) {
  TRY(auto select, db_.prepare("SELECT 1 FROM dirents WHERE parent = ? LIMIT 1"));
  select.bind(1, i64(parent));
  return select.step();
}

Result<TreeView::Place> TreeView::place(std::string_view path) {
  TRY(auto parts, split_path(path));
  TRY(auto root, inode(root_inode));
  if (!root) return fail(Errc::corrupt, "the volume has no root");
  Place place;
  if (parts.empty()) {
    place.parent = *root;
    place.row = std::move(root);
    return place;
  }
  place.parent = std::move(*root);
  for (std::size_t i = 0;; ++i) {
    place.above.push_back(place.parent.inode());
    TRY(InodeNumber number, child(place.parent.inode(), parts[i]));
    std::optional<wire::InodeRow> row;
    if (number != 0) {
      TRY(row, inode(number));
      if (!row) return fail(Errc::corrupt, "{} names inode {}, which is missing", shown(path), number);
    }
    if (i + 1 == parts.size()) {
      place.name = std::move(parts[i]);
      place.row = std::move(row);
      return place;
    }
    if (!row) return fail(Errc::not_found, "no such directory: {} (in {})", shown(parts[i]), shown(path));
    if (!is_directory(*row))
      return fail(Errc::not_directory, "not a directory: {} (in {})", shown(parts[i]), shown(path));
    place.parent = std::move(*row);
  }
}

Result<wire::InodeRow> TreeView::resolve(std::string_view path) {
  TRY(Place found, place(path));
  if (!found.row) return fail(Errc::not_found, "no such file or directory: {}", shown(path));
  return std::move(*found.row);
}

// ---- changing ----

void StatsDelta::add(const StatsDelta& other) {
  files += other.files;
  directories += other.directories;
  others += other.others;
  file_bytes += other.file_bytes;
  chunks += other.chunks;
  live_bytes += other.live_bytes;
}

void TreeEdit::count(const wire::InodeRow& row, int sign) {
  if (is_directory(row)) {
    stats_.directories += sign;
  } else if (is_file(row)) {
    stats_.files += sign;
    stats_.file_bytes += sign * i64(row.size());
  } else {
    stats_.others += sign;
  }
}

// The record that takes the next row. A large operation fills several; the last one has the rows
// that make it visible, because operations put extents first.
wire::Changes* TreeEdit::log() {
  if (mode_ == Mode::replay) return nullptr;
  if (++record_rows_ > record_rows_max) {
    records_.emplace_back();
    record_rows_ = 1;
  }
  return &records_.back();
}

Result<void> TreeEdit::orphan(std::uint64_t content) {
  if (content == 0) return {};
  if (mode_ == Mode::replay) {
    while (true) {
      TRY(bool done, free_content(content, 1000));
      if (done) return {};
    }
  }
  orphaned_ = true;
  TRY(auto put, db_.prepare("INSERT OR IGNORE INTO orphans(content) VALUES(?)"));
  return put.bind(1, i64(content)).run();
}

Result<void> TreeEdit::put_inode(const wire::InodeRow& row) {
  TRY(auto old, inode(row.inode()));
  if (old) {
    count(*old, -1);
    if (old->content() != row.content()) TRY_VOID(orphan(old->content()));
  }
  count(row, 1);
  TRY(auto put, db_.prepare("INSERT OR REPLACE INTO inodes(inode, mode, uid, gid, mtime_ns, "
                            "ctime_ns, size, links, content, target, device, xattrs) "
                            "VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"));
  put.bind(1, i64(row.inode())).bind(2, std::int64_t{row.mode()});
  put.bind(3, std::int64_t{row.uid()}).bind(4, std::int64_t{row.gid()});
  put.bind(5, std::int64_t{row.mtime_ns()}).bind(6, std::int64_t{row.ctime_ns()});
  put.bind(7, i64(row.size())).bind(8, i64(row.links())).bind(9, i64(row.content()));
  if (row.target().empty()) put.bind_null(10);
  else put.bind_blob(10, as_bytes(row.target()));
  put.bind(11, i64(row.device()));
  const std::string xattrs = xattrs_blob(row);
  if (xattrs.empty()) put.bind_null(12);
  else put.bind_blob(12, as_bytes(xattrs));
  TRY_VOID(put.run());
  if (auto* changes = log()) *changes->add_inodes() = row;
  return {};
}

Result<void> TreeEdit::remove_inode(const wire::InodeRow& row) {
  count(row, -1);
  TRY_VOID(orphan(row.content()));
  TRY(auto remove, db_.prepare("DELETE FROM inodes WHERE inode = ?"));
  TRY_VOID(remove.bind(1, i64(row.inode())).run());
  if (auto* changes = log()) changes->add_inodes_gone(row.inode());
  return {};
}

Result<void> TreeEdit::put_dirent(InodeNumber parent, std::string_view name, InodeNumber inode) {
  TRY(auto put, db_.prepare("INSERT OR REPLACE INTO dirents(parent, name, inode) VALUES(?,?,?)"));
  TRY_VOID(put.bind(1, i64(parent)).bind_blob(2, as_bytes(name)).bind(3, i64(inode)).run());
  if (auto* changes = log()) {
    auto* row = changes->add_dirents();
    row->set_parent(parent);
    row->set_name(std::string(name));
    row->set_inode(inode);
  }
  return {};
}

Result<void> TreeEdit::remove_dirent(InodeNumber parent, std::string_view name) {
  TRY(auto remove, db_.prepare("DELETE FROM dirents WHERE parent = ? AND name = ?"));
  TRY_VOID(remove.bind(1, i64(parent)).bind_blob(2, as_bytes(name)).run());
  if (auto* changes = log()) {
    auto* row = changes->add_dirents();
    row->set_parent(parent);
    row->set_name(std::string(name));
  }
  return {};
}

Result<void> TreeEdit::add_extent(std::uint64_t content, std::uint64_t offset, std::uint64_t length,
                                  std::int64_t chunk, std::uint64_t chunk_offset) {
  TRY(auto put, db_.prepare("INSERT INTO extents(content, offset, length, chunk, chunk_offset) "
                            "VALUES(?,?,?,?,?)"));
  put.bind(1, i64(content)).bind(2, i64(offset)).bind(3, i64(length));
  return put.bind(4, chunk).bind(5, i64(chunk_offset)).run();
}

Result<void> TreeEdit::put_extent(std::uint64_t content, std::uint64_t offset,
                                  std::uint64_t length, const ChunkPlace& chunk,
                                  std::uint64_t chunk_offset) {
  std::int64_t number = 0, refs = 0;
  ChunkPlace place = chunk;
  {
    TRY(auto select, db_.prepare("SELECT chunk, refs, sequence, offset, body, plain, codec "
                                 "FROM chunks WHERE id = ?"));
    select.bind_blob(1, chunk.id.view());
    TRY(bool known, select.step());
    if (known) {
      number = select.integer(0);
      refs = select.integer(1);
      place = {chunk.id,
               u64(select.integer(2)),
               u64(select.integer(3)),
               static_cast<std::uint32_t>(select.integer(4)),
               static_cast<std::uint32_t>(select.integer(5)),
               static_cast<Codec>(select.integer(6))};
    }
  }
  if (number == 0) {
    TRY(auto put, db_.prepare("INSERT INTO chunks(id, sequence, offset, body, plain, codec, refs) "
                              "VALUES(?,?,?,?,?,?,1)"));
    put.bind_blob(1, place.id.view()).bind(2, i64(place.sequence)).bind(3, i64(place.offset));
    put.bind(4, std::int64_t{place.body_bytes}).bind(5, std::int64_t{place.plain_bytes});
    TRY_VOID(put.bind(6, static_cast<std::int64_t>(place.codec)).run());
    number = db_.last_row_id();
  } else {
    TRY(auto update, db_.prepare("UPDATE chunks SET refs = refs + 1 WHERE chunk = ?"));
    TRY_VOID(update.bind(1, number).run());
  }
  if (refs == 0) {
    // Also for a chunk that was known but unused: a snapshot since may have left it out.
    count_live(place.sequence, i64(place.entry_bytes()));
    stats_.chunks += 1;
    stats_.live_bytes += i64(place.entry_bytes());
    if (auto* changes = log()) to_row(place, *changes->add_chunks());
  }
  if (auto* changes = log()) {
    auto* row = changes->add_extents();
    row->set_content(content);
    row->set_offset(offset);
    row->set_length(length);
    row->set_chunk_offset(chunk_offset);
    row->set_chunk(chunk.id.raw());
  }
  return add_extent(content, offset, length, number, chunk_offset);
}

Result<void> TreeEdit::put_extent_row(const wire::ExtentRow& row) {
  std::int64_t number;
  {
    TRY(auto select, db_.prepare("SELECT chunk FROM chunks WHERE id = ?"));
    select.bind_blob(1, as_bytes(row.chunk()));
    TRY(bool known, select.step());
    if (!known)
      return fail(Errc::corrupt, "an extent of content {} needs chunk {}, which no record places",
                  row.content(), to_hex(as_bytes(row.chunk())).substr(0, 12));
    number = select.integer(0);
  }
  TRY(auto put, db_.prepare("INSERT OR REPLACE INTO extents(content, offset, length, chunk, "
                            "chunk_offset) VALUES(?,?,?,?,?)"));
  put.bind(1, i64(row.content())).bind(2, i64(row.offset())).bind(3, i64(row.length()));
  return put.bind(4, number).bind(5, i64(row.chunk_offset())).run();
}

Result<void> TreeEdit::put_chunk(const ChunkPlace& place) {
  TRY(auto put, db_.prepare("INSERT INTO chunks(id, sequence, offset, body, plain, codec, refs) "
                            "VALUES(?,?,?,?,?,?,0) ON CONFLICT(id) DO UPDATE SET "
                            "sequence = excluded.sequence, offset = excluded.offset, "
                            "body = excluded.body, plain = excluded.plain, codec = excluded.codec"));
  put.bind_blob(1, place.id.view()).bind(2, i64(place.sequence)).bind(3, i64(place.offset));
  put.bind(4, std::int64_t{place.body_bytes}).bind(5, std::int64_t{place.plain_bytes});
  TRY_VOID(put.bind(6, static_cast<std::int64_t>(place.codec)).run());
  if (auto* changes = log()) to_row(place, *changes->add_chunks());
  return {};
}

Result<bool> TreeEdit::free_content(std::uint64_t content, unsigned limit) {
  struct Freed {
    std::int64_t offset, chunk;
  };
  std::vector<Freed> freed;
  {
    TRY(auto select, db_.prepare("SELECT offset, chunk FROM extents WHERE content = ? LIMIT ?"));
    select.bind(1, i64(content)).bind(2, std::int64_t{limit});
    while (true) {
      TRY(bool row, select.step());
      if (!row) break;
      freed.push_back({select.integer(0), select.integer(1)});
    }
  }
  for (const Freed& extent : freed) {
    TRY(auto remove, db_.prepare("DELETE FROM extents WHERE content = ? AND offset = ?"));
    TRY_VOID(remove.bind(1, i64(content)).bind(2, extent.offset).run());
    if (mode_ == Mode::replay) continue;  // counted once, at the end
    TRY(auto update, db_.prepare("UPDATE chunks SET refs = refs - 1 WHERE chunk = ? "
                                 "RETURNING refs, sequence, body"));
    update.bind(1, extent.chunk);
    TRY(bool row, update.step());
    if (!row || update.integer(0) != 0) continue;
    const std::int64_t bytes = update.integer(2) + std::int64_t{pack_header_bytes};
    count_live(u64(update.integer(1)), -bytes);
    stats_.chunks -= 1;
    stats_.live_bytes -= bytes;
  }
  return freed.size() < limit;
}

Result<void> TreeEdit::touch(wire::InodeRow parent, int subdirectories) {
  parent.set_mtime_ns(now_ns_);
  parent.set_ctime_ns(now_ns_);
  parent.set_links(parent.links() + static_cast<std::uint64_t>(subdirectories));
  return put_inode(parent);
}

Result<void> TreeEdit::unlink(const wire::InodeRow& parent, std::string_view name,
                              wire::InodeRow row) {
  TRY_VOID(remove_dirent(parent.inode(), name));
  if (is_directory(row) || row.links() <= 1) return remove_inode(row);
  row.set_links(row.links() - 1);
  row.set_ctime_ns(now_ns_);
  return put_inode(row);
}

Result<void> TreeEdit::apply(const wire::Changes& changes) {
  for (const auto& row : changes.chunks()) {
    TRY(ChunkPlace place, from_row(row));
    TRY_VOID(put_chunk(place));
  }
  for (const auto& row : changes.extents()) TRY_VOID(put_extent_row(row));
  for (const auto& row : changes.inodes()) TRY_VOID(put_inode(row));
  for (std::uint64_t gone : changes.inodes_gone()) {
    TRY(auto row, inode(gone));
    if (row) TRY_VOID(remove_inode(*row));
  }
  for (const auto& row : changes.dirents()) {
    if (row.inode() != 0) TRY_VOID(put_dirent(row.parent(), row.name(), row.inode()));
    else TRY_VOID(remove_dirent(row.parent(), row.name()));
  }
  return {};
}

}  // namespace spatter
