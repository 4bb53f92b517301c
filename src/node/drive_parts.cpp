#include "node/drive_parts.h"

#include "root_keeper.h"
#include "serverhalf/shard_store.h"
#include "spatter/stripe_table.h"
#include "userhalf/volume.h"

namespace spatter {
namespace {

using Where = ServerFinding::Where;

/// With which every SQLite file begins.
constexpr std::string_view database_magic{"SQLite format 3\0", 16};

const std::string shard_index = std::string(drive_path::server) + "/index.db";

struct Part {
  std::string path;
  Where where;
  std::string_view what;
  std::string_view remedy;
};

const std::vector<Part>& parts() {
  constexpr std::string_view rebuild =
      "`spatter fsck --mend` has the next `spatter up` rebuild it from the packs here and from the "
      "network";
  static const std::vector<Part> all{
      {drive_path::members, Where::drive, "the list of the network's members",
       "put it back from a backup of this drive, or bring your files back on a new drive with "
       "`spatter recover`"},
      {drive_path::volume, Where::user_half, "the index of your files", rebuild},
      {drive_path::stripes, Where::user_half, "the list of who keeps what for you", rebuild},
      {shard_index, Where::server_half, "the index of what is kept here for others",
       "`spatter fsck --mend` rebuilds it from the shards' files"}};
  return all;
}

Task<Result<bool>> is_there(Runtime& runtime, const std::string& path) {
  auto there = co_await runtime.blocking([&] { return runtime.disk().stat(path); });
  if (there) co_return true;
  if (there.error().code == Errc::not_found) co_return false;
  co_return fail(std::move(there).error());
}

/// What is wrong with a part; empty: nothing that shows from outside. An emptied database opens as a
/// new one, that is as one which says that there is nothing.
Task<Result<std::string>> what_is_wrong(Runtime& runtime, const std::string& path) {
  CO_TRY(const bool there, co_await is_there(runtime, path));
  if (!there) co_return std::string("missing");
  auto begin = co_await runtime.blocking([&]() -> Result<Bytes> {
    TRY(auto file, runtime.disk().open(path, OpenMode::read));
    Bytes bytes(database_magic.size());
    TRY(const auto got, file->read_at(0, bytes));
    bytes.resize(got);
    return bytes;
  });
  if (!begin) co_return fail(std::move(begin).error());
  if (begin->empty()) co_return std::string("empty");
  if (as_text(*begin) != database_magic) co_return std::string("damaged: it is no database any more");
  co_return std::string();
}

/// What is left of a part makes way for the one that is rebuilt, but stays for whoever wants to look.
Task<Result<void>> put_aside(Runtime& runtime, const std::string& path) {
  co_return co_await runtime.blocking([&]() -> Result<void> {
    auto& disk = runtime.disk();
    for (const auto* suffix : {"", "-wal", "-shm", "-journal"}) {
      auto moved = disk.rename(path + suffix, path + ".damaged" + suffix);
      if (!moved && moved.error().code != Errc::not_found) return moved;
    }
    return disk.sync_directory(path.substr(0, path.rfind('/')));
  });
}

/// Opening makes it; what of its shards' files proves itself is taken up.
Task<Result<std::uint64_t>> make_shard_index(Runtime& runtime, const Drive& drive) {
  auto space = co_await runtime.blocking([&] { return runtime.disk().space(); });
  if (!space) co_return fail(std::move(space).error());
  CO_TRY(const auto halves, halves_of(drive.config, *space));
  ShardStoreOptions options;
  options.folder = drive_path::server;
  options.budget_bytes = halves.server_bytes;
  CO_TRY(auto store, co_await ShardStore::open(runtime, drive.keyring.server_key, options));
  const auto shards = store->usage().shards;
  co_await store->stop();
  co_return shards;
}

Task<Result<void>> make_part(Runtime& runtime, const Drive& drive, const std::string& path) {
  if (path == drive_path::volume) {
    CO_TRY(auto database, co_await Database::open(runtime, path, volume_migrations()));
    co_await database->close();
  } else if (path == drive_path::stripes) {
    CO_TRY(auto table, co_await StripeTable::open(runtime, path));
    co_await table->close();
  } else if (path == shard_index) {
    CO_TRY_VOID(co_await make_shard_index(runtime, drive));
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<void>> make_databases(Runtime& runtime, const Drive& drive) {
  for (const auto& part : parts()) {
    CO_TRY(const bool there, co_await is_there(runtime, part.path));
    if (!there) CO_TRY_VOID(co_await make_part(runtime, drive, part.path));
  }
  co_return co_await runtime.blocking([&]() -> Result<void> {
    TRY_VOID(runtime.disk().sync_directory("user"));
    return runtime.disk().sync_directory(drive_path::server);
  });
}

Task<Result<std::vector<ServerFinding>>> check_databases(Runtime& runtime, const Drive& drive,
                                                         bool mend) {
  CO_TRY(const bool recovering, co_await is_there(runtime, drive_path::recovering));
  std::vector<ServerFinding> findings;
  for (const auto& part : parts()) {
    const bool of_volume = part.where == Where::user_half;
    if (of_volume && recovering) continue;
    CO_TRY(const auto wrong, co_await what_is_wrong(runtime, part.path));
    if (wrong.empty()) continue;
    ServerFinding finding{part.where, fmt::format("{}, {}, is {}", part.path, part.what, wrong), false,
                          true};
    if (mend && of_volume) {
      CO_TRY_VOID(co_await mark_for_recovery(runtime));
      finding.what += "; the next `spatter up` rebuilds it from the packs here and from the network";
      finding.mended = true;
    } else if (mend && part.where == Where::server_half) {
      CO_TRY_VOID(co_await put_aside(runtime, part.path));
      CO_TRY(const auto shards, co_await make_shard_index(runtime, drive));
      finding.what += fmt::format("; it was rebuilt from the files of {} shards, smaller ones are lost "
                                  "and their owners will send them anew", shards);
      finding.mended = true;
    } else {
      finding.what += fmt::format("; {}", part.remedy);
    }
    findings.push_back(std::move(finding));
  }
  co_return findings;
}

Task<Result<void>> mark_for_recovery(Runtime& runtime) {
  std::string mark = "the volume is to be brought back from the packs here and from the network\n";
  // Of the person's volumes, the one that this server wrote.
  if (const auto root = co_await load_root(runtime); root && *root)
    mark += fmt::format("volume {}\n", to_hex(as_bytes((*root)->volume())));
  co_return co_await runtime.blocking(
      [&] { return write_file_durably(runtime.disk(), drive_path::recovering, as_bytes(mark)); });
}

}  // namespace spatter
