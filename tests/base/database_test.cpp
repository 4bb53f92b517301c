#include "base/database.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/real_runtime.h"
#include "temporary_folder.h"

namespace spatter {
namespace {

const std::vector<std::string> schema = {
    "CREATE TABLE pair(key INTEGER PRIMARY KEY, value BLOB NOT NULL)"};

Database::Work put(int key, std::string value) {
  return [=](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT INTO pair VALUES(?, ?)"));
    return insert.bind(1, std::int64_t{key}).bind_blob(2, as_bytes(value)).run();
  };
}

std::function<Result<std::string>(Connected&)> get(int key) {
  return [=](Connected& db) -> Result<std::string> {
    TRY(auto query, db.prepare("SELECT value FROM pair WHERE key = ?"));
    TRY(const bool row, query.bind(1, std::int64_t{key}).step());
    if (!row) return fail(Errc::not_found, "no key {}", key);
    return to_string(query.blob_view(0));
  };
}

class DatabaseTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Database>> open(std::vector<std::string> migrations = schema) {
    return runtime->wait_for(Database::open(*runtime, "x.db", std::move(migrations)));
  }
  void reopen() {
    if (database) runtime->wait_for(database->close());
    database.reset();
    database = std::move(open().value());
  }
  Result<void> write(Database::Work work) { return runtime->wait_for(database->write(work)); }
  Result<std::string> read(int key) {
    return runtime->wait_for(database->read_for<std::string>(get(key)));
  }
  void TearDown() override {
    if (database) runtime->wait_for(database->close());
  }

  TemporaryFolder folder;
  std::unique_ptr<RealRuntime> runtime =
      std::move(RealRuntime::open({.root = folder.path()}).value());
  std::unique_ptr<Database> database;
};

TEST_F(DatabaseTest, WhatWasWrittenIsReadAlsoAfterReopening) {
  reopen();
  ASSERT_TRUE(write(put(1, "one")).has_value());
  EXPECT_EQ(read(1).value(), "one");
  reopen();
  EXPECT_EQ(read(1).value(), "one");
  EXPECT_EQ(read(2).error().code, Errc::not_found);
}

TEST_F(DatabaseTest, AFailedWriteLeavesNoTraceAndSparesItsNeighbours) {
  reopen();
  const auto many = [](Database& database, int& failures) -> Task<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    const auto one = [](Database& database, int key, int& failures) -> Task<void> {
      Database::Work work = [key](Connected& db) -> Result<void> {
        TRY_VOID(put(key, "kept")(db));
        if (key % 3 == 0) return fail(Errc::denied, "key {} is not wanted", key);
        return {};
      };
      const auto done = co_await database.write(work);
      if (!done) {
        EXPECT_EQ(done.error().code, Errc::denied);
        ++failures;
      }
    };
    for (int key = 0; key < 600; ++key) group.spawn(one(database, key, failures));
    co_await group.drain();
  };
  int failures = 0;
  runtime->wait_for(many(*database, failures));
  EXPECT_EQ(failures, 200);
  reopen();
  for (int key = 0; key < 600; ++key)
    EXPECT_EQ(read(key).has_value(), key % 3 != 0) << key;
}

TEST_F(DatabaseTest, WritesOfOneMomentShareACommit) {
  reopen();
  const auto log = folder.path() + "/x.db-wal";
  const auto before = std::filesystem::file_size(log);
  const auto many = [](Database& database) -> Task<void> {
    TaskGroup group(co_await asio::this_coro::executor);
    const auto one = [](Database& database, int key) -> Task<void> {
      EXPECT_TRUE((co_await database.write(put(key, "x"))).has_value());
    };
    for (int key = 0; key < 100; ++key) group.spawn(one(database, key));
    co_await group.drain();
  };
  runtime->wait_for(many(*database));
  // A commit of its own writes at least one page; shared, all fit into a few.
  EXPECT_LT(std::filesystem::file_size(log) - before, 20 * 4096u);
}

TEST_F(DatabaseTest, ADuplicateKeyIsAnErrorThatSaysSo) {
  reopen();
  ASSERT_TRUE(write(put(1, "one")).has_value());
  const auto again = write(put(1, "two"));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Errc::exists);
  EXPECT_EQ(read(1).value(), "one");
}

