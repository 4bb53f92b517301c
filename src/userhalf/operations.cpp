// The operations on the tree.
#include "volume_impl.h"

namespace spatter {

namespace {

using Place = TreeView::Place;

// For making something new at `path`; what is there makes way if it may be replaced.
Result<Place> free_place(TreeEdit& edit, const std::string& path, bool replace = false) {
  TRY(Place place, edit.place(path));
  if (!place.row) return place;
  if (!replace) return fail(Errc::exists, "exists already: {}", shown(path));
  if (is_directory(*place.row)) return fail(Errc::is_directory, "is a directory: {}", shown(path));
  edit.group();
  TRY_VOID(edit.unlink(place.parent, place.name, *place.row));
  place.row.reset();
  return place;
}

Result<void> make(TreeEdit& edit, const Place& place, wire::InodeRow row) {
  edit.group();
  row.set_inode(edit.new_inode());
  row.set_links(is_directory(row) ? 2 : 1);
  TRY_VOID(edit.put_inode(row));
  TRY_VOID(edit.put_dirent(place.parent.inode(), place.name, row.inode()));
  return edit.touch(place.parent, is_directory(row) ? 1 : 0);
}

Result<void> make_parents(TreeEdit& edit, const std::string& path, const Attributes& attributes) {
  TRY(auto parts, split_path(path));
  std::string so_far;
  for (const std::string& part : parts) {
    so_far += "/" + part;
    TRY(Place place, edit.place(so_far));
    if (!place.row) TRY_VOID(make(edit, place, new_inode_row(attributes, mode_directory, edit.now_ns())));
    else if (!is_directory(*place.row))
      return fail(Errc::not_directory, "not a directory: {}", shown(so_far));
  }
  return {};
}

Result<void> rename_in(TreeEdit& edit, const std::string& from, const std::string& to,
                       bool replace) {
  TRY(Place source, edit.place(from));
  if (!source.row) return fail(Errc::not_found, "no such file or directory: {}", shown(from));
  TRY(Place target, edit.place(to));
  if (source.name.empty() || target.name.empty())
    return fail(Errc::invalid, "the root can't be renamed or replaced");
  const wire::InodeRow& moved = *source.row;
  if (std::ranges::find(target.above, moved.inode()) != target.above.end())
    return fail(Errc::invalid, "{} can't be moved into itself ({})", shown(from), shown(to));
  if (target.row) {
    if (target.row->inode() == moved.inode()) return {};  // two names of one thing: as POSIX says
    if (!replace) return fail(Errc::exists, "exists already: {}", shown(to));
    if (is_directory(*target.row) && !is_directory(moved))
      return fail(Errc::is_directory, "is a directory: {}", shown(to));
    if (!is_directory(*target.row) && is_directory(moved))
      return fail(Errc::not_directory, "not a directory: {}", shown(to));
    if (is_directory(moved)) {
      TRY(bool children, edit.has_children(target.row->inode()));
      if (children) return fail(Errc::not_empty, "directory not empty: {}", shown(to));
    }
  }
  edit.group();
  int target_directories = is_directory(moved) ? 1 : 0;
  if (target.row) {
    if (is_directory(*target.row)) --target_directories;
    TRY_VOID(edit.unlink(target.parent, target.name, *target.row));
  }
  TRY_VOID(edit.remove_dirent(source.parent.inode(), source.name));
  TRY_VOID(edit.put_dirent(target.parent.inode(), target.name, moved.inode()));
  wire::InodeRow row = moved;
  row.set_ctime_ns(edit.now_ns());
  TRY_VOID(edit.put_inode(row));
  TRY_VOID(edit.touch(source.parent, is_directory(moved) ? -1 : 0));
  // Read again: it may be the same directory.
  TRY(auto parent, edit.inode(target.parent.inode()));
  return edit.touch(std::move(*parent), target_directories);
}

Result<void> remove_one(TreeEdit& edit, const std::string& path) {
  TRY(Place place, edit.place(path));
  if (!place.row) return fail(Errc::not_found, "no such file or directory: {}", shown(path));
  if (place.name.empty()) return fail(Errc::invalid, "the root can't be removed");
  const bool directory = is_directory(*place.row);
  if (directory) {
    TRY(bool children, edit.has_children(place.row->inode()));
    if (children) return fail(Errc::not_empty, "directory not empty: {}", shown(path));
  }
  edit.group();
  TRY_VOID(edit.unlink(place.parent, place.name, *place.row));
  return edit.touch(place.parent, directory ? -1 : 0);
}

// Removes up to `budget` things below `directory`, deepest first.
Result<void> empty_directory(TreeEdit& edit, const wire::InodeRow& directory, unsigned& budget) {
  struct Child {
    std::string name;
    InodeNumber inode;
  };
  while (budget > 0) {
    std::vector<Child> children;
    {
      TRY(auto select,
          edit.db().prepare("SELECT name, inode FROM dirents WHERE parent = ? LIMIT 256"));
      select.bind(1, i64(directory.inode()));
      while (true) {
        TRY(bool row, select.step());
        if (!row) break;
        children.push_back({to_string(select.blob_view(0)), u64(select.integer(1))});
      }
    }
    if (children.empty()) return {};
    for (const Child& child : children) {
      if (budget == 0) return {};
      TRY(auto row, edit.inode(child.inode));
      if (!row) {
        TRY_VOID(edit.remove_dirent(directory.inode(), child.name));
        continue;
      }
      if (is_directory(*row)) {
        TRY_VOID(empty_directory(edit, *row, budget));
        TRY(bool left, edit.has_children(row->inode()));
        if (left) return {};
      }
      if (budget == 0) return {};
      --budget;
      TRY(auto parent, edit.inode(directory.inode()));
      edit.group();
      TRY_VOID(edit.unlink(*parent, child.name, *row));
      if (is_directory(*row)) TRY_VOID(edit.touch(*parent, -1));
    }
  }
  return {};
}

}  // namespace

Task<Result<Node>> VolumeImpl::stat(std::string path) {
  std::function<Result<Node>(Connected&)> work = [path](Connected& db) -> Result<Node> {
    TRY(auto row, TreeView(db).resolve(path));
    return to_node(row);
  };
  co_return co_await database_.read_for<Node>(std::move(work));
}

Task<Result<std::vector<PackPiece>>> VolumeImpl::pieces_of(std::string path) {
  using Pieces = std::vector<PackPiece>;
  std::function<Result<Pieces>(Connected&)> work = [path](Connected& db) -> Result<Pieces> {
    TRY(auto row, TreeView(db).resolve(path));
    TRY(auto select, db.prepare("SELECT DISTINCT packs.id, chunks.offset, chunks.body FROM extents "
                                "JOIN chunks ON chunks.chunk = extents.chunk "
                                "JOIN packs ON packs.sequence = chunks.sequence "
                                "WHERE extents.content = ? ORDER BY chunks.sequence, chunks.offset"));
    select.bind(1, i64(row.content()));
    Pieces pieces;
    while (true) {
      TRY(const bool more, select.step());
      if (!more) return pieces;
      TRY(const auto pack, PackId::from(as_text(select.blob_view(0))));
      const PackPiece piece{pack, u64(select.integer(1)), pack_header_bytes + u64(select.integer(2))};
      if (!pieces.empty() && pieces.back().pack == pack && pieces.back().offset + pieces.back().length == piece.offset)
        pieces.back().length += piece.length;
      else
        pieces.push_back(piece);
    }
  };
  co_return co_await database_.read_for<Pieces>(std::move(work));
}

Task<Result<Followed>> VolumeImpl::follow(std::string path, LastLink last) {
  std::function<Result<Followed>(Connected&)> work = [path, last](Connected& db) {
    return TreeView(db).follow(path, last);
  };
  co_return co_await database_.read_for<Followed>(std::move(work));
}

Task<Result<std::vector<DirectoryEntry>>> VolumeImpl::list(std::string path, std::string after,
                                                           std::size_t limit) {
  using Entries = std::vector<DirectoryEntry>;
  std::function<Result<Entries>(Connected&)> work =
      [path, after, limit](Connected& db) -> Result<Entries> {
    TreeView view(db);
    TRY(auto directory, view.resolve(path));
    if (!is_directory(directory)) return fail(Errc::not_directory, "not a directory: {}", shown(path));
    Entries entries;
    TRY(auto select, db.prepare("SELECT name, inode FROM dirents WHERE parent = ? AND name > ? "
                                "ORDER BY name LIMIT ?"));
    select.bind(1, i64(directory.inode())).bind_blob(2, as_bytes(after)).bind(3, i64(limit));
    while (true) {
      TRY(bool more, select.step());
      if (!more) break;
      DirectoryEntry entry{.name = to_string(select.blob_view(0))};
      TRY(auto row, view.inode(u64(select.integer(1))));
      if (!row)
        return fail(Errc::corrupt, "{} in {} names inode {}, which is missing", shown(entry.name),
                    shown(path), select.integer(1));
      entry.node = to_node(*row);
      entries.push_back(std::move(entry));
    }
    return entries;
  };
  co_return co_await database_.read_for<Entries>(std::move(work));
}

Task<Result<PackPosition>> VolumeImpl::make_directory(std::string path, Attributes attributes,
                                                      bool parents) {
  co_return co_await commit([path, attributes, parents](TreeEdit& edit) -> Result<void> {
    if (parents) return make_parents(edit, path, attributes);
    TRY(Place place, free_place(edit, path));
    return make(edit, place, new_inode_row(attributes, mode_directory, edit.now_ns()));
  });
}

Task<Result<PackPosition>> VolumeImpl::make_symlink(std::string target, std::string path,
                                                    Attributes attributes, bool replace) {
  if (target.empty() || target.size() > 64 << 10 || target.find('\0') != target.npos)
    co_return fail(Errc::invalid, "not a target for a symbolic link: {}", shown(target));
  co_return co_await commit([target, path, attributes, replace](TreeEdit& edit) -> Result<void> {
    TRY(Place place, free_place(edit, path, replace));
    wire::InodeRow row = new_inode_row(attributes, mode_symlink, edit.now_ns());
    row.set_target(target);
    row.set_size(target.size());
    return make(edit, place, std::move(row));
  });
}

Task<Result<PackPosition>> VolumeImpl::make_special(std::string path, Attributes attributes,
                                                    bool replace) {
  const std::uint32_t type = attributes.mode & mode_type;
  if (type != 0010000 && type != 0020000 && type != 0060000 && type != 0140000)
    co_return fail(Errc::invalid, "mode {:o} is not that of a FIFO, socket or device: {}",
                   attributes.mode, shown(path));
  co_return co_await commit([path, attributes, type, replace](TreeEdit& edit) -> Result<void> {
    TRY(Place place, free_place(edit, path, replace));
    return make(edit, place, new_inode_row(attributes, type, edit.now_ns()));
  });
}

Task<Result<PackPosition>> VolumeImpl::link(std::string existing, std::string path,
                                            bool replace) {
  co_return co_await commit([existing, path, replace](TreeEdit& edit) -> Result<void> {
    TRY(auto row, edit.resolve(existing));
    if (is_directory(row)) return fail(Errc::is_directory, "is a directory: {}", shown(existing));
    TRY(Place there, edit.place(path));
    if (replace && there.row && there.row->inode() == row.inode()) return {};
    TRY(Place place, free_place(edit, path, replace));
    row.set_links(row.links() + 1);
    row.set_ctime_ns(edit.now_ns());
    TRY_VOID(edit.put_inode(row));
    TRY_VOID(edit.put_dirent(place.parent.inode(), place.name, row.inode()));
    return edit.touch(place.parent, 0);
  });
}

Task<Result<PackPosition>> VolumeImpl::remove(std::string path) {
  co_return co_await commit_freeing([path](TreeEdit& edit) { return remove_one(edit, path); });
}

Task<Result<PackPosition>> VolumeImpl::remove_tree(std::string path) {
  auto gone = std::make_shared<bool>(false);
  while (true) {
    auto done = co_await commit_freeing([path, gone](TreeEdit& edit) -> Result<void> {
      unsigned budget = 1000;
      *gone = false;
      TRY(auto row, edit.resolve(path));
      if (row.inode() == root_inode) return fail(Errc::invalid, "the root can't be removed");
      if (is_directory(row)) {
        TRY_VOID(empty_directory(edit, row, budget));
        TRY(bool left, edit.has_children(row.inode()));
        if (left) return {};
      }
      *gone = true;
      return remove_one(edit, path);
    });
    if (!done || *gone) co_return done;
  }
}

Task<Result<PackPosition>> VolumeImpl::rename(std::string from, std::string to, bool replace) {
  co_return co_await commit(
      [from, to, replace](TreeEdit& edit) { return rename_in(edit, from, to, replace); });
}

Task<Result<PackPosition>> VolumeImpl::set_attributes(std::string path, AttributeChange change) {
  co_return co_await commit([path, change](TreeEdit& edit) -> Result<void> {
    TRY(auto row, edit.resolve(path));
    if (change.permissions) row.set_mode((row.mode() & mode_type) | (*change.permissions & 07777));
    if (change.uid) row.set_uid(*change.uid);
    if (change.gid) row.set_gid(*change.gid);
    if (change.mtime_ns) row.set_mtime_ns(*change.mtime_ns);
    if (!change.xattrs.empty()) {
      std::map<std::string, std::string> xattrs;
      for (const auto& xattr : row.xattrs()) xattrs[xattr.name()] = xattr.value();
      std::size_t bytes = 0;
      for (const auto& [name, value] : change.xattrs) {
        if (value) xattrs[name] = *value;
        else xattrs.erase(name);
      }
      row.clear_xattrs();
      for (const auto& [name, value] : xattrs) {
        auto* xattr = row.add_xattrs();
        xattr->set_name(name);
        xattr->set_value(value);
        bytes += name.size() + value.size();
      }
      if (bytes > 1 << 20)
        return fail(Errc::no_space, "extended attributes of {} bytes are too large: {}", bytes,
                    shown(path));
    }
    row.set_ctime_ns(edit.now_ns());
    return edit.put_inode(row);
  });
}

}  // namespace spatter
