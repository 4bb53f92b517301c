// One SQLite database of a server (user half, server half), in WAL mode, with group commit: writes
// that arrive while a commit is under way share the next one, so that a thousand small
// acknowledgements a second cost a few hundred fsyncs.
//
// Durability: when write() completes successfully, its changes are on stable storage
// (synchronous=FULL). Locking is exclusive: a second process gets Errc::busy.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/runtime.h"
#include "base/sync.h"

struct sqlite3;
struct sqlite3_stmt;

namespace spatter {

/// A prepared statement being used. Columns and parameters count from 0 and 1, as in SQLite.
/// Blobs bound or read are copied. Any SQLite failure is remembered; step() then reports it.
class Statement {
 public:
  /// A compiled statement in the connection's cache.
  struct Compiled {
    sqlite3_stmt* statement = nullptr;
    bool in_use = false;
  };
  Statement(sqlite3* db, Compiled* compiled) : db_(db), compiled_(compiled) {}
  Statement(Statement&& other) noexcept;
  ~Statement();  ///< resets; the cache keeps the compiled form

  Statement& bind(int parameter, std::int64_t value);
  Statement& bind(int parameter, double value);
  Statement& bind_text(int parameter, std::string_view text);
  Statement& bind_blob(int parameter, ByteView bytes);
  Statement& bind_null(int parameter);

  Result<bool> step();  ///< true: a row is there; false: done
  Result<void> run();   ///< steps to the end

  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  Bytes blob(int column) const;
  ByteView blob_view(int column) const;  ///< until the next step
  bool is_null(int column) const;

 private:
  sqlite3_stmt* raw() const { return compiled_->statement; }
  void note(int code);

  sqlite3* db_;
  Compiled* compiled_;  // none once moved from
  int failure_ = 0;     // the first failed bind
};

/// The connection inside a read or write: use it only during that call.
class Connected {
 public:
  virtual ~Connected() = default;
  /// Compiled once per text and kept, so the texts should be few: bind what varies.
  virtual Result<Statement> prepare(std::string_view sql) = 0;
  virtual Result<void> execute(std::string_view sql) = 0;  ///< one or more statements, no results
  virtual std::int64_t changes() const = 0;
  virtual std::int64_t last_row_id() const = 0;
};

/// close() must have been awaited before it dies.
class Database {
 public:
  /// Opens or makes `path` on the Runtime's disk, and brings its schema to the newest version:
  /// `migrations[i]` takes version i (PRAGMA user_version) to i + 1, each in one transaction.
  /// A database of a higher version than known is refused with Errc::newer_format.
  static Task<Result<std::unique_ptr<Database>>> open(Runtime& runtime, std::string path,
                                                      std::vector<std::string> migrations);
  virtual ~Database() = default;

  using Work = std::function<Result<void>(Connected&)>;
  /// Runs `work` in a transaction off the executor; durable on return. When `work` returns an
  /// error its changes are rolled back alone, those of the writes sharing the commit stay; when the
  /// commit fails, all that share it do. Not cancellable: `work` may borrow from the caller's frame.
  virtual Task<Result<void>> write(Work work) = 0;
  /// Runs `work` against the newest durable state, off the executor. It must not write. Reads wait
  /// for at most one commit. Not cancellable.
  virtual Task<Result<void>> read(Work work) = 0;

  /// write / read with a value.
  template <class T>
  Task<Result<T>> write_for(std::function<Result<T>(Connected&)> work) {
    return with_value<T>(&Database::write, std::move(work));
  }
  template <class T>
  Task<Result<T>> read_for(std::function<Result<T>(Connected&)> work) {
    return with_value<T>(&Database::read, std::move(work));
  }

  /// How long the write-ahead log beside the database may become before it is moved into it (32 MiB
  /// otherwise): with `bytes` it takes at most that and what one commit writes.
  virtual Task<Result<void>> limit_log(std::uint64_t bytes) = 0;

  /// Waits for what is under way, checkpoints and closes. Later calls fail with Errc::cancelled.
  virtual Task<void> close() = 0;

 private:
  template <class T>
  Task<Result<T>> with_value(Task<Result<void>> (Database::*how)(Work),
                             std::function<Result<T>(Connected&)> work) {
    std::optional<T> value;
    Work wrapped = [&value, &work](Connected& db) -> Result<void> {
      auto result = work(db);
      if (!result) return std::unexpected(std::move(result).error());
      value.emplace(std::move(*result));
      return {};
    };
    auto done = co_await (this->*how)(std::move(wrapped));
    if (!done) co_return std::unexpected(std::move(done).error());
    co_return std::move(*value);
  }
};

}  // namespace spatter
