// The namespace inside one database transaction: looking things up (TreeView) and changing them
// (TreeEdit). Every change of a row also goes into the log record of the operation; replaying the
// log is the same edits with logging off.
#pragma once

#include <map>

#include "schema.h"

namespace spatter {

inline constexpr std::uint32_t mode_type = 0170000;
inline constexpr std::uint32_t mode_directory = 0040000;
inline constexpr std::uint32_t mode_file = 0100000;
inline constexpr std::uint32_t mode_symlink = 0120000;

inline bool is_directory(const wire::InodeRow& row) { return (row.mode() & mode_type) == mode_directory; }
inline bool is_file(const wire::InodeRow& row) { return (row.mode() & mode_type) == mode_file; }
inline bool is_symlink(const wire::InodeRow& row) { return (row.mode() & mode_type) == mode_symlink; }

Node to_node(const wire::InodeRow& row);
wire::InodeRow new_inode_row(const Attributes& attributes, std::uint32_t type, std::int64_t now_ns);

/// The components of a path. Errc::invalid for names that can't be.
Result<std::vector<std::string>> split_path(std::string_view path);
/// The same, where "." and ".." are names like others.
Result<std::vector<std::string>> split_path_with_dots(std::string_view path);

class TreeView {
 public:
  explicit TreeView(Connected& db) : db_(db) {}

  Result<std::optional<wire::InodeRow>> inode(InodeNumber number);
  /// 0: no such entry.
  Result<InodeNumber> child(InodeNumber parent, std::string_view name);
  Result<bool> has_children(InodeNumber parent);

  struct Place {
    wire::InodeRow parent;
    std::string name;                   // empty for the root
    std::optional<wire::InodeRow> row;  // what is there
    std::vector<InodeNumber> above;     // the directories passed through, root first
  };
  /// The parent must be there; the thing itself need not.
  Result<Place> place(std::string_view path);
  /// The thing at `path`, or Errc::not_found.
  Result<wire::InodeRow> resolve(std::string_view path);
  /// As Volume::follow (follow.cpp).
  Result<Followed> follow(std::string_view path, LastLink last);

 protected:
  Connected& db_;
};

struct StatsDelta {
  std::int64_t files = 0, directories = 0, others = 0, file_bytes = 0, chunks = 0, live_bytes = 0;
  void add(const StatsDelta& other);
};

class TreeEdit : public TreeView {
 public:
  enum class Mode { live, replay };
  TreeEdit(Connected& db, StateRow& state, Mode mode, std::int64_t now_ns)
      : TreeView(db), state_(state), mode_(mode), now_ns_(now_ns) {
    if (mode == Mode::live) records_.emplace_back();
  }

  Connected& db() { return db_; }
  std::int64_t now_ns() const { return now_ns_; }
  InodeNumber new_inode() { return state_.next_inode++; }
  std::uint64_t new_content() { return state_.next_content++; }

  /// Sets the row; content that it no longer has becomes an orphan.
  Result<void> put_inode(const wire::InodeRow& row);
  Result<void> remove_inode(const wire::InodeRow& row);
  Result<void> put_dirent(InodeNumber parent, std::string_view name, InodeNumber inode);
  Result<void> remove_dirent(InodeNumber parent, std::string_view name);

  /// Appends an extent; `chunk` need not be known yet. A chunk known already stays where it is.
  Result<void> put_extent(std::uint64_t content, std::uint64_t offset, std::uint64_t length,
                          const ChunkPlace& chunk, std::uint64_t chunk_offset);
  /// Replay: an extent of a chunk whose row came before.
  Result<void> put_extent_row(const wire::ExtentRow& row);
  /// Makes or moves the row of a chunk; counts of use stay.
  Result<void> put_chunk(const ChunkPlace& chunk);
  /// Frees up to `limit` extents of a content; true when none are left.
  Result<bool> free_content(std::uint64_t content, unsigned limit);

  /// Replay of one record or snapshot piece.
  Result<void> apply(const wire::Changes& changes);

  /// The rows that follow (a few dozen at most) go into one record, so that none of them is ever
  /// replayed without the others.
  void group() {
    if (mode_ == Mode::live && record_rows_ + 100 > record_rows_max) {
      records_.emplace_back();
      record_rows_ = 0;
    }
  }

  // Steps that operations share.
  /// The parent got or lost an entry, `subdirectories` of them directories.
  Result<void> touch(wire::InodeRow parent, int subdirectories);
  /// One name less; the inode goes with the last.
  Result<void> unlink(const wire::InodeRow& parent, std::string_view name, wire::InodeRow row);

  std::vector<wire::Changes>& records() { return records_; }
  const std::map<std::uint64_t, std::int64_t>& live() const { return live_; }
  const StatsDelta& stats() const { return stats_; }
  bool orphaned() const { return orphaned_; }
  void count_live(std::uint64_t sequence, std::int64_t bytes) { live_[sequence] += bytes; }

 private:
  static constexpr std::size_t record_rows_max = 2000;
  wire::Changes* log();
  void count(const wire::InodeRow& row, int sign);
  Result<void> orphan(std::uint64_t content);
  Result<void> add_extent(std::uint64_t content, std::uint64_t offset, std::uint64_t length,
                          std::int64_t chunk, std::uint64_t chunk_offset);

  StateRow& state_;
  Mode mode_;
  std::int64_t now_ns_;
  std::size_t record_rows_ = 0;
  std::vector<wire::Changes> records_;
  std::map<std::uint64_t, std::int64_t> live_;
  StatsDelta stats_;
  bool orphaned_ = false;
};

}  // namespace spatter
