#include "cycles/ledger_store.h"

namespace spatter::cycles {
namespace {

std::vector<std::string> migrations() {
  return {
      "CREATE TABLE entries (id BLOB PRIMARY KEY, server BLOB NOT NULL, number INTEGER NOT NULL,"
      "  made_ms INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;"
      "CREATE INDEX entries_chain ON entries (server, number);"
      "CREATE INDEX entries_date ON entries (made_ms);",
  };
}

Result<ChainHead> read_head(Connected& db, const ServerId& server) {
  TRY(auto statement, db.prepare("SELECT number, id, made_ms FROM entries WHERE server = ?1 ORDER BY number DESC, id LIMIT 1"));
  statement.bind_blob(1, server.view());
  TRY(const bool row, statement.step());
  ChainHead head;
  if (!row) return head;
  head.number = static_cast<std::uint64_t>(statement.integer(0));
  TRY(head.id, EntryId::from(statement.blob_view(1)));
  head.made_ms = statement.integer(2);
  return head;
}

Result<void> insert(Connected& db, const Entry& entry, const wire::CyclesRecord& record) {
  TRY(auto statement, db.prepare("INSERT OR IGNORE INTO entries (id, server, number, made_ms, record) VALUES (?1, ?2, ?3, ?4, ?5)"));
  const auto bytes = record.SerializeAsString();
  statement.bind_blob(1, entry.id.view())
      .bind_blob(2, entry.server.view())
      .bind(3, static_cast<std::int64_t>(entry.number))
      .bind(4, entry.made_ms)
      .bind_blob(5, as_bytes(bytes));
  return statement.run();
}

Result<wire::CyclesRecord> parse(ByteView bytes) {
  wire::CyclesRecord record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(Errc::corrupt, "a record in the cycles database cannot be read");
  return record;
}

}  // namespace

Task<Result<std::unique_ptr<LedgerStore>>> LedgerStore::open(Runtime& runtime, std::string path, const SigningKey& server,
                                                             NetworkId network, PersonId person) {
  std::unique_ptr<LedgerStore> store(new LedgerStore(server, network, person));
  CO_TRY(store->database_, co_await Database::open(runtime, std::move(path), migrations()));
  co_return store;
}

Task<Result<MadeEntry>> LedgerStore::append(What what, WallMs now, WallMs cause_ms) {
  std::function<Result<MadeEntry>(Connected&)> work = [&](Connected& db) -> Result<MadeEntry> {
    TRY(const auto head, read_head(db, server_));
    auto made = make_entry(key_, network_, person_, head, what, now, cause_ms);
    TRY_VOID(insert(db, made.entry, made.record));
    return made;
  };
  co_return co_await database_->write_for<MadeEntry>(std::move(work));
}

Task<Result<void>> LedgerStore::add(std::vector<Kept> entries) {
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const Kept& kept : entries) TRY_VOID(insert(db, kept.entry, kept.record));
    return {};
  };
  co_return co_await database_->write(std::move(work));
}

Task<Result<ChainHead>> LedgerStore::head() {
  std::function<Result<ChainHead>(Connected&)> work = [&](Connected& db) { return read_head(db, server_); };
  co_return co_await database_->read_for<ChainHead>(std::move(work));
}

Task<Result<std::vector<Entry>>> LedgerStore::load() {
  using Entries = std::vector<Entry>;
  std::function<Result<Entries>(Connected&)> work = [&](Connected& db) -> Result<Entries> {
    Entries entries;
    TRY(auto statement, db.prepare("SELECT record, id FROM entries ORDER BY made_ms, server, number, id"));
    for (;;) {
      TRY(const bool row, statement.step());
      if (!row) return entries;
      auto entry = read_entry(statement.blob_view(0), network_);
      if (!entry || entry->id.raw() != as_text(statement.blob_view(1)))
        return fail(Errc::corrupt, "entry {} in the cycles database: {}", to_hex(statement.blob_view(1)).substr(0, 12),
                    entry ? "it is another one" : entry.error().message);
      entries.push_back(std::move(*entry));
    }
  };
  co_return co_await database_->read_for<Entries>(std::move(work));
}

Task<Result<std::vector<wire::CyclesRecord>>> LedgerStore::chain(ServerId server, std::uint64_t from, std::uint32_t limit) {
  using Records = std::vector<wire::CyclesRecord>;
  std::function<Result<Records>(Connected&)> work = [&](Connected& db) -> Result<Records> {
    Records records;
    TRY(auto statement, db.prepare("SELECT record FROM entries WHERE server = ?1 AND number >= ?2 ORDER BY number, id LIMIT ?3"));
    statement.bind_blob(1, server.view()).bind(2, static_cast<std::int64_t>(std::min(from, std::uint64_t{1} << 62))).bind(3, std::int64_t{limit});
    for (;;) {
      TRY(const bool row, statement.step());
      if (!row) return records;
      TRY(auto record, parse(statement.blob_view(0)));
      records.push_back(std::move(record));
    }
  };
  co_return co_await database_->read_for<Records>(std::move(work));
}

Task<Result<std::vector<wire::CyclesRecord>>> LedgerStore::find(std::vector<EntryId> ids) {
  using Records = std::vector<wire::CyclesRecord>;
  std::function<Result<Records>(Connected&)> work = [&](Connected& db) -> Result<Records> {
    Records records;
    for (const EntryId& id : ids) {
      TRY(auto statement, db.prepare("SELECT record FROM entries WHERE id = ?1"));
      statement.bind_blob(1, id.view());
      TRY(const bool row, statement.step());
      if (!row) continue;
      TRY(auto record, parse(statement.blob_view(0)));
      records.push_back(std::move(record));
    }
    return records;
  };
  co_return co_await database_->read_for<Records>(std::move(work));
}

Task<void> LedgerStore::close() { co_await database_->close(); }

}  // namespace spatter::cycles
