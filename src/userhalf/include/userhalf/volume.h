// A volume: the file tree of one person, kept as encrypted chunks and log records in packs, with a
// database as its index. What is written here is safe against a crash of this machine; room spatter
// carries the packs into the network, from which `restore` brings everything back.
//
// Paths are raw bytes: components between '/', any bytes but '/' and NUL, at most 255 each. A
// leading '/' and repeated ones mean nothing, "" and "/" are the root, "." and ".." are refused.
// Symbolic links are stored and returned; only follow() follows them.
//
// Every change completes with the PackPosition before which it is durable locally, its log record
// included; when it fails, nothing changed. All calls on the executor; the Volume outlives them,
// and outlives its writers and readers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/database.h"
#include "base/runtime.h"
#include "crypto/volume_keys.h"
#include "userhalf/pack_store.h"

namespace spatter {

using InodeNumber = std::uint64_t;
inline constexpr InodeNumber root_inode = 1;

/// What is kept of a file beside its content. `mode` holds type and permissions as in <sys/stat.h>.
struct Attributes {
  std::uint32_t mode = 0100644;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t device = 0;  ///< of device nodes
  std::map<std::string, std::string> xattrs;
};

struct Node {
  InodeNumber inode = 0;
  Attributes attributes;
  std::int64_t ctime_ns = 0;
  std::uint64_t size = 0;  ///< of files, in bytes; of symbolic links, of the target
  std::uint64_t links = 0;
  std::string target;      ///< of symbolic links
  std::uint64_t content = 0;  ///< changes whenever a file's bytes change

  bool is_directory() const { return (attributes.mode & 0170000) == 0040000; }
  bool is_file() const { return (attributes.mode & 0170000) == 0100000; }
  bool is_symlink() const { return (attributes.mode & 0170000) == 0120000; }
};

enum class LastLink {
  follow,
  keep,  ///< unless a '/' after it asks for the folder it leads to
};

/// Where a path leads, once the links on its way have been followed.
struct Followed {
  std::string path;          ///< from the top, without links, "." and ".."
  std::optional<Node> node;  ///< what is there
  std::size_t missing = 0;   ///< so many of the last names of `path` are not there; 1: only itself
  bool dangling = false;     ///< a link led to where nothing is
};

struct DirectoryEntry {
  std::string name;
  Node node;
};

/// Only what is set changes.
struct AttributeChange {
  std::optional<std::uint32_t> permissions;  ///< the low 12 bits of mode
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::int64_t> mtime_ns;
  std::map<std::string, std::optional<std::string>> xattrs;  ///< nullopt removes
};

struct CommitOptions {
  /// Pad the pack to a 4 KiB boundary in the same commit, because a slice will end there: saves
  /// who waits for `safe` a second commit.
  bool cut = false;
  /// A file that has other names too is not written into but replaced by a new one under this name,
  /// so that the other names keep what they have.
  bool unshare = false;
};

/// A file being written. Nothing is seen of it before commit(), which replaces what was at the path
/// at once. Dropped without commit: nothing changed. One call at a time. Memory: about two chunks,
/// and the volume's shared allowance of chunks under way.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  virtual Task<Result<void>> write(Buffer bytes) = 0;
  virtual Task<Result<void>> write_hole(std::uint64_t length) = 0;
  /// Durable locally on success, log record included. Call no more than once.
  virtual Task<Result<PackPosition>> commit(CommitOptions options = {}) = 0;
  virtual std::uint64_t size() const = 0;  ///< bytes and holes so far
};

/// A file as it was when it was opened, whatever happens to its path since.
class FileReader {
 public:
  virtual ~FileReader() = default;
  virtual const Node& node() const = 0;
  /// Fewer than `length` bytes only at the end of the file; holes read as zeros. At most 16 MiB at
  /// a time. Sequential reads are read ahead. Several reads may run at the same time.
  /// Errc::corrupt or Errc::unavailable name the file and the chunk.
  virtual Task<Result<Buffer>> read(std::uint64_t offset, std::uint64_t length) = 0;
  /// As read, but perhaps fewer bytes, at least one: as many as lie together, so that nothing is
  /// copied.
  virtual Task<Result<Buffer>> read_piece(std::uint64_t offset, std::uint64_t length) = 0;
  /// The next stretch of data at or after `offset`, as (offset, length); length 0: only a hole
  /// follows. For copying sparse files.
  virtual Task<Result<std::pair<std::uint64_t, std::uint64_t>>> next_data(std::uint64_t offset) = 0;
};

