#include "sqlite_connection.h"

#include <sqlite3.h>

namespace spatter {
namespace {

Errc code_of(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL: return Errc::no_space;
    case SQLITE_BUSY: return Errc::busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Errc::corrupt;
    case SQLITE_CONSTRAINT:
      return code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_UNIQUE ||
                     code == SQLITE_CONSTRAINT_ROWID
                 ? Errc::exists
                 : Errc::invalid;
    case SQLITE_TOOBIG:
    case SQLITE_LOCKED:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR:
    case SQLITE_MISUSE: return Errc::invalid;
    default: return Errc::io;
  }
}

Error error_of(sqlite3* db, int code, std::string_view attempt) {
  const char* file = sqlite3_db_filename(db, "main");
  const std::string_view name = file == nullptr ? "the database" : file;
  switch (code_of(code)) {
    case Errc::busy: return {Errc::busy, fmt::format("another process uses {}", name)};
    case Errc::corrupt:
      return {Errc::corrupt, fmt::format("{} is damaged ({})", name, sqlite3_errstr(code))};
    case Errc::no_space: return {Errc::no_space, fmt::format("{}: the disk is full", name)};
    default: break;
  }
  // The connection's message tells more than the code's, if it is about this failure.
  const bool is_last = (sqlite3_extended_errcode(db) & 0xff) == (code & 0xff);
  return {code_of(code), fmt::format("{}: {}: {}", name, attempt,
                                     is_last ? sqlite3_errmsg(db) : sqlite3_errstr(code))};
}

int note_log_pages(void* pages, sqlite3*, const char*, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_),
      compiled_(std::exchange(other.compiled_, nullptr)),
      failure_(other.failure_) {}

Statement::~Statement() {
  if (compiled_ == nullptr) return;
  sqlite3_reset(raw());
  sqlite3_clear_bindings(raw());
  compiled_->in_use = false;
}

void Statement::note(int code) {
  if (code != SQLITE_OK && failure_ == SQLITE_OK) failure_ = code;
}

Statement& Statement::bind(int parameter, std::int64_t value) {
  note(sqlite3_bind_int64(raw(), parameter, value));
  return *this;
}
Statement& Statement::bind(int parameter, double value) {
  note(sqlite3_bind_double(raw(), parameter, value));
  return *this;
}
Statement& Statement::bind_text(int parameter, std::string_view text) {
  const char* data = text.data() == nullptr ? "" : text.data();  // a null pointer would bind NULL
  note(sqlite3_bind_text64(raw(), parameter, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}
Statement& Statement::bind_blob(int parameter, ByteView bytes) {
  const void* data = bytes.data() == nullptr ? static_cast<const void*>("") : bytes.data();
  note(sqlite3_bind_blob64(raw(), parameter, data, bytes.size(), SQLITE_TRANSIENT));
  return *this;
}
Statement& Statement::bind_null(int parameter) {
  note(sqlite3_bind_null(raw(), parameter));
  return *this;
}

Result<bool> Statement::step() {
  const int code = failure_ != SQLITE_OK ? failure_ : sqlite3_step(raw());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(raw());  // so that the next step() starts over, with new bindings if given
    return false;
  }
  auto error = error_of(db_, code, sqlite3_sql(raw()));
  sqlite3_reset(raw());
  return fail(std::move(error));
}

Result<void> Statement::run() {
  for (;;) {
    TRY(const bool row, step());
    if (!row) return {};
  }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(raw(), column); }
double Statement::real(int column) const { return sqlite3_column_double(raw(), column); }
std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(raw(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(raw(), column))};
}
ByteView Statement::blob_view(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(raw(), column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(raw(), column))};
}
Bytes Statement::blob(int column) const { return to_bytes(blob_view(column)); }
bool Statement::is_null(int column) const {
  return sqlite3_column_type(raw(), column) == SQLITE_NULL;
}

Error SqliteConnection::failure(int code, std::string_view attempt) const {
  return error_of(db_, code, attempt);
}

Result<void> SqliteConnection::exec(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail(failure(code, sql));
  return {};
}

Result<void> SqliteConnection::execute(std::string_view sql) {
  SPATTER_ASSERT(!reading_);
  return exec(std::string(sql).c_str());
}

