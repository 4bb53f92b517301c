#include "directory/member_store.h"

#include "crypto/sign.h"

namespace spatter {
namespace {

constexpr std::int64_t invites_open_max = 1000;
constexpr std::int64_t invite_kept_ms = 30LL * 24 * 3600 * 1000;  // after its expiry

std::vector<std::string> migrations() {
  return {
      "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE admissions (position INTEGER PRIMARY KEY AUTOINCREMENT,"
      "  person BLOB NOT NULL UNIQUE, record BLOB NOT NULL);"
      "CREATE TABLE servers (id BLOB PRIMARY KEY, version INTEGER NOT NULL,"
      "  record BLOB NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE invites (secret_hash BLOB PRIMARY KEY, created_ms INTEGER NOT NULL,"
      "  expires_ms INTEGER NOT NULL, used_by BLOB, used_ms INTEGER) WITHOUT ROWID;",
      "CREATE TABLE revocations (server BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;",
  };
}

Result<wire::Signed> parse_record(ByteView bytes, std::string_view table) {
  wire::Signed record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(Errc::corrupt, "a record in table {} of the members database cannot be read",
                table);
  return record;
}

Result<void> read_records(Connected& db, std::string_view sql, std::string_view table,
                          std::vector<wire::Signed>& out) {
  TRY(auto statement, db.prepare(sql));
  for (;;) {
    TRY(const bool row, statement.step());
    if (!row) return {};
    TRY(auto record, parse_record(statement.blob_view(0), table));
    out.push_back(std::move(record));
  }
}

Result<void> save_admission(Connected& db, const MemberStore::AdmissionRow& row) {
  TRY(auto statement,
      db.prepare("INSERT OR IGNORE INTO admissions (person, record) VALUES (?1, ?2)"));
  const auto bytes = row.record.SerializeAsString();
  statement.bind_blob(1, row.person.view()).bind_blob(2, as_bytes(bytes));
  return statement.run();
}

Result<void> save_server(Connected& db, const MemberStore::ServerRow& row) {
  TRY(auto statement,
      db.prepare("INSERT INTO servers (id, version, record) VALUES (?1, ?2, ?3)"
                 " ON CONFLICT (id) DO UPDATE SET version = excluded.version,"
                 " record = excluded.record WHERE excluded.version > servers.version"));
  const auto bytes = row.record.SerializeAsString();
  statement.bind_blob(1, row.id.view())
      .bind(2, static_cast<std::int64_t>(row.version))
      .bind_blob(3, as_bytes(bytes));
  return statement.run();
}

Result<void> forget_server(Connected& db, const ServerId& id) {
  TRY(auto drop, db.prepare("DELETE FROM servers WHERE id = ?1"));
  drop.bind_blob(1, id.view());
  return drop.run();
}

Result<void> save_revocation(Connected& db, const MemberStore::RevocationRow& row) {
  TRY(auto statement,
      db.prepare("INSERT OR REPLACE INTO revocations (server, record) VALUES (?1, ?2)"));
  const auto bytes = row.record.SerializeAsString();
  statement.bind_blob(1, row.server.view()).bind_blob(2, as_bytes(bytes));
  TRY_VOID(statement.run());
  return forget_server(db, row.server);
}

Result<void> check_invite_row(Connected& db, const Digest& secret_hash, WallMs now,
                              const ServerId& server) {
  TRY(auto statement,
      db.prepare("SELECT expires_ms, used_by FROM invites WHERE secret_hash = ?1"));
  statement.bind_blob(1, secret_hash.view());
  TRY(const bool row, statement.step());
  if (!row)
    return fail(Errc::denied, "the inviting server does not know this invite: ask for a new one");
  const bool used = !statement.is_null(1);
  const bool by_it = used && std::ranges::equal(statement.blob_view(1), server.view());
  if (used && !by_it)
    return fail(Errc::denied, "this invite has been used already: ask for a new one");
  if (!used && statement.integer(0) < now)
    return fail(Errc::denied, "this invite has expired: ask for a new one");
  return {};
}

}  // namespace

Task<Result<std::unique_ptr<MemberStore>>> MemberStore::open(Runtime& runtime, std::string path) {
  CO_TRY(auto database, co_await Database::open(runtime, std::move(path), migrations()));
  co_return std::unique_ptr<MemberStore>(new MemberStore(std::move(database)));
}

Task<Result<MemberStore::Contents>> MemberStore::load() {
  std::function<Result<Contents>(Connected&)> work = [](Connected& db) -> Result<Contents> {
    Contents contents;
    std::vector<wire::Signed> genesis;
    TRY_VOID(read_records(db, "SELECT value FROM meta WHERE name = 'genesis'", "meta", genesis));
    if (!genesis.empty()) contents.genesis = std::move(genesis.front());
    TRY_VOID(read_records(db, "SELECT record FROM admissions ORDER BY position", "admissions",
                          contents.admissions));
    TRY_VOID(read_records(db, "SELECT record FROM servers ORDER BY id", "servers",
                          contents.records));
    TRY_VOID(read_records(db, "SELECT record FROM revocations ORDER BY server", "revocations",
                          contents.revocations));
    return contents;
  };
  co_return co_await database_->read_for<Contents>(std::move(work));
}

Task<Result<void>> MemberStore::replace(Contents contents) {
  SPATTER_ASSERT(contents.genesis);
  Database::Work work = [&contents](Connected& db) -> Result<void> {
    TRY_VOID(db.execute("DELETE FROM meta; DELETE FROM admissions; DELETE FROM servers;"
                        "DELETE FROM invites; DELETE FROM revocations;"));
    {
      TRY(auto statement, db.prepare("INSERT INTO meta (name, value) VALUES ('genesis', ?1)"));
      const auto bytes = contents.genesis->SerializeAsString();
      statement.bind_blob(1, as_bytes(bytes));
      TRY_VOID(statement.run());
    }
    for (const auto& record : contents.admissions) {
      wire::Admission admission;
      if (!admission.ParseFromString(record.body()))
        return fail(Errc::invalid, "an admission that cannot be read");
      TRY(auto person, PersonId::from(admission.person()));
      TRY_VOID(save_admission(db, {person, record}));
    }
    for (const auto& record : contents.records) {
      wire::ServerRecord server;
      if (!server.ParseFromString(record.body()))
        return fail(Errc::invalid, "a server record that cannot be read");
      TRY_VOID(save_server(db, {server_id(as_bytes(server.server_key())), server.version(),
                                record}));
    }
    return {};
  };
  co_return co_await database_->write(std::move(work));
}

Task<Result<void>> MemberStore::save(std::vector<AdmissionRow> admissions,
                                     std::vector<ServerRow> servers,
                                     std::vector<RevocationRow> revocations,
                                     std::vector<ServerId> forgotten) {
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& row : admissions) TRY_VOID(save_admission(db, row));
    for (const auto& row : servers) TRY_VOID(save_server(db, row));
    for (const auto& row : revocations) TRY_VOID(save_revocation(db, row));
    for (const auto& id : forgotten) TRY_VOID(forget_server(db, id));
    return {};
  };
  co_return co_await database_->write(std::move(work));
}