struct VolumeStats {
  std::uint64_t files = 0;  ///< regular files, hard links counted once
  std::uint64_t directories = 0;
  std::uint64_t others = 0;
  std::uint64_t file_bytes = 0;   ///< sum of file sizes
  std::uint64_t chunks = 0;
  std::uint64_t live_bytes = 0;   ///< stored bytes of chunks in use
  std::uint64_t used_bytes = 0;   ///< of the user half
  std::uint64_t limit_bytes = 0;
};

/// Where the newest snapshot and the log stand: what a root record points to.
struct LogState {
  VolumeId volume;
  std::uint64_t snapshot = 0;         ///< number of the newest complete snapshot; 0: none
  std::uint64_t snapshot_covers = 0;  ///< it holds everything up to this log record
  std::uint64_t last_log = 0;
  std::vector<PackId> snapshot_packs;
};

struct Finding {
  std::string what;  ///< a sentence that names the thing
  std::string path;  ///< of the file concerned, or empty
  bool fatal = false;   ///< data can't be read locally, or the index is wrong
  std::optional<PackId> pack;  ///< where mending must start
  bool mended = false;
};

/// A pack that the network, or this machine, still has, for restore().
struct RestorePack {
  PackId id;
  std::uint64_t sequence = 0;
  std::uint64_t length = 0;  ///< readable bytes from its start
  bool sealed = false;
  bool has_log = true;       ///< false: it surely holds no log records
  bool has_snapshot = true;
  bool local = false;  ///< its file is here and stays
};

struct RestoreReport {
  std::uint64_t snapshot = 0;       ///< the one used; 0: none
  std::uint64_t last_log = 0;       ///< the last record applied
  std::uint64_t files = 0;
  std::uint64_t chunks_missing = 0; ///< used by files, but their pack is not in the list
};

struct VolumeOptions {
  VolumeId volume;   ///< zero: as the database says, or drawn for a new volume
  PackStoreOptions packs;
  std::size_t cache_bytes = 32 << 20;   ///< of decrypted chunks, shared by all readers
  std::size_t flight_bytes = 24 << 20;  ///< chunks being hashed, sealed and written, over all writers
  int zstd_level = 2;
  bool at_rest = false;  ///< only to be looked at: nothing is freed, and no reserve for a full disk made
};

/// The migrations of the database that a Volume needs; rooms below may append theirs.
std::vector<std::string> volume_migrations();

/// The id of the volume that `database` holds; zero for an empty one.
Task<Result<VolumeId>> volume_of(Database& database);

class Volume {
 public:
  /// `keys` are those of the volume named in `options` or by volume_of(). Cuts off what a crash left
  /// unacknowledged. `runtime` and `database` outlive the volume.
  static Task<Result<std::unique_ptr<Volume>>> open(Runtime& runtime, Database& database,
                                                    VolumeKeys keys, VolumeOptions options);

  /// Fills an empty database from packs of the network: the newest complete snapshot, then every
  /// log record after it in order. Errc::corrupt names what is missing when a record is. Open the
  /// volume afterwards as usual; its packs are not local.
  static Task<Result<RestoreReport>> restore(Runtime& runtime, Database& database, VolumeKeys keys,
                                             VolumeId volume, std::vector<RestorePack> packs,
                                             RemotePacks& remote);

  virtual ~Volume() = default;
  /// Waits for commits under way; nothing may be called afterwards.
  virtual Task<void> stop() = 0;

  virtual PackStore& packs() = 0;
  virtual VolumeId id() const = 0;
  virtual Task<Result<VolumeStats>> stats() = 0;