Result<Statement> SqliteConnection::prepare(std::string_view sql) {
  auto place = compiled_.find(sql);
  if (place == compiled_.end()) place = compiled_.emplace(sql, 0).first;
  for (Statement::Compiled& compiled : place->second) {
    if (compiled.in_use) continue;
    SPATTER_ASSERT(!reading_ || sqlite3_stmt_readonly(compiled.statement));
    compiled.in_use = true;
    return Statement(db_, &compiled);
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return fail(failure(code, sql));
  SPATTER_ASSERT(statement != nullptr);  // an empty text compiles to nothing
  SPATTER_ASSERT(!reading_ || sqlite3_stmt_readonly(statement));
  return Statement(db_, &place->second.emplace_back(statement, true));
}

std::int64_t SqliteConnection::changes() const { return sqlite3_changes64(db_); }
std::int64_t SqliteConnection::last_row_id() const { return sqlite3_last_insert_rowid(db_); }

Result<void> SqliteConnection::open(Disk& disk, const std::string& path,
                                    const std::vector<std::string>& migrations) {
  const std::string name = disk.sqlite_path(path);
  const int code = sqlite3_open_v2(
      name.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
      disk.sqlite_vfs().c_str());
  if (db_ == nullptr) return fail(Errc::io, "{}: out of memory", name);
  if (code != SQLITE_OK) return fail(failure(code, "open"));
  sqlite3_extended_result_codes(db_, 1);
  // The lock comes first: in exclusive mode the log needs no shared memory. Debian's SQLite would
  // overwrite what is deleted, which doubles the writes of every deletion and the log with them.
  TRY_VOID(exec("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192;"
                "PRAGMA journal_size_limit=67108864; PRAGMA secure_delete=OFF"));
  sqlite3_wal_hook(db_, note_log_pages, &log_pages_);  // in place of the automatic checkpoint
  TRY_VOID(migrate(migrations));
  const std::size_t slash = path.rfind('/');
  return disk.sync_directory(slash == std::string::npos ? "" : path.substr(0, slash));
}

void SqliteConnection::close() {
  if (db_ == nullptr) return;
  for (auto& [sql, list] : compiled_)
    for (Statement::Compiled& compiled : list) sqlite3_finalize(compiled.statement);
  compiled_.clear();
  const int code = sqlite3_close(db_);
  SPATTER_ASSERT(code == SQLITE_OK);
  db_ = nullptr;
}

Result<void> SqliteConnection::migrate(const std::vector<std::string>& migrations) {
  std::size_t version = 0;
  {
    TRY(auto query, prepare("PRAGMA user_version"));
    TRY_VOID(query.step());
    version = static_cast<std::size_t>(query.integer(0));
  }
  if (version > migrations.size())
    return fail(Errc::newer_format,
                "{} was written by a newer Spatter (format {}, this one knows {}): update this one",
                sqlite3_db_filename(db_, "main"), version, migrations.size());
  for (; version < migrations.size(); ++version) {
    TRY_VOID(exec("BEGIN IMMEDIATE"));
    auto done = execute(migrations[version]);
    if (done) done = execute(fmt::format("PRAGMA user_version={}; COMMIT", version + 1));
    if (!done) {
      if (!sqlite3_get_autocommit(db_)) (void)exec("ROLLBACK");
      return done;
    }
  }
  // Takes the lock even when there was nothing to migrate.
  return exec("BEGIN EXCLUSIVE; COMMIT");
}

Result<void> SqliteConnection::run_one(const Database::Work& work) {
  TRY_VOID(exec("SAVEPOINT work"));
  auto done = work(*this);
  if (!done && !sqlite3_get_autocommit(db_)) TRY_VOID(exec("ROLLBACK TO work"));
  if (!sqlite3_get_autocommit(db_)) TRY_VOID(exec("RELEASE work"));
  return done;
}

std::vector<Result<void>> SqliteConnection::commit(std::span<const Database::Work* const> works) {
  std::vector<Result<void>> results;
  auto all_fail = [&](const Error& error) {
    // Whoever failed by himself keeps his own reason.
    for (auto& result : results)
      if (result) result = fail(error);
    results.resize(works.size(), fail(error));
    return std::move(results);
  };
  if (auto begun = exec("BEGIN IMMEDIATE"); !begun) return all_fail(begun.error());
  for (const Database::Work* work : works) {
    results.push_back(run_one(*work));
    // A full disk or a failed read can end the whole transaction: nothing of it is left.
    if (sqlite3_get_autocommit(db_)) {
      const Error error = results.back() ? Error{Errc::io, "the shared transaction was rolled back"}
                                         : results.back().error();
      return all_fail(error);
    }
  }
  if (auto committed = exec("COMMIT"); !committed) {
    if (!sqlite3_get_autocommit(db_)) (void)exec("ROLLBACK");
    return all_fail(committed.error());
  }
  if (log_pages_ > log_pages_max_) checkpoint(0);
  return results;
}

Result<void> SqliteConnection::read(const Database::Work& work) {
  reading_ = true;
  auto done = work(*this);
  reading_ = false;
  return done;
}

Result<void> SqliteConnection::limit_log(std::uint64_t bytes) {
  log_pages_max_ = static_cast<int>(std::clamp<std::uint64_t>(bytes / 4096, 16, 1 << 20));
  return exec(fmt::format("PRAGMA journal_size_limit={}", bytes).c_str());
}

void SqliteConnection::checkpoint(int pages_least) {
  if (db_ == nullptr || log_pages_ <= pages_least) return;
  // A failure leaves everything in the log, where it is as safe; the next commit tries again.
  const int mode = log_pages_ > 2 * log_pages_max_ ? SQLITE_CHECKPOINT_TRUNCATE
                                                   : SQLITE_CHECKPOINT_PASSIVE;
  if (sqlite3_wal_checkpoint_v2(db_, nullptr, mode, nullptr, nullptr) == SQLITE_OK)
    log_pages_ = 0;
}

}  // namespace spatter
