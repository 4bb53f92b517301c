// One SQLite connection in WAL mode, used by one thread at a time, with its statement cache and
// SQLite's failures turned into Errors that name the file.
#pragma once

#include <list>
#include <map>

#include "base/database.h"

namespace spatter {

class SqliteConnection final : public Connected {
 public:
  SqliteConnection() = default;
  SqliteConnection(const SqliteConnection&) = delete;
  ~SqliteConnection() override { close(); }

  /// Opens, takes the exclusive lock and migrates; `name` is the file in messages.
  Result<void> open(Disk& disk, const std::string& path, const std::vector<std::string>& migrations);
  void close();
  bool is_open() const { return db_ != nullptr; }

  /// Commits what all of `works` did, each in a savepoint of its own; their results, one each.
  std::vector<Result<void>> commit(std::span<const Database::Work* const> works);
  Result<void> read(const Database::Work& work);
  /// Moves the log into the database file if more than `pages` are in it.
  void checkpoint(int pages_least);
  Result<void> limit_log(std::uint64_t bytes);
  int log_pages() const { return log_pages_; }  ///< in the write-ahead log

  Result<Statement> prepare(std::string_view sql) override;
  Result<void> execute(std::string_view sql) override;
  std::int64_t changes() const override;
  std::int64_t last_row_id() const override;

 private:
  Result<void> migrate(const std::vector<std::string>& migrations);
  Result<void> run_one(const Database::Work& work);
  Result<void> exec(const char* sql);
  Error failure(int code, std::string_view attempt) const;

  sqlite3* db_ = nullptr;
  std::map<std::string, std::list<Statement::Compiled>, std::less<>> compiled_;
  int log_pages_max_ = 8192;  // then a commit moves the log; an idle database does much earlier
  int log_pages_ = 0;  // in the write-ahead log after the last commit
  bool reading_ = false;
};

}  // namespace spatter
