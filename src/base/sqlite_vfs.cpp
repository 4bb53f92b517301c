#include "base/sqlite_vfs.h"

#include <sqlite3.h>

#include <atomic>

namespace spatter {

struct SqliteVfs::State {
  explicit State(Disk& disk) : disk(disk) {}
  Disk& disk;
  std::string name;
  sqlite3_vfs vfs{};
  std::mutex mutex;
  std::map<std::string, const void*> locks;  // path to the handle that holds a lock on it
};

namespace {

using State = SqliteVfs::State;

struct Handle {
  State* state;
  std::unique_ptr<File> file;
  std::string path;
  int lock_level = SQLITE_LOCK_NONE;
  bool directory_pending = false;  // a new log's name is made durable with its first sync
  bool is_log = false;
  /// The end of a log, not handed to the file yet. SQLite writes each page's header and the page by
  /// themselves; a commit of a dozen pages then costs one call instead of two dozen. Nobody else reads
  /// the file (the database is open once, exclusively), and nothing counts before its sync.
  std::vector<std::uint8_t> pending;
  std::uint64_t pending_at = 0;

  Result<void> flush() {
    if (pending.empty()) return {};
    auto done = file->write_at(pending_at, pending);
    pending.clear();
    return done;
  }
};

constexpr std::size_t max_pending_bytes = 256 << 10;

/// What SQLite allocates: its own header and a pointer to ours.
struct Slot {
  sqlite3_file base;
  Handle* handle;
};

Handle& handle_of(sqlite3_file* file) { return *reinterpret_cast<Slot*>(file)->handle; }
State& state_of(sqlite3_vfs* vfs) { return *static_cast<State*>(vfs->pAppData); }

int code_of(const Error& error, int otherwise) {
  return error.code == Errc::no_space ? SQLITE_FULL : otherwise;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

int unlock_to(Handle& handle, int level) {
  if (level == SQLITE_LOCK_NONE && handle.lock_level != SQLITE_LOCK_NONE) {
    std::lock_guard guard(handle.state->mutex);
    handle.state->locks.erase(handle.path);
  }
  handle.lock_level = level;
  return SQLITE_OK;
}

int file_close(sqlite3_file* file) {
  Handle* handle = &handle_of(file);
  (void)handle->flush();  // what was to be kept has been synced
  unlock_to(*handle, SQLITE_LOCK_NONE);
  delete handle;
  return SQLITE_OK;
}

int file_read(sqlite3_file* file, void* out, int count, sqlite3_int64 offset) {
  const MutableBytes bytes(static_cast<std::uint8_t*>(out), static_cast<std::size_t>(count));
  Handle& handle = handle_of(file);
  if (const auto done = handle.flush(); !done) return code_of(done.error(), SQLITE_IOERR_WRITE);
  const auto got = handle.file->read_at(static_cast<std::uint64_t>(offset), bytes);
  if (!got) return SQLITE_IOERR_READ;
  if (*got == bytes.size()) return SQLITE_OK;
  std::ranges::fill(bytes.subspan(*got), 0);  // SQLite demands it
  return SQLITE_IOERR_SHORT_READ;
}

int file_write(sqlite3_file* file, const void* data, int count, sqlite3_int64 offset) {
  Handle& handle = handle_of(file);
  const ByteView bytes(static_cast<const std::uint8_t*>(data), static_cast<std::size_t>(count));
  const auto at = static_cast<std::uint64_t>(offset);
  const bool continues = !handle.pending.empty() && at == handle.pending_at + handle.pending.size();
  if (!continues || handle.pending.size() + bytes.size() > max_pending_bytes)
    if (const auto done = handle.flush(); !done) return code_of(done.error(), SQLITE_IOERR_WRITE);
  if (handle.is_log && bytes.size() <= max_pending_bytes) {
    if (handle.pending.empty()) handle.pending_at = at;
    handle.pending.insert(handle.pending.end(), bytes.begin(), bytes.end());
    return SQLITE_OK;
  }
  const auto done = handle.file->write_at(at, bytes);
  return done ? SQLITE_OK : code_of(done.error(), SQLITE_IOERR_WRITE);
}

int file_truncate(sqlite3_file* file, sqlite3_int64 size) {
  Handle& handle = handle_of(file);
  if (const auto done = handle.flush(); !done) return code_of(done.error(), SQLITE_IOERR_WRITE);
  const auto done = handle.file->truncate(static_cast<std::uint64_t>(size));
  return done ? SQLITE_OK : code_of(done.error(), SQLITE_IOERR_TRUNCATE);
}

int file_sync(sqlite3_file* file, int) {
  Handle& handle = handle_of(file);
  if (const auto done = handle.flush(); !done) return code_of(done.error(), SQLITE_IOERR_WRITE);
  if (const auto done = handle.file->sync(); !done)
    return code_of(done.error(), SQLITE_IOERR_FSYNC);
  if (handle.directory_pending) {
    if (!handle.state->disk.sync_directory(parent_of(handle.path))) return SQLITE_IOERR_DIR_FSYNC;
    handle.directory_pending = false;
  }
  return SQLITE_OK;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  Handle& handle = handle_of(file);
  if (const auto done = handle.flush(); !done) return code_of(done.error(), SQLITE_IOERR_WRITE);
  const auto got = handle.file->size();
  if (!got) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(*got);
  return SQLITE_OK;
}

int file_lock(sqlite3_file* file, int level) {
  Handle& handle = handle_of(file);
  std::lock_guard guard(handle.state->mutex);
  const auto [place, is_new] = handle.state->locks.try_emplace(handle.path, &handle);
  if (!is_new && place->second != &handle) return SQLITE_BUSY;
  handle.lock_level = std::max(handle.lock_level, level);
  return SQLITE_OK;
}

int file_unlock(sqlite3_file* file, int level) { return unlock_to(handle_of(file), level); }

int file_check_reserved(sqlite3_file* file, int* reserved) {
  Handle& handle = handle_of(file);
  std::lock_guard guard(handle.state->mutex);
  *reserved = handle.state->locks.contains(handle.path);
  return SQLITE_OK;
}

int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int file_sector_size(sqlite3_file*) { return 4096; }
int file_characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

const sqlite3_io_methods file_methods = {
    .iVersion = 1,  // no shared memory
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

std::string path_of(const char* name) { return name[0] == '/' ? name + 1 : name; }

/// A nameless scratch file: removed while open.
Result<std::unique_ptr<File>> open_scratch(Disk& disk) {
  static std::atomic<unsigned> number = 0;
  const std::string path = fmt::format("sqlite-scratch-{}", number++);
  TRY(auto file, disk.open(path, OpenMode::create));
  TRY_VOID(disk.remove(path));
  return file;
}

int vfs_open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  State& state = state_of(vfs);
  file->pMethods = nullptr;
  const std::string path = name == nullptr ? "" : path_of(name);
  const OpenMode mode = (flags & SQLITE_OPEN_READONLY) ? OpenMode::read
                        : (flags & SQLITE_OPEN_CREATE) ? OpenMode::create
                                                       : OpenMode::read_write;
  const bool is_log = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
  const bool is_new = is_log && !state.disk.stat(path);
  auto opened = name == nullptr ? open_scratch(state.disk) : state.disk.open(path, mode);
  if (!opened) return code_of(opened.error(), SQLITE_CANTOPEN);
  auto* slot = reinterpret_cast<Slot*>(file);
  slot->handle = new Handle{&state, std::move(*opened), path, SQLITE_LOCK_NONE, is_new, is_log};
  file->pMethods = &file_methods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int vfs_delete(sqlite3_vfs* vfs, const char* name, int sync_directory) {
  Disk& disk = state_of(vfs).disk;
  const std::string path = path_of(name);
  if (const auto done = disk.remove(path); !done)
    return done.error().code == Errc::not_found ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
  if (sync_directory && !disk.sync_directory(parent_of(path))) return SQLITE_IOERR_DIR_FSYNC;
  return SQLITE_OK;
}

int vfs_access(sqlite3_vfs* vfs, const char* name, int flags, int* answer) {
  const auto entry = state_of(vfs).disk.stat(path_of(name));
  // An empty journal counts as none, as in SQLite's own VFS.
  *answer = entry && (flags != SQLITE_ACCESS_EXISTS || entry->size > 0);
  return SQLITE_OK;
}

int vfs_full_pathname(sqlite3_vfs*, const char* name, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}

int vfs_randomness(sqlite3_vfs*, int size, char* out) {
  // Only log salts and scratch names come from here; a run must be the same every time.
  std::memset(out, 0x5a, static_cast<std::size_t>(size));
  return size;
}

int vfs_sleep(sqlite3_vfs*, int microseconds) { return microseconds; }

int vfs_current_time(sqlite3_vfs*, double* julian_day) {
  *julian_day = 2440587.5;  // 1970: Spatter never asks SQLite for the time
  return SQLITE_OK;
}

}  // namespace

SqliteVfs::SqliteVfs(Disk& disk) : state_(std::make_unique<State>(disk)) {
  static std::atomic<unsigned> number = 0;
  state_->name = fmt::format("spatter-disk-{}", number++);
  state_->vfs = {
      .iVersion = 1,
      .szOsFile = sizeof(Slot),
      .mxPathname = 1024,
      .pNext = nullptr,
      .zName = state_->name.c_str(),
      .pAppData = state_.get(),
      .xOpen = vfs_open,
      .xDelete = vfs_delete,
      .xAccess = vfs_access,
      .xFullPathname = vfs_full_pathname,
      .xRandomness = vfs_randomness,
      .xSleep = vfs_sleep,
      .xCurrentTime = vfs_current_time,
  };
  sqlite3_vfs_register(&state_->vfs, 0);
}

SqliteVfs::~SqliteVfs() { sqlite3_vfs_unregister(&state_->vfs); }

const std::string& SqliteVfs::name() const { return state_->name; }

}  // namespace spatter
