// Opening a volume and the group commit through which every change goes.
//
// One write of the database carries all operations that came while the last one was under way. In
// it: every operation edits the tables (each in a savepoint, so that one that fails takes nothing
// else along), the records of all are appended to the open pack, the pack is synced, and the rows of
// packs and counters are written. Only then does the database commit. So whatever the database knows
// is in the packs, and what a crash leaves in a pack beyond that was never acknowledged.
#include "volume_impl.h"

namespace spatter {

namespace {
constexpr std::size_t log_entry_bytes_max = 1 << 20;
constexpr std::size_t batch_operations_max = 256;

// Keyed and constant: what the volume's own key makes of a fixed text.
Key gear_key(const VolumeKeys& keys) {
  return Key(keys.chunks.id(as_bytes("spatter/1 gear table")).bytes);
}
}  // namespace

struct VolumeImpl::Batch {
  std::vector<std::shared_ptr<Commit>> commits;
  bool cut = false;
  std::int64_t now_ns = 0;
  // Filled by the database's thread.
  std::vector<Error> errors;  // per commit; Errc::ok: it went through
  StateRow state;
  StatsDelta stats;
  std::map<std::uint64_t, std::int64_t> live;
  bool orphaned = false;
  PackFiles::Recorded recorded;
};

VolumeImpl::VolumeImpl(Runtime& runtime, Database& database, VolumeKeys keys,
                       VolumeOptions options)
    : runtime_(runtime),
      database_(database),
      keys_(std::move(keys)),
      options_(std::move(options)),
      gear_(gear_key(keys_)),
      tasks_(runtime.executor()),
      reaper_(runtime.executor()),
      flight_(runtime.executor(), options_.flight_bytes),
      read_flight_(runtime.executor(), std::max<std::size_t>(options_.cache_bytes, 8 << 20)),
      cache_(std::make_shared<ChunkCache>(options_.cache_bytes)),
      reserve_(runtime, options_.packs.folder + ".reserve"),
      queued_(runtime.executor()),
      orphaned_(runtime.executor()) {}

VolumeImpl::~VolumeImpl() = default;

Task<Result<std::unique_ptr<Volume>>> Volume::open(Runtime& runtime, Database& database,
                                                   VolumeKeys keys, VolumeOptions options) {
  auto volume = std::make_unique<VolumeImpl>(runtime, database, std::move(keys), std::move(options));
  CO_TRY_VOID(co_await volume->start());
  co_return volume;
}

Task<Result<void>> VolumeImpl::start() {
  auto stored = co_await volume_of(database_);
  CO_TRY(VolumeId known, std::move(stored));
  if (!known.is_zero() && !options_.volume.is_zero() && known != options_.volume)
    co_return fail(Errc::invalid, "the database holds volume {}, not {}", known, options_.volume);
  if (!known.is_zero()) options_.volume = known;
  if (options_.volume.is_zero()) options_.volume = runtime_.entropy().id<VolumeId>();

  CO_TRY(store_, co_await PackFiles::open(runtime_, database_, keys_, options_.volume,
                                          options_.packs));
  struct Loaded {
    StateRow state;
    StatsDelta totals;
    bool orphans = false;
  };
  auto loaded = std::make_shared<Loaded>();
  const VolumeId volume = options_.volume;
  const std::int64_t now_ns = runtime_.wall_ms() * 1'000'000;
  CO_TRY_VOID(co_await database_.write([loaded, volume, now_ns](Connected& db) -> Result<void> {
    TRY(loaded->state, read_state(db));
    if (loaded->state.volume.is_zero()) {
      loaded->state.volume = volume;
      TRY_VOID(write_state(db, loaded->state));
    }
    TRY(auto root, TreeView(db).inode(root_inode));
    if (!root) TRY_VOID(make_root(db, now_ns));
    TRY(auto inodes, db.prepare("SELECT mode & 61440, count(*), sum(size) FROM inodes "
                                "GROUP BY mode & 61440"));
    while (true) {
      TRY(bool row, inodes.step());
      if (!row) break;
      const std::int64_t type = inodes.integer(0);
      if (type == mode_directory) {
        loaded->totals.directories = inodes.integer(1);
      } else if (type == mode_file) {
        loaded->totals.files = inodes.integer(1);
        loaded->totals.file_bytes = inodes.integer(2);
      } else {
        loaded->totals.others += inodes.integer(1);
      }
    }
    TRY(auto chunks, db.prepare("SELECT count(*), total(body) FROM chunks WHERE refs > 0"));
    TRY(bool row, chunks.step());
    if (row) {
      loaded->totals.chunks = chunks.integer(0);
      loaded->totals.live_bytes =
          static_cast<std::int64_t>(chunks.real(1)) + chunks.integer(0) * std::int64_t{pack_header_bytes};
    }
    TRY(auto orphans, db.prepare("SELECT 1 FROM orphans LIMIT 1"));
    TRY(loaded->orphans, orphans.step());
    return {};
  }));
  totals_ = loaded->totals;
  log_state_.volume = volume;
  log_state_.last_log = loaded->state.last_log;
  log_state_.snapshot = loaded->state.snapshot;
  log_state_.snapshot_covers = loaded->state.snapshot_covers;
  snapshot_bytes_ = loaded->state.snapshot_bytes;
  log_bytes_ = loaded->state.log_bytes;
  for (const PackInfo& pack : store_->list())
    if (log_state_.snapshot != 0 && pack.snapshot == log_state_.snapshot)
      log_state_.snapshot_packs.push_back(pack.id);
  if (loaded->orphans) orphaned_.set();
  tasks_.spawn(commit_loop());
  if (options_.at_rest) co_return Result<void>{};
  co_await runtime_.blocking([this] { reserve_.keep(); });
  reaper_.spawn(reap_loop());
  co_return Result<void>{};
}

Task<void> VolumeImpl::stop() {
  co_await reaper_.stop();
  stopping_ = true;
  queued_.set();
  co_await tasks_.drain();
  co_await store_->stop();
  cache_->clear();
}

Task<Result<PackPosition>> VolumeImpl::commit(Operation operation, CommitOptions options) {
  auto commit = std::make_shared<Commit>(runtime_.executor());
  commit->operation = std::move(operation);
  commit->options = options;
  co_return co_await enqueue(std::move(commit));
}

Task<Result<PackPosition>> VolumeImpl::commit_freeing(Operation operation) {
  auto commit = std::make_shared<Commit>(runtime_.executor());
  commit->operation = std::move(operation);
  commit->frees = true;
  co_return co_await enqueue(std::move(commit));
}

Task<Result<PackPosition>> VolumeImpl::enqueue(std::shared_ptr<Commit> commit) {
  if (stopping_) co_return fail(Errc::cancelled, "the volume is being closed");
  queue_.push_back(commit);
  queued_.set();
  co_await commit->done.wait();
  co_return std::move(*commit->result);
}

std::shared_ptr<VolumeImpl::Batch> VolumeImpl::next_batch() {
  auto batch = std::make_shared<Batch>();
  const bool only_freeing = queue_.front()->again;
  while (!queue_.empty() && batch->commits.size() < batch_operations_max) {
    if (only_freeing && !queue_.front()->frees) break;
    batch->cut |= queue_.front()->options.cut;
    batch->commits.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  batch->now_ns = runtime_.wall_ms() * 1'000'000;
  return batch;
}

// Of a batch for which the disk has no room, what makes room is tried once more with the reserve's,
// and the rest fails. False when there is nothing to try.
Task<bool> VolumeImpl::make_room(Batch& batch, const Error& error) {
  const bool any = std::ranges::any_of(batch.commits, [](auto& commit) { return commit->frees; });
  if (!any || !co_await runtime_.blocking([this] { return reserve_.give_up(); })) co_return false;
  for (auto it = batch.commits.rbegin(); it != batch.commits.rend(); ++it) {
    Commit& commit = **it;
    if (commit.frees) {
      commit.again = true;
      queue_.push_front(std::move(*it));
      continue;
    }
    commit.operation = nullptr;
    commit.result = fail(error);
    commit.done.set();
  }
  co_return true;
}

Task<void> VolumeImpl::commit_loop() {
  while (true) {
    if (queue_.empty()) {
      if (stopping_) co_return;
      queued_.reset();
      co_await queued_.wait();
      continue;
    }
    auto batch = next_batch();
    committing_ = true;
    auto done = co_await database_.write(
        [this, batch](Connected& db) -> Result<void> { return run_batch(db, *batch); });
    committing_ = false;
    if (!done && done.error().code == Errc::no_space && co_await make_room(*batch, done.error())) continue;
    if (done) {
      store_->committed(batch->recorded);
      store_->add_live(batch->live);
      totals_.add(batch->stats);
      log_state_.last_log = batch->state.last_log;
      log_bytes_ = batch->state.log_bytes;
      if (batch->orphaned) orphaned_.set();
    }
    for (std::size_t i = 0; i < batch->commits.size(); ++i) {
      Commit& commit = *batch->commits[i];
      commit.operation = nullptr;  // what it owns dies here, on the executor
      if (i < batch->errors.size() && batch->errors[i].code != Errc::ok)
        commit.result = fail(std::move(batch->errors[i]));
      else if (!done)
        commit.result = fail(done.error());
      else
        commit.result = batch->recorded.end;
      commit.done.set();
    }
    store_->publish_sealed();
  }
}

Result<void> VolumeImpl::run_batch(Connected& db, Batch& batch) {
  batch.errors.assign(batch.commits.size(), Error{Errc::ok, {}});
  TRY(batch.state, read_state(db));
  TRY_VOID(store_->begin_commit(batch.state.last_log));
  std::vector<wire::Changes> records;
  for (std::size_t i = 0; i < batch.commits.size(); ++i) {
    StateRow state = batch.state;
    TreeEdit edit(db, state, TreeEdit::Mode::live, batch.now_ns);
    TRY_VOID(db.execute("SAVEPOINT operation"));
    Result<void> done = batch.commits[i]->operation(edit);
    if (!done) {
      TRY_VOID(db.execute("ROLLBACK TO operation; RELEASE operation"));
      batch.errors[i] = std::move(done).error();
      continue;
    }
    TRY_VOID(db.execute("RELEASE operation"));
    batch.state = state;
    batch.stats.add(edit.stats());
    batch.orphaned |= edit.orphaned();
    for (auto [sequence, bytes] : edit.live()) batch.live[sequence] += bytes;
    for (wire::Changes& changes : edit.records())
      if (changes.ByteSizeLong() > 0) records.push_back(std::move(changes));
  }
  TRY_VOID(append_log(batch, batch.state, std::move(records)));
  if (batch.cut) TRY_VOID(store_->pad());
  TRY(batch.recorded, store_->record(db));
  for (const PackInfo& row : batch.recorded.rows)
    batch.state.next_sequence = std::max(batch.state.next_sequence, row.sequence + 1);
  for (auto [sequence, bytes] : batch.live) {
    if (bytes == 0) continue;
    TRY(auto update, db.prepare("UPDATE packs SET live = live + ? WHERE sequence = ?"));
    TRY_VOID(update.bind(1, bytes).bind(2, i64(sequence)).run());
  }
  return write_state(db, batch.state);
}

Result<void> VolumeImpl::append_log(Batch&, StateRow& state, std::vector<wire::Changes> records) {
  for (std::size_t i = 0; i < records.size();) {
    wire::LogEntry entry;
    entry.set_first(state.last_log + 1);
    std::size_t bytes = 0;
    do {
      bytes += records[i].ByteSizeLong();
      *entry.add_records() = std::move(records[i]);
      ++i;
    } while (i < records.size() && bytes + records[i].ByteSizeLong() < log_entry_bytes_max);
    if (bytes > pack_body_bytes_max - (64 << 10))
      return fail(Errc::invalid, "a change of {} bytes is too large for the log", bytes);
    const std::string body = entry.SerializeAsString();
    TRY_VOID(store_->append_record(EntryType::log, entry.first(),
                                   static_cast<std::uint32_t>(entry.records_size()),
                                   as_bytes(body)));
    state.last_log += static_cast<std::uint64_t>(entry.records_size());
    state.log_bytes += body.size() + pack_header_bytes;
  }
  return {};
}

Task<Result<PackPosition>> VolumeImpl::flush(CommitOptions options) {
  // With nothing on its way, all is recorded already; cut() is free when the end lies right, too.
  if (queue_.empty() && !committing_ && !stopping_) {
    if (options.cut) co_return co_await store_->cut();
    co_return store_->end();
  }
  co_return co_await commit([](TreeEdit&) -> Result<void> { return {}; }, options);
}

Task<Result<VolumeStats>> VolumeImpl::stats() {
  VolumeStats stats;
  stats.files = u64(totals_.files);
  stats.directories = u64(totals_.directories);
  stats.others = u64(totals_.others);
  stats.file_bytes = u64(totals_.file_bytes);
  stats.chunks = u64(totals_.chunks);
  stats.live_bytes = u64(totals_.live_bytes);
  stats.used_bytes = store_->used_bytes();
  stats.limit_bytes = store_->limit_bytes();
  co_return stats;
}

// ---- freeing ----

Task<void> VolumeImpl::reap_loop() {
  while (true) {
    co_await orphaned_.wait();
    orphaned_.reset();
    // Removals come in bursts.
    co_await runtime_.sleep(std::chrono::milliseconds(200));
    if (auto done = co_await reap(); !done)
      runtime_.log().warning("freeing removed files: {}", done.error().message);
  }
}

// An orphan that is committed can't be opened any more by a reader that starts to look it up after
// this; one that is still looking it up is counted in `opening`.
Task<Result<void>> VolumeImpl::reap() {
  std::uint64_t after = 0;
  while (true) {
    if (opening > 0) {
      orphaned_.set();
      co_return Result<void>{};
    }
    std::function<Result<std::uint64_t>(Connected&)> next =
        [after](Connected& db) -> Result<std::uint64_t> {
      TRY(auto select, db.prepare("SELECT min(content) FROM orphans WHERE content > ?"));
      select.bind(1, i64(after));
      TRY(bool row, select.step());
      return row && !select.is_null(0) ? u64(select.integer(0)) : 0;
    };
    CO_TRY(std::uint64_t content, co_await database_.read_for<std::uint64_t>(std::move(next)));
    if (content == 0) break;
    after = content;
    if (open_contents.contains(content)) continue;  // its last reader wakes us
    auto emptied = std::make_shared<bool>(false);
    while (!*emptied) {
      CO_TRY_VOID(co_await commit_freeing([content, emptied](TreeEdit& edit) -> Result<void> {
        TRY(*emptied, edit.free_content(content, 2000));
        if (!*emptied) return {};
        TRY(auto remove, edit.db().prepare("DELETE FROM orphans WHERE content = ?"));
        return remove.bind(1, i64(content)).run();
      }));
    }
  }
  co_await runtime_.blocking([this] { reserve_.keep(); });
  co_return Result<void>{};
}

}  // namespace spatter
