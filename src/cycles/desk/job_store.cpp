#include "job_store.h"

namespace spatter {
namespace {

std::vector<std::string> migrations() {
  return {R"(
    CREATE TABLE job (
      id BLOB PRIMARY KEY, name BLOB NOT NULL, kind TEXT NOT NULL, output BLOB NOT NULL, work BLOB NOT NULL,
      epoch INTEGER NOT NULL, state INTEGER NOT NULL, trouble TEXT NOT NULL, created_ms INTEGER NOT NULL,
      ended_ms INTEGER NOT NULL, quoted_p50 REAL, quoted_p90 REAL, quoted_ms INTEGER, pieces INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE piece (
      job BLOB NOT NULL, number INTEGER NOT NULL, name BLOB NOT NULL, path BLOB NOT NULL, start INTEGER NOT NULL,
      bytes INTEGER NOT NULL, digest BLOB, PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE TABLE vote (
      job BLOB NOT NULL, piece INTEGER NOT NULL, worker BLOB NOT NULL, person BLOB NOT NULL, own INTEGER NOT NULL,
      ended INTEGER NOT NULL, exit_code INTEGER NOT NULL, fuel INTEGER NOT NULL, output_bytes INTEGER NOT NULL,
      output BLOB NOT NULL, log BLOB NOT NULL, PRIMARY KEY (job, piece, worker)
    ) WITHOUT ROWID;
    CREATE TABLE caught (job BLOB NOT NULL, worker BLOB NOT NULL, PRIMARY KEY (job, worker)) WITHOUT ROWID;
    CREATE TABLE worker (
      id BLOB PRIMARY KEY, right_now INTEGER NOT NULL, wrong INTEGER NOT NULL, right_total INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE speed (
      worker BLOB NOT NULL, kind TEXT NOT NULL, fuel REAL NOT NULL, seconds REAL NOT NULL,
      results INTEGER NOT NULL, PRIMARY KEY (worker, kind)
    ) WITHOUT ROWID;
    CREATE TABLE forecast (
      number INTEGER PRIMARY KEY, kind TEXT NOT NULL, p50 REAL NOT NULL, p90 REAL NOT NULL, actual REAL NOT NULL
    );
    CREATE TABLE costs (kind TEXT PRIMARY KEY, fuel REAL NOT NULL, bytes REAL NOT NULL, pieces REAL NOT NULL) WITHOUT ROWID;
  )",
  // Jobs of one file, which is split here.
  R"(
    ALTER TABLE job ADD COLUMN source BLOB NOT NULL DEFAULT x'';
    ALTER TABLE job ADD COLUMN source_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE job ADD COLUMN target TEXT NOT NULL DEFAULT '';
    ALTER TABLE job ADD COLUMN plan BLOB;
    ALTER TABLE piece ADD COLUMN local INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE piece ADD COLUMN fuel INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE piece ADD COLUMN work BLOB NOT NULL DEFAULT x'';
  )"};
}

template <class IdType>
Result<IdType> id_at(const Statement& row, int column) {
  return IdType::from(row.blob_view(column));
}

std::string raw_at(const Statement& row, int column) { return std::string(as_text(row.blob_view(column))); }

Result<void> insert_pieces(Connected& db, const JobId& job, const std::vector<JobPiece>& pieces) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto& piece = pieces[i];
    TRY(auto one, db.prepare("INSERT INTO piece (job, number, name, path, start, bytes, local, fuel, work) "
                             "VALUES (?,?,?,?,?,?,?,?,?)"));
    TRY_VOID(one.bind_blob(1, job.view()).bind(2, static_cast<std::int64_t>(i)).bind_blob(3, as_bytes(piece.name))
                 .bind_blob(4, as_bytes(piece.path)).bind(5, static_cast<std::int64_t>(piece.offset))
                 .bind(6, static_cast<std::int64_t>(piece.bytes)).bind(7, std::int64_t{piece.local})
                 .bind(8, static_cast<std::int64_t>(piece.fuel)).bind_blob(9, as_bytes(piece.work)).run());
  }
  return {};
}

}  // namespace

Task<Result<void>> JobStore::open() {
  CO_TRY(database_, co_await Database::open(runtime_, "jobs.db", migrations()));
  co_return Result<void>{};
}

Task<void> JobStore::close() {
  if (database_) co_await database_->close();
}

Task<Result<void>> JobStore::add(StoredJob job, std::vector<JobPiece> pieces) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT INTO job (id, name, kind, output, work, epoch, state, trouble, created_ms, ended_ms, "
                                "pieces, source, source_bytes, target) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    TRY_VOID(insert.bind_blob(1, job.id.view()).bind_blob(2, as_bytes(job.name)).bind_text(3, job.kind)
                 .bind_blob(4, as_bytes(job.output)).bind_blob(5, as_bytes(job.order))
                 .bind(6, static_cast<std::int64_t>(job.epoch)).bind(7, static_cast<std::int64_t>(job.state))
                 .bind_text(8, job.trouble).bind(9, job.created_ms).bind(10, job.ended_ms)
                 .bind(11, static_cast<std::int64_t>(pieces.size())).bind_blob(12, as_bytes(job.source))
                 .bind(13, static_cast<std::int64_t>(job.source_bytes)).bind_text(14, job.target).run());
    return insert_pieces(db, job.id, pieces);
  });
}