TEST_F(DatabaseTest, TheSameTextMayBeInUseTwice) {
  reopen();
  for (int key = 0; key < 3; ++key) ASSERT_TRUE(write(put(key, "x")).has_value());
  const auto pairs = runtime->wait_for(
      database->read_for<int>([](Connected& db) -> Result<int> {
        int count = 0;
        TRY(auto outer, db.prepare("SELECT key FROM pair"));
        for (;;) {
          TRY(const bool row, outer.step());
          if (!row) return count;
          TRY(auto inner, db.prepare("SELECT key FROM pair"));
          for (;;) {
            TRY(const bool inner_row, inner.step());
            if (!inner_row) break;
            ++count;
          }
        }
      }));
  EXPECT_EQ(pairs.value(), 9);
}

TEST_F(DatabaseTest, EveryKindOfValueComesBack) {
  reopen();
  Database::Work work = [](Connected& db) -> Result<void> {
    TRY(auto query, db.prepare("SELECT ?1, ?2, ?3, ?4, ?5, ?6"));
    TRY(const bool row, query.bind(1, std::int64_t{-5}).bind(2, 0.5).bind_text(3, "t\xc3\xa4xt")
                            .bind_blob(4, Bytes{0, 1, 255}).bind_null(5).bind_blob(6, {}).step());
    EXPECT_TRUE(row);
    EXPECT_EQ(query.integer(0), -5);
    EXPECT_EQ(query.real(1), 0.5);
    EXPECT_EQ(query.text(2), "t\xc3\xa4xt");
    EXPECT_EQ(query.blob(3), (Bytes{0, 1, 255}));
    EXPECT_TRUE(query.is_null(4));
    EXPECT_FALSE(query.is_null(5));
    EXPECT_TRUE(query.blob(5).empty());
    return {};
  };
  EXPECT_TRUE(runtime->wait_for(database->read(work)).has_value());
}

TEST_F(DatabaseTest, AWrongStatementIsAnError) {
  reopen();
  EXPECT_FALSE(write([](Connected& db) { return db.execute("NONSENSE"); }).has_value());
  EXPECT_FALSE(write([](Connected& db) -> Result<void> {
                 TRY(auto insert, db.prepare("INSERT INTO pair VALUES(1, 2)"));
                 return insert.bind(7, std::int64_t{1}).run();
               }).has_value());
  EXPECT_TRUE(write(put(1, "fine after all")).has_value());
}

TEST_F(DatabaseTest, MigrationsBringAnOldDatabaseUp) {
  reopen();
  ASSERT_TRUE(write(put(1, "one")).has_value());
  runtime->wait_for(database->close());
  auto migrations = schema;
  migrations.push_back("ALTER TABLE pair ADD COLUMN extra TEXT NOT NULL DEFAULT 'new'");
  database = std::move(open(migrations).value());
  const auto extra = runtime->wait_for(
      database->read_for<std::string>([](Connected& db) -> Result<std::string> {
        TRY(auto query, db.prepare("SELECT extra FROM pair"));
        TRY_VOID(query.step());
        return query.text(0);
      }));
  EXPECT_EQ(extra.value(), "new");
}

TEST_F(DatabaseTest, ADatabaseOfANewerSpatterIsRefused) {
  reopen();
  runtime->wait_for(database->close());
  database.reset();
  const auto older = open({});
  ASSERT_FALSE(older.has_value());
  EXPECT_EQ(older.error().code, Errc::newer_format);
  EXPECT_NE(older.error().message.find("x.db"), std::string::npos);
}

TEST_F(DatabaseTest, ASecondOpenerIsRefused) {
  reopen();
  const auto second = open();
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::busy);
  EXPECT_NE(second.error().message.find("x.db"), std::string::npos);
  EXPECT_TRUE(write(put(1, "the first goes on")).has_value());
}

TEST_F(DatabaseTest, AFileThatIsNoDatabaseIsCalledDamaged) {
  std::ofstream(folder.path() + "/x.db") << std::string(8192, 'x');
  const auto opened = open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::corrupt);
  EXPECT_NE(opened.error().message.find("x.db"), std::string::npos);
}

TEST_F(DatabaseTest, AfterClosingCallsFail) {
  reopen();
  runtime->wait_for(database->close());
  EXPECT_EQ(write(put(1, "x")).error().code, Errc::cancelled);
}

}  // namespace
}  // namespace spatter
