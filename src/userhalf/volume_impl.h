// What the parts of a Volume share. Each part is a file of its own: volume.cpp (opening, group
// commit), operations.cpp (the tree), writer.cpp, reader.cpp, snapshot.cpp, restore.cpp,
// compact.cpp, check.cpp.
#pragma once

#include <deque>
#include <list>
#include <set>

#include "base/sync.h"
#include "disk_reserve.h"
#include "pack_files.h"
#include "tree.h"
#include "userhalf/chunker.h"
#include "userhalf/volume.h"

namespace spatter {

class VolumeImpl;

/// A chunk that an uncommitted file uses: found or being stored. Keeps its pack from being
/// rewritten until the file is committed or dropped. Executor only.
struct PendingChunk {
  PendingChunk(VolumeImpl& owner, const ChunkId& id);
  ~PendingChunk();
  PendingChunk(const PendingChunk&) = delete;

  VolumeImpl& volume;
  const ChunkId id;
  Event ready;
  Result<ChunkPlace> place;
  bool pinned = false;
};

/// Decrypted chunks, least recently used out first. Executor only. One is shared by all who read from
/// anywhere; who asks for the network's or the local bytes has one of his own, so that he gets no
/// others.
class ChunkCache {
 public:
  explicit ChunkCache(std::size_t bytes) : bytes_max_(bytes) {}
  std::optional<Buffer> find(const ChunkId& id);
  void put(const ChunkId& id, Buffer plain);
  void clear();

 private:
  struct Kept {
    ChunkId id;
    Buffer plain;
  };
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::list<Kept> kept_;
  std::unordered_map<ChunkId, std::list<Kept>::iterator> by_id_;
};

class VolumeImpl final : public Volume {
 public:
  using Operation = std::function<Result<void>(TreeEdit&)>;

  VolumeImpl(Runtime& runtime, Database& database, VolumeKeys keys, VolumeOptions options);
  ~VolumeImpl() override;
  Task<Result<void>> start();
  Task<void> stop() override;

  PackStore& packs() override { return *store_; }
  VolumeId id() const override { return options_.volume; }
  Task<Result<VolumeStats>> stats() override;
  Task<Result<Node>> stat(std::string path) override;
  Task<Result<std::vector<PackPiece>>> pieces_of(std::string path) override;
  Task<Result<Followed>> follow(std::string path, LastLink last) override;
  Task<Result<std::vector<DirectoryEntry>>> list(std::string path, std::string after,
                                                 std::size_t limit) override;
  Task<Result<PackPosition>> make_directory(std::string path, Attributes attributes,
                                            bool parents) override;
  Task<Result<PackPosition>> make_symlink(std::string target, std::string path,
                                          Attributes attributes, bool replace) override;
  Task<Result<PackPosition>> make_special(std::string path, Attributes attributes,
                                          bool replace) override;
  Task<Result<PackPosition>> link(std::string existing, std::string path, bool replace) override;
  Task<Result<PackPosition>> remove(std::string path) override;
  Task<Result<PackPosition>> remove_tree(std::string path) override;
  Task<Result<PackPosition>> rename(std::string from, std::string to, bool replace) override;
  Task<Result<PackPosition>> set_attributes(std::string path, AttributeChange change) override;
  Task<Result<std::unique_ptr<FileWriter>>> write_file(std::string path,
                                                       Attributes attributes) override;
  Task<Result<PackPosition>> put_small(std::string path, Attributes attributes, Buffer bytes,
                                       CommitOptions options) override;
  Task<Result<std::unique_ptr<FileReader>>> read_file(std::string path, ReadFrom from) override;
  Task<Result<PackPosition>> flush(CommitOptions options) override;
  LogState log_state() const override { return log_state_; }
  bool snapshot_due() const override;
  Task<Result<LogState>> snapshot() override;
  Task<Result<void>> reap() override;
  std::vector<PackId> compaction_candidates(double live_share_max) const override;
  Task<Result<void>> rewrite_pack(PackId pack) override;
  Task<Result<std::vector<Finding>>> check(bool deep) override;
  Task<Result<std::vector<Finding>>> mend(bool deep) override;

  // --- between the parts ---