Task<Result<void>> JobStore::set_split(StoredJob job, std::vector<JobPiece> pieces) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto update, db.prepare("UPDATE job SET kind = ?, work = ?, plan = ?, pieces = ? WHERE id = ?"));
    TRY_VOID(update.bind_text(1, job.kind).bind_blob(2, as_bytes(job.order)).bind_blob(3, as_bytes(job.plan.value_or("")))
                 .bind(4, static_cast<std::int64_t>(pieces.size())).bind_blob(5, job.id.view()).run());
    return insert_pieces(db, job.id, pieces);
  });
}

Task<Result<std::vector<StoredJob>>> JobStore::jobs() {
  co_return co_await database_->read_for<std::vector<StoredJob>>([](Connected& db) -> Result<std::vector<StoredJob>> {
    TRY(auto row, db.prepare("SELECT id, name, kind, output, work, epoch, state, trouble, created_ms, ended_ms, quoted_p50, "
                             "quoted_p90, quoted_ms, pieces, source, source_bytes, target, plan FROM job ORDER BY created_ms DESC"));
    std::vector<StoredJob> jobs;
    while (true) {
      TRY(const bool more, row.step());
      if (!more) return jobs;
      StoredJob job;
      TRY(job.id, id_at<JobId>(row, 0));
      job.name = raw_at(row, 1);
      job.kind = row.text(2);
      job.output = raw_at(row, 3);
      job.order = raw_at(row, 4);
      job.epoch = static_cast<std::uint64_t>(row.integer(5));
      job.state = static_cast<JobState>(row.integer(6));
      job.trouble = row.text(7);
      job.created_ms = row.integer(8);
      job.ended_ms = row.integer(9);
      if (!row.is_null(10)) job.quoted = Forecast{row.real(10), row.real(11)};
      job.quoted_ms = row.integer(12);
      job.pieces = static_cast<std::uint32_t>(row.integer(13));
      job.source = raw_at(row, 14);
      job.source_bytes = static_cast<std::uint64_t>(row.integer(15));
      job.target = row.text(16);
      if (!row.is_null(17)) job.plan = raw_at(row, 17);
      jobs.push_back(std::move(job));
    }
  });
}

Task<Result<std::vector<StoredPiece>>> JobStore::pieces(JobId job) {
  co_return co_await database_->read_for<std::vector<StoredPiece>>([&](Connected& db) -> Result<std::vector<StoredPiece>> {
    TRY(auto row, db.prepare("SELECT name, path, start, bytes, digest, local, fuel, work FROM piece WHERE job = ? ORDER BY number"));
    row.bind_blob(1, job.view());
    std::vector<StoredPiece> pieces;
    while (true) {
      TRY(const bool more, row.step());
      if (!more) return pieces;
      StoredPiece piece{{raw_at(row, 0), raw_at(row, 1), static_cast<std::uint64_t>(row.integer(2)),
                         static_cast<std::uint64_t>(row.integer(3)), row.integer(5) != 0,
                         static_cast<std::uint64_t>(row.integer(6)), raw_at(row, 7)}, {}};
      if (!row.is_null(4)) {
        TRY(piece.digest, id_at<Digest>(row, 4));
      }
      pieces.push_back(std::move(piece));
    }
  });
}

