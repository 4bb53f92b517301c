// The whole server half looked over: every row against its bytes, every file against the rows.
#include "impl.h"

namespace spatter {

namespace index = serverhalf::index;

Task<Result<ShardCheckup>> ShardStore::Impl::fsck(
    bool deep, bool mend, std::function<void(std::uint64_t, std::uint64_t)> progress) {
  ShardCheckup checkup;
  CO_TRY_VOID(co_await fsck_entries(deep, mend, checkup, progress));
  CO_TRY_VOID(co_await fsck_roots(mend, checkup));
  CO_TRY_VOID(co_await fsck_files(mend, checkup));
  CO_TRY_VOID(co_await look({}, true));
  if (on_lost && lost_ > 0) on_lost();
  co_return checkup;
}

Task<Result<void>> ShardStore::Impl::fsck_entries(
    bool deep, bool mend, ShardCheckup& checkup,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  std::uint64_t all = 0;
  std::uint64_t done = 0;
  for (const ShardBalance& one : ledger_.balances()) all += one.bytes;
  std::optional<ShardKey> after;
  while (true) {
    CO_TRY(const auto entries, co_await database_->read_for<std::vector<Entry>>(
                                   [&](Connected& db) { return index::page(db, {}, after, 256); }));
    if (entries.empty()) co_return Result<void>{};
    after = entries.back().key;
    for (const Entry& listed : entries) {
      const auto hold = co_await locks_.lock(listed.key);
      CO_TRY(const auto look, co_await find(listed.key));
      if (!look) continue;  // released since
      ++checkup.shards;
      if (deep) checkup.bytes += look->entry.size;
      auto damage = co_await runtime_.blocking([&] { return examine_entry(*look, deep); });
      if (!damage) damage = co_await runtime_.blocking([&]() -> std::optional<ShardDamage> {
        // A lost shard whose bytes are good after all was damaged by what mended it: leave it lost
        // until it is put again, and say so.
        if (!look->entry.lost) return {};
        return ShardDamage{ShardDamage::Kind::record, listed.key,
                           listed.key.text() + ": was found damaged earlier and is not served"};
      });
      if (damage && mend) {
        if (!look->entry.lost) {
          CO_TRY_VOID(co_await database_->write(
              [&](Connected& db) { return index::mark_lost(db, listed.key); }));
          ++lost_;
        }
        CO_TRY_VOID(co_await drop_lost(listed.key));
        damage->mended = true;
        damage->person = look->entry.person;
      }
      if (damage) checkup.damage.push_back(std::move(*damage));
      done += look->entry.size;
      if (progress) progress(done, all);
    }
  }
}

/// Removes what is left of a lost shard's bytes. Only with the key's lock held.
Task<Result<void>> ShardStore::Impl::drop_lost(ShardKey key) {
  CO_TRY(const auto look, co_await find(key));
  if (!look) co_return Result<void>{};
  const Entry& entry = look->entry;
  if (entry.is_file()) {
    auto removed = co_await runtime_.blocking(
        [&] { return runtime_.disk().remove(serverhalf::shard_path(options_.folder, key)); });
    if (!removed && removed.error().code != Errc::not_found) co_return fail(removed.error());
  }
  const Charge left{.rows = std::min<std::uint64_t>(entry.charge.rows, 2048)};
  CO_TRY_VOID(co_await database_->write(
      [&](Connected& db) { return index::drop_bytes(db, key, left); }));
  ledger_.gone(entry.person, entry.charge);
  ledger_.found(entry.person, left);
  co_return Result<void>{};
}

Task<Result<void>> ShardStore::Impl::fsck_roots(bool mend, ShardCheckup& checkup) {
  static_cast<void>(mend);  // a bad root record is kept: only its person can make a new one
  CO_TRY(const auto roots, co_await database_->read_for<std::vector<index::Root>>(
                               [](Connected& db) { return index::roots(db, {}); }));
  for (const index::Root& root : roots) {
    wire::Signed record;
    if (record.ParseFromString(root.record) && spatter::check(record, kind::root)) continue;
    checkup.damage.push_back({ShardDamage::Kind::record, {},
                              fmt::format("the root record of volume {} of person {} has changed",
                                          root.volume, root.person)});
  }
  co_return Result<void>{};
}

Task<Result<void>> ShardStore::Impl::fsck_files(bool mend, ShardCheckup& checkup) {
  using Kind = ShardDamage::Kind;
  Disk& disk = runtime_.disk();
  std::vector<std::pair<std::string, Kind>> useless;
  auto left = co_await runtime_.blocking([&] { return disk.list(tmp_folder()); });
  if (!left) co_return fail(left.error());
  for (const DiskEntry& entry : *left) {
    const std::string path = tmp_folder() + "/" + entry.name;
    if (!tmp_in_use_.contains(path)) useless.emplace_back(path, Kind::leftover);
  }
  auto folders = co_await runtime_.blocking([&] { return disk.list(options_.folder + "/shards"); });
  if (!folders) co_return fail(folders.error());
  for (const DiskEntry& folder : *folders) {
    const std::string path = options_.folder + "/shards/" + folder.name;
    if (!folder.is_directory) {
      useless.emplace_back(path, Kind::orphan);
      continue;
    }
    auto files = co_await runtime_.blocking([&] { return disk.list(path); });
    if (!files) co_return fail(files.error());
    for (const DiskEntry& file : *files) {
      const auto key = serverhalf::parse_shard_name(folder.name, file.name);
      if (!key) {
        useless.emplace_back(path + "/" + file.name, Kind::orphan);
        continue;
      }
      const auto hold = co_await locks_.lock(*key);
      CO_TRY(const auto look, co_await find(*key));
      // What is on its way in or out under this lock is settled by now: ask the disk again.
      if (look && look->entry.is_file()) continue;
      const auto still = co_await runtime_.blocking(
          [&] { return disk.stat(path + "/" + file.name).has_value(); });
      if (still) useless.emplace_back(path + "/" + file.name, Kind::orphan);
    }
  }
  for (const auto& [path, what] : useless) {
    ShardDamage damage{what, {}, what == Kind::leftover
                                     ? fmt::format("{}: left over from a shard that never came whole", path)
                                     : fmt::format("{}: a file that belongs to no shard", path)};
    if (mend) {
      auto removed = co_await runtime_.blocking([&] { return disk.remove(path); });
      damage.mended = removed.has_value();
      if (removed) strays_.erase(path);
    }
    checkup.damage.push_back(std::move(damage));
  }
  co_return Result<void>{};
}

}  // namespace spatter