  // Reading the tree.
  virtual Task<Result<Node>> stat(std::string path) = 0;
  /// Resolves a path as POSIX does, "." and ".." and links included, inside the volume: its top is
  /// what "/" means in a link, and the parent of itself. A '/' at the end asks for a folder. Names
  /// that are not there are no error, whatever is; a ".." after one is. Errc::not_directory names
  /// what is in the way, Errc::invalid the path whose links lead nowhere but on.
  virtual Task<Result<Followed>> follow(std::string path, LastLink last = LastLink::follow) = 0;
  /// Up to `limit` entries in byte order of their names, after `after` (empty: from the start).
  virtual Task<Result<std::vector<DirectoryEntry>>> list(std::string path, std::string after = {},
                                                         std::size_t limit = 1000) = 0;
  /// Where in packs the content of something lies, in order; what lies side by side is one. Empty for what has
  /// no content.
  virtual Task<Result<std::vector<PackPiece>>> pieces_of(std::string path) = 0;

  // Changing it. Existing things are never replaced unless said; directories never are by these.
  virtual Task<Result<PackPosition>> make_directory(std::string path, Attributes attributes,
                                                    bool parents = false) = 0;
  virtual Task<Result<PackPosition>> make_symlink(std::string target, std::string path,
                                                  Attributes attributes, bool replace = false) = 0;
  /// FIFOs, sockets and device nodes, as `attributes.mode` says.
  virtual Task<Result<PackPosition>> make_special(std::string path, Attributes attributes,
                                                  bool replace = false) = 0;
  /// A second name for a file (anything but a directory).
  virtual Task<Result<PackPosition>> link(std::string existing, std::string path,
                                          bool replace = false) = 0;
  /// A file, a link, or an empty directory.
  virtual Task<Result<PackPosition>> remove(std::string path) = 0;
  /// With everything below, in several commits: an error leaves what is not yet removed whole.
  virtual Task<Result<PackPosition>> remove_tree(std::string path) = 0;
  /// As rename(2): replaces a file by a file, an empty directory by a directory.
  virtual Task<Result<PackPosition>> rename(std::string from, std::string to,
                                            bool replace = true) = 0;
  virtual Task<Result<PackPosition>> set_attributes(std::string path, AttributeChange change) = 0;

  // Files.
  /// At commit, a file at `path` gets the new content and attributes (all its hard links do, unless
  /// CommitOptions say otherwise); nothing there: it is made, in a directory that must exist. Errc::is_directory for a directory,
  /// Errc::exists for anything else there.
  virtual Task<Result<std::unique_ptr<FileWriter>>> write_file(std::string path,
                                                               Attributes attributes) = 0;
  /// A small file in one commit; the quickest way for up to 256 KiB.
  virtual Task<Result<PackPosition>> put_small(std::string path, Attributes attributes, Buffer bytes,
                                               CommitOptions options = {}) = 0;
  virtual Task<Result<std::unique_ptr<FileReader>>> read_file(std::string path,
                                                              ReadFrom from = ReadFrom::anywhere) = 0;

  /// The position before which everything acknowledged so far lies.
  virtual Task<Result<PackPosition>> flush(CommitOptions options = {}) = 0;

  // The log.
  virtual LogState log_state() const = 0;
  /// True when replaying the log would cost clearly more than a new snapshot.
  virtual bool snapshot_due() const = 0;
  /// Writes the whole namespace into packs; durable on return. Others may write meanwhile.
  virtual Task<Result<LogState>> snapshot() = 0;

  // Tidying.
  /// Frees the content of files that were removed or overwritten and that no reader has open. Also
  /// runs by itself soon after a removal.
  virtual Task<Result<void>> reap() = 0;
  /// Sealed packs of which at most `live_share_max` is in use and that can go, emptiest first.
  virtual std::vector<PackId> compaction_candidates(double live_share_max = 0.5) const = 0;
  /// Moves the live chunks of a sealed pack to the open one, then forgets and deletes it and calls
  /// packs().on_removed. Errc::busy when it is in use or its log or snapshot is still needed.
  virtual Task<Result<void>> rewrite_pack(PackId pack) = 0;

  // fsck. Findings come in a stable order; an error is returned only when checking is impossible.
  virtual Task<Result<std::vector<Finding>>> check(bool deep) = 0;
  /// check(), then puts right what can be: counters from the index, local packs from the network.
  /// Returns what was found, and which of it was put right.
  virtual Task<Result<std::vector<Finding>>> mend(bool deep) = 0;
};

}  // namespace spatter