Task<Result<void>> MemberStore::add_invite(Digest secret_hash, WallMs now, WallMs expires_ms) {
  Database::Work work = [=](Connected& db) -> Result<void> {
    {
      TRY(auto old, db.prepare("DELETE FROM invites WHERE expires_ms < ?1"));
      old.bind(1, now - invite_kept_ms);
      TRY_VOID(old.run());
    }
    {
      TRY(auto count, db.prepare("SELECT count(*) FROM invites WHERE used_by IS NULL"
                                 " AND expires_ms >= ?1"));
      count.bind(1, now);
      TRY_VOID(count.step());
      if (count.integer(0) >= invites_open_max)
        return fail(Errc::busy, "{} invites are open already: wait until some are used or expire",
                    invites_open_max);
    }
    TRY(auto insert, db.prepare("INSERT INTO invites (secret_hash, created_ms, expires_ms)"
                                " VALUES (?1, ?2, ?3)"));
    insert.bind_blob(1, secret_hash.view()).bind(2, now).bind(3, expires_ms);
    return insert.run();
  };
  co_return co_await database_->write(std::move(work));
}

Task<Result<void>> MemberStore::use_invite(Digest secret_hash, WallMs now,
                                           std::optional<AdmissionRow> admission,
                                           ServerRow server) {
  Database::Work work = [&](Connected& db) -> Result<void> {
    TRY_VOID(check_invite_row(db, secret_hash, now, server.id));
    {
      TRY(auto use, db.prepare("UPDATE invites SET used_by = ?2, used_ms = ?3"
                               " WHERE secret_hash = ?1"));
      use.bind_blob(1, secret_hash.view()).bind_blob(2, server.id.view()).bind(3, now);
      TRY_VOID(use.run());
    }
    if (admission) TRY_VOID(save_admission(db, *admission));
    return save_server(db, server);
  };
  co_return co_await database_->write(std::move(work));
}

Task<Result<void>> MemberStore::check_invite(Digest secret_hash, WallMs now, ServerId server) {
  Database::Work work = [=](Connected& db) { return check_invite_row(db, secret_hash, now, server); };
  co_return co_await database_->read(std::move(work));
}

Task<void> MemberStore::close() { co_await database_->close(); }

}  // namespace spatter