Task<Result<std::vector<StoredVote>>> JobStore::votes(JobId job) {
  co_return co_await database_->read_for<std::vector<StoredVote>>([&](Connected& db) -> Result<std::vector<StoredVote>> {
    TRY(auto row, db.prepare("SELECT piece, worker, person, own, ended, exit_code, fuel, output_bytes, output, log FROM vote "
                             "WHERE job = ? ORDER BY piece"));
    row.bind_blob(1, job.view());
    std::vector<StoredVote> votes;
    while (true) {
      TRY(const bool more, row.step());
      if (!more) return votes;
      StoredVote vote;
      vote.piece = static_cast<std::uint32_t>(row.integer(0));
      TRY(vote.worker, id_at<ServerId>(row, 1));
      TRY(vote.person, id_at<PersonId>(row, 2));
      vote.own = row.integer(3) != 0;
      vote.result.end = static_cast<WorkEnd>(row.integer(4));
      vote.result.exit_code = static_cast<std::int32_t>(row.integer(5));
      vote.result.fuel = static_cast<std::uint64_t>(row.integer(6));
      vote.result.output_bytes = static_cast<std::uint64_t>(row.integer(7));
      TRY(vote.result.output, id_at<Digest>(row, 8));
      vote.log = raw_at(row, 9);
      votes.push_back(std::move(vote));
    }
  });
}

Task<Result<std::vector<ServerId>>> JobStore::caught(JobId job) {
  co_return co_await database_->read_for<std::vector<ServerId>>([&](Connected& db) -> Result<std::vector<ServerId>> {
    TRY(auto row, db.prepare("SELECT worker FROM caught WHERE job = ?"));
    row.bind_blob(1, job.view());
    std::vector<ServerId> all;
    while (true) {
      TRY(const bool more, row.step());
      if (!more) return all;
      TRY(all.emplace_back(), id_at<ServerId>(row, 0));
    }
  });
}

Task<Result<void>> JobStore::set_digest(JobId job, std::uint32_t piece, Digest digest) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto update, db.prepare("UPDATE piece SET digest = ? WHERE job = ? AND number = ?"));
    return update.bind_blob(1, digest.view()).bind_blob(2, job.view()).bind(3, std::int64_t{piece}).run();
  });
}

Task<Result<void>> JobStore::add_vote(JobId job, StoredVote vote) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT OR REPLACE INTO vote VALUES (?,?,?,?,?,?,?,?,?,?,?)"));
    return insert.bind_blob(1, job.view()).bind(2, std::int64_t{vote.piece}).bind_blob(3, vote.worker.view())
        .bind_blob(4, vote.person.view()).bind(5, std::int64_t{vote.own})
        .bind(6, static_cast<std::int64_t>(vote.result.end)).bind(7, std::int64_t{vote.result.exit_code})
        .bind(8, static_cast<std::int64_t>(vote.result.fuel)).bind(9, static_cast<std::int64_t>(vote.result.output_bytes))
        .bind_blob(10, vote.result.output.view()).bind_blob(11, as_bytes(vote.log)).run();
  });
}

Task<Result<void>> JobStore::add_caught(JobId job, ServerId worker) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT OR IGNORE INTO caught VALUES (?,?)"));
    return insert.bind_blob(1, job.view()).bind_blob(2, worker.view()).run();
  });
}

Task<Result<void>> JobStore::set_quote(JobId job, Forecast quoted, WallMs at) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto update, db.prepare("UPDATE job SET quoted_p50 = ?, quoted_p90 = ?, quoted_ms = ? WHERE id = ?"));
    return update.bind(1, quoted.p50_s).bind(2, quoted.p90_s).bind(3, at).bind_blob(4, job.view()).run();
  });
}

Task<Result<void>> JobStore::set_ended(JobId job, JobState state, std::string trouble, WallMs at) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto update, db.prepare("UPDATE job SET state = ?, trouble = ?, ended_ms = ? WHERE id = ?"));
    return update.bind(1, static_cast<std::int64_t>(state)).bind_text(2, trouble).bind(3, at).bind_blob(4, job.view()).run();
  });
}