  /// Runs `operation` in the next group commit. It must own what it uses: it runs off the executor
  /// and to its end, whether or not the caller still waits.
  Task<Result<PackPosition>> commit(Operation operation, CommitOptions options = {});
  /// The same for what makes room: on a full disk it takes the reserve.
  Task<Result<PackPosition>> commit_freeing(Operation operation);

  /// Off the executor, inside an operation: stores `plain` unless it is there already.
  Result<ChunkPlace> store_now(Connected& db, ByteView plain);
  /// Off the executor: compressed when that helps, sealed, with room for the entry's header.
  struct Sealed {
    Codec codec;
    std::uint32_t plain_bytes;
    Buffer entry;
  };
  Sealed seal_chunk(const ChunkId& id, ByteView plain) const;

  /// The chunk's plaintext, from the cache, the local pack or the network.
  Task<Result<Buffer>> load_chunk(ChunkPlace place, ReadFrom from,
                                  std::shared_ptr<ChunkCache> cache);
  /// Several, laid one after another in one pack: one read for all. Into the cache.
  Task<void> load_run(std::vector<ChunkPlace> run, ReadFrom from,
                      std::shared_ptr<ChunkCache> cache);

  /// A content that no reader has open any more may be an orphan.
  void reader_closed() { orphaned_.set(); }

  Runtime& runtime() { return runtime_; }
  Database& database() { return database_; }
  const VolumeKeys& keys() const { return keys_; }
  const VolumeOptions& options() const { return options_; }
  const GearTable& gear() const { return gear_; }
  PackFiles& store() { return *store_; }
  TaskGroup& tasks() { return tasks_; }
  Semaphore& flight() { return flight_; }
  Semaphore& read_flight() { return read_flight_; }
  const std::shared_ptr<ChunkCache>& cache() { return cache_; }

  std::map<ChunkId, std::weak_ptr<PendingChunk>> pending;
  std::map<std::uint64_t, unsigned> pins;      ///< uses of packs by uncommitted files, by sequence
  std::set<std::uint64_t> condemned;           ///< packs being rewritten: no new use
  std::map<std::uint64_t, unsigned> open_contents;  ///< that readers have open
  unsigned opening = 0;                        ///< readers looking up what they will open

 private:
  struct Commit {
    Operation operation;
    CommitOptions options;
    bool frees = false;
    bool again = false;  // after the reserve was given up for it
    std::optional<Result<PackPosition>> result;
    Event done;
    explicit Commit(asio::any_io_executor executor) : done(std::move(executor)) {}
  };
  struct Batch;
  struct Loading;

  Task<Result<PackPosition>> enqueue(std::shared_ptr<Commit> commit);
  std::shared_ptr<Batch> next_batch();
  Task<bool> make_room(Batch& batch, const Error& error);
  Task<void> commit_loop();
  Task<void> reap_loop();
  Result<void> run_batch(Connected& db, Batch& batch);
  Result<void> append_log(Batch& batch, StateRow& state, std::vector<wire::Changes> records);
  Task<Result<Buffer>> load_uncached(ChunkPlace place, ReadFrom from);
  Task<Result<LogState>> write_snapshot();

  Runtime& runtime_;
  Database& database_;
  const VolumeKeys keys_;
  VolumeOptions options_;
  const GearTable gear_;
  std::unique_ptr<PackFiles> store_;
  TaskGroup tasks_;
  TaskGroup reaper_;
  Semaphore flight_;       ///< bytes of chunks being stored
  Semaphore read_flight_;  ///< bytes of chunks being read ahead
  std::shared_ptr<ChunkCache> cache_;
  DiskReserve reserve_;
  using LoadKey = std::pair<ChunkId, const ChunkCache*>;
  std::map<LoadKey, std::shared_ptr<Loading>> loading_;

  std::deque<std::shared_ptr<Commit>> queue_;
  bool committing_ = false;
  Event queued_;
  Event orphaned_;
  bool stopping_ = false;
  bool snapshotting_ = false;
  StatsDelta totals_;
  LogState log_state_;
  std::uint64_t snapshot_bytes_ = 0;
  std::uint64_t log_bytes_ = 0;
};

}  // namespace spatter
