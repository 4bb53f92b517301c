// The PackStore as files, and the calls by which the Volume appends to it.
//
// Threads: append and what runs inside a database write are called off the executor; all else on
// it. `append_mutex_` serialises appends, their disk write included; `mutex_` guards the table and
// is never held during I/O.
//
// Why the database decides what is in a pack: a row's length moves only in a commit, after the
// bytes before it were synced. After a crash everything beyond it is cut off. Log entries whose
// commit failed while we live on are turned into padding before anything after them is recorded
// (begin_commit), so that a restore never sees a change that was not acknowledged.
#pragma once

#include <list>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "base/sync.h"
#include "pack_tail.h"
#include "userhalf/pack_store.h"

namespace spatter {

inline std::int64_t i64(std::uint64_t value) { return static_cast<std::int64_t>(value); }
inline std::uint64_t u64(std::int64_t value) { return static_cast<std::uint64_t>(value); }

class PackFiles final : public PackStore {
 public:
  /// Cuts off what the database does not know of.
  static Task<Result<std::unique_ptr<PackFiles>>> open(Runtime& runtime, Database& database,
                                                       const VolumeKeys& keys, VolumeId volume,
                                                       PackStoreOptions options);
  ~PackFiles() override;
  Task<void> stop();

  void set_remote(RemotePacks* remote) override { remote_ = remote; }
  void set_target_bytes(std::uint64_t bytes) override;
  std::uint64_t target_bytes() const override;
  void set_limit_bytes(std::uint64_t bytes) override;
  std::vector<PackInfo> list() const override;
  std::optional<PackInfo> find(const PackId& pack) const override;
  PackPosition end() const override;
  std::uint64_t used_bytes() const override;
  std::uint64_t limit_bytes() const override;
  Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length,
                            ReadFrom from) override;
  std::optional<Buffer> newest(const PackId& pack, std::uint64_t offset,
                               std::uint64_t length) const override;
  Task<Result<PackPosition>> cut() override;
  Task<Result<PackPosition>> seal() override;
  Task<void> forget_cached(PackId pack) override;
  Task<Result<void>> drop_local(PackId pack) override;
  Task<Result<void>> fetch_local(PackId pack) override;
  Task<Result<void>> make_whole(PackId pack) override;

  std::optional<PackInfo> find_sequence(std::uint64_t sequence) const;
  RemotePacks* remote() const { return remote_; }

  // --- off the executor ---

  /// `entry` has room for the header in front of the sealed body.
  Result<PackPosition> append_chunk(const ChunkId& id, Codec codec, std::uint32_t plain_bytes,
                                    MutableBytes entry);
  /// A log or snapshot entry; compressed when that helps. `count`, `number` as in EntryHeader;
  /// log entries hold the records number .. number + count - 1.
  Result<PackPosition> append_record(EntryType type, std::uint64_t number, std::uint32_t count,
                                     ByteView plain);
  Result<void> sync();

  // --- inside a database write, in this order ---

  Result<void> begin_commit(std::uint64_t last_log);
  Result<void> pad();
  Result<void> roll();  ///< seals the open pack
  /// What record() wrote into a transaction that may still fail.
  struct Recorded {
    PackPosition end;  ///< of what is durable if it succeeds
    std::vector<PackInfo> rows;
  };
  /// Syncs, and writes the rows of what changed.
  Result<Recorded> record(Connected& db);

  // --- on the executor ---

  /// After a write with record() succeeded: makes its rows public, calls back.
  void committed(const Recorded& recorded);
  /// After appends: records packs that were sealed meanwhile, in the background.
  void publish_sealed();
  /// What a committed change did to the chunks in use, by sequence.
  void add_live(const std::map<std::uint64_t, std::int64_t>& deltas);
  /// The pack's row is gone: forgets it, deletes its file, calls back.
  Task<void> forget(std::uint64_t sequence);
  void mark_not_local(std::uint64_t sequence);

 private:
  static constexpr std::size_t handles_max = 32;
  struct Pack {
    PackInfo info;  // as recorded: what others may see
    std::uint64_t end = 0;
    std::uint64_t synced = 0;
    std::uint64_t first_log = 0, last_log = 0, snapshot = 0;
    bool sealed = false;
    bool dirty = false;     // has writes that were not synced
    bool unrecorded = true; // its row differs
    bool missing = false;   // should be here, and its file is not
    std::shared_ptr<File> file;  // until sealed and recorded
  };
  struct LogEntryPlace {
    std::shared_ptr<Pack> pack;
    std::uint64_t offset, first, last;
    EntryHeader header;
  };

  PackFiles(Runtime& runtime, Database& database, const VolumeKeys& keys, VolumeId volume,
            PackStoreOptions options);
  Result<void> load(Connected& db);
  Result<void> match_files();
  std::string path_of(const PackId& pack) const { return options_.folder + "/" + pack.hex(); }
  Result<std::shared_ptr<Pack>> pack_with_room(std::size_t bytes);
  Result<std::shared_ptr<Pack>> open_new();
  Result<PackPosition> append(EntryHeader header, std::size_t bytes, bool reserve,
                              const std::function<void(const PackId&, std::uint64_t, MutableBytes)>&
                                  seal_body,
                              MutableBytes memory);
  Result<void> check_room(std::size_t bytes, bool reserve) const;
  void seal_open();
  Result<std::shared_ptr<File>> file_of(const PackId& pack);
  Result<Buffer> read_file(const PackId& pack, std::uint64_t offset, std::uint64_t length);
  Task<void> publish();
  Task<Result<PackPosition>> close_off(bool seal);
  struct Window;
  Task<Result<Buffer>> entry_at(PackInfo info, std::uint64_t at, Window& window);
  Task<Result<void>> write_anew(PackInfo info, bool with_own);
  Result<void> check_entry(const PackId& pack, std::uint64_t at, const EntryHeader& header,
                           ByteView body) const;

  Runtime& runtime_;
  Database& database_;
  const VolumeKeys& keys_;
  const VolumeId volume_;
  PackStoreOptions options_;
  RemotePacks* remote_ = nullptr;
  Key id_seed_;
  TaskGroup tasks_;
  bool publishing_ = false;

  std::mutex sync_mutex_;  // taken before the others
  std::mutex append_mutex_;
  std::uint64_t ids_drawn_ = 0;
  std::uint64_t last_log_ = 0;  // the highest number appended
  std::list<LogEntryPlace> unconfirmed_;
  std::optional<Error> broken_;  // a sync failed: what is on disk is unknown

  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Pack>> packs_;
  std::unordered_map<PackId, std::shared_ptr<Pack>> by_id_;
  std::shared_ptr<Pack> open_;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t used_ = 0;
  PackTail tail_;
  bool folder_dirty_ = false;
  std::list<std::pair<PackId, std::shared_ptr<File>>> handles_;  // newest first
};

}  // namespace spatter