Task<Result<void>> JobStore::remove(std::vector<JobId> jobs) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    for (const auto& job : jobs) {
      for (const auto* sql : {"DELETE FROM vote WHERE job = ?", "DELETE FROM caught WHERE job = ?", "DELETE FROM piece WHERE job = ?",
                              "DELETE FROM job WHERE id = ?"}) {
        TRY(auto one, db.prepare(sql));
        TRY_VOID(one.bind_blob(1, job.view()).run());
      }
    }
    return {};
  });
}

Task<Result<void>> JobStore::put_worker(ServerId worker, WorkerRecord record) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT OR REPLACE INTO worker VALUES (?,?,?,?)"));
    return insert.bind_blob(1, worker.view()).bind(2, std::int64_t{record.right}).bind(3, std::int64_t{record.wrong})
        .bind(4, static_cast<std::int64_t>(record.right_total)).run();
  });
}

Task<Result<void>> JobStore::put_speed(ServerId worker, WorkKind kind, SpeedBook::Entry entry) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT OR REPLACE INTO speed VALUES (?,?,?,?,?)"));
    return insert.bind_blob(1, worker.view()).bind_text(2, kind).bind(3, entry.fuel).bind(4, entry.seconds)
        .bind(5, static_cast<std::int64_t>(entry.results)).run();
  });
}

Task<Result<void>> JobStore::put_costs(WorkKind kind, SpeedBook::Costs costs) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT OR REPLACE INTO costs VALUES (?,?,?,?)"));
    return insert.bind_text(1, kind).bind(2, costs.fuel).bind(3, costs.bytes).bind(4, costs.pieces).run();
  });
}

Task<Result<void>> JobStore::add_error(ForecastError error) {
  co_return co_await database_->write([&](Connected& db) -> Result<void> {
    TRY(auto insert, db.prepare("INSERT INTO forecast (kind, p50, p90, actual) VALUES (?,?,?,?)"));
    TRY_VOID(insert.bind_text(1, error.kind).bind(2, error.forecast.p50_s).bind(3, error.forecast.p90_s)
                 .bind(4, error.actual_s).run());
    TRY(auto trim, db.prepare("DELETE FROM forecast WHERE number <= (SELECT max(number) FROM forecast) - ?"));
    return trim.bind(1, static_cast<std::int64_t>(SpeedBook::errors_max)).run();
  });
}

Task<Result<void>> JobStore::load(WorkerTrust& trust, SpeedBook& speeds) {
  co_return co_await database_->read([&](Connected& db) -> Result<void> {
    TRY(auto worker, db.prepare("SELECT id, right_now, wrong, right_total FROM worker"));
    while (true) {
      TRY(const bool more, worker.step());
      if (!more) break;
      TRY(const auto id, id_at<ServerId>(worker, 0));
      trust.put(id, {static_cast<std::uint32_t>(worker.integer(1)), static_cast<std::uint32_t>(worker.integer(2)),
                     static_cast<std::uint64_t>(worker.integer(3))});
    }
    TRY(auto speed, db.prepare("SELECT worker, kind, fuel, seconds, results FROM speed"));
    while (true) {
      TRY(const bool more, speed.step());
      if (!more) break;
      TRY(const auto id, id_at<ServerId>(speed, 0));
      speeds.put(id, speed.text(1), {speed.real(2), speed.real(3), static_cast<std::uint64_t>(speed.integer(4))});
    }
    TRY(auto costs, db.prepare("SELECT kind, fuel, bytes, pieces FROM costs"));
    while (true) {
      TRY(const bool more, costs.step());
      if (!more) break;
      speeds.put(costs.text(0), {costs.real(1), costs.real(2), costs.real(3)});
    }
    TRY(auto error, db.prepare("SELECT kind, p50, p90, actual FROM forecast ORDER BY number"));
    while (true) {
      TRY(const bool more, error.step());
      if (!more) return {};
      speeds.ended({error.text(0), {error.real(1), error.real(2)}, error.real(3)});
    }
  });
}

}  // namespace spatter
