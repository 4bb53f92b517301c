// Bringing the server half into a good state after whatever happened to it.
#include <algorithm>

#include "impl.h"

namespace spatter {

namespace index = serverhalf::index;

Task<Result<void>> ShardStore::Impl::open() {
  auto folders = co_await runtime_.blocking([this]() -> Result<void> {
    TRY_VOID(runtime_.disk().make_directories(options_.folder + "/shards"));
    TRY_VOID(runtime_.disk().make_directories(tmp_folder()));
    TRY_VOID(runtime_.disk().sync_directory(options_.folder));
    // The folder's own name, too: without it nothing in it would survive.
    const std::size_t slash = options_.folder.rfind('/');
    return runtime_.disk().sync_directory(
        slash == std::string::npos ? "" : options_.folder.substr(0, slash));
  });
  if (!folders) co_return folders;
  CO_TRY(database_, co_await Database::open(runtime_, database_path(), index::migrations()));
  CO_TRY_VOID(co_await database_->limit_log(serverhalf::log_limit(options_.budget_bytes)));
  CO_TRY_VOID(co_await load());
  CO_TRY_VOID(co_await clear_leftovers());
  CO_TRY_VOID(co_await finish_releases(nullptr));
  CO_TRY_VOID(co_await take_up_strays());
  CO_TRY_VOID(co_await look({}, true));
  background_.spawn(expire_begun());
  co_return Result<void>{};
}

Task<Result<void>> ShardStore::Impl::load() {
  CO_TRY(const auto sums, co_await database_->read_for<std::vector<index::Sums>>(
                              [](Connected& db) { return index::sums(db); }));
  for (const auto& one : sums) {
    ledger_.found(one.person, one.charge);
    ledger_.shard_kept(one.person, one.server, one.bytes, one.shards);
    lost_ += one.lost;
  }
  CO_TRY(const auto roots, co_await database_->read_for<std::vector<index::Root>>(
                               [](Connected& db) { return index::roots(db, {}); }));
  for (const auto& root : roots)
    ledger_.found(root.person, serverhalf::charge_for_root(root.record.size()));
  co_return Result<void>{};
}

/// What was begun and never finished.
Task<Result<void>> ShardStore::Impl::clear_leftovers() {
  auto left = co_await runtime_.blocking([this] { return runtime_.disk().list(tmp_folder()); });
  if (!left) co_return fail(left.error());
  for (const DiskEntry& entry : *left)
    co_await discard({.size = entry.size, .tmp = tmp_folder() + "/" + entry.name});
  co_return Result<void>{};
}

/// Removes the files of released shards durably, and forgets about them. While the store is in use
/// that is safe only for keys whose locks are held: `locked` names those (sorted), and only what of
/// them is still doomed is touched.
Task<Result<void>> ShardStore::Impl::finish_releases(const std::vector<ShardKey>* locked) {
  CO_TRY(auto doomed, co_await database_->read_for<std::vector<ShardKey>>(
                          [](Connected& db) { return index::doomed(db); }));
  if (locked)
    std::erase_if(doomed, [&](const ShardKey& key) {
      return !std::binary_search(locked->begin(), locked->end(), key);
    });
  if (doomed.empty()) co_return Result<void>{};
  const auto removed = co_await runtime_.blocking([&] {
    Disk& disk = runtime_.disk();
    std::vector<ShardKey> gone;
    std::map<std::string, bool> folders;  // whether their removals are durable
    for (const ShardKey& key : doomed) {
      auto done = disk.remove(serverhalf::shard_path(options_.folder, key));
      if (!done && done.error().code != Errc::not_found) continue;
      gone.push_back(key);
      folders.emplace(serverhalf::shard_folder(options_.folder, key.stripe), false);
    }
    for (auto& [folder, durable] : folders) {
      auto done = disk.sync_directory(folder);
      durable = done.has_value() || done.error().code == Errc::not_found;
    }
    std::erase_if(gone, [&](const ShardKey& key) {
      return !folders[serverhalf::shard_folder(options_.folder, key.stripe)];
    });
    return gone;
  });
  for (const ShardKey& key : removed) strays_.erase(serverhalf::shard_path(options_.folder, key));
  co_return co_await database_->write(
      [&](Connected& db) { return index::forget_doomed(db, removed); });
}

/// Files without a row: a crash came between the file and its row, or the index was lost. What
/// proves itself by its contract is taken up again; the rest stays, counted, for fsck.
Task<Result<void>> ShardStore::Impl::take_up_strays() {
  auto folders = co_await runtime_.blocking(
      [this] { return runtime_.disk().list(options_.folder + "/shards"); });
  if (!folders) co_return fail(folders.error());
  for (const DiskEntry& folder : *folders) {
    const std::string path = options_.folder + "/shards/" + folder.name;
    if (!folder.is_directory) {
      strays_[path] = folder.size;
      continue;
    }
    auto files = co_await runtime_.blocking([&] { return runtime_.disk().list(path); });
    if (!files) co_return fail(files.error());
    std::vector<std::pair<ShardKey, std::uint64_t>> unknown;
    CO_TRY_VOID(co_await database_->read([&](Connected& db) -> Result<void> {
      for (const DiskEntry& file : *files) {
        const auto key = serverhalf::parse_shard_name(folder.name, file.name);
        if (!key) {
          strays_[path + "/" + file.name] = file.size;
          continue;
        }
        TRY(const auto entry, index::find(db, *key));
        if (!entry || !entry->is_file()) unknown.emplace_back(*key, file.size);
      }
      return {};
    }));
    for (const auto& [key, size] : unknown)
      if (!co_await adopt(key, size)) strays_[serverhalf::shard_path(options_.folder, key)] = size;
  }
  co_return Result<void>{};
}

Task<bool> ShardStore::Impl::adopt(ShardKey key, std::uint64_t file_bytes) {
  auto offer = co_await runtime_.blocking([&]() -> Result<Offer> {
    TRY(auto file, runtime_.disk().open(serverhalf::shard_path(options_.folder, key),
                                        OpenMode::read));
    TRY(auto tail, serverhalf::read_tail(*file));
    Offer found;
    wire::Signed descriptor;
    if (!found.contract.ParseFromString(tail.contract) ||
        !descriptor.ParseFromString(tail.descriptor))
      return fail(Errc::corrupt, "its contract cannot be read");
    TRY(found.terms, check_contract(found.contract));
    TRY(found.stripe, check_descriptor(descriptor));
    TRY_VOID(check_matches(found.terms, found.stripe));
    found.key = {found.terms.stripe, found.terms.index};
    if (found.key != key || found.terms.holder != self_ || found.terms.size != tail.size ||
        merkle_root(tail.leaves) != found.terms.shard_root)
      return fail(Errc::corrupt, "it holds another shard than its name says");
    found.descriptor_bytes = tail.descriptor;
    found.contract_bytes = tail.contract;
    found.charge = serverhalf::charge_for(tail.size, tail.descriptor.size(), tail.contract.size());
    found.file_bytes = file_bytes;
    return found;
  });
  if (!offer) {
    runtime_.log().warning("server half: a file of no shard, {}: {}", key.text(),
                           offer.error().message);
    co_return false;
  }
  auto kept = co_await database_->write_for<index::Kept>(
      [&](Connected& db) { return index::keep(db, *offer, {}, {}); });
  if (!kept || kept->how != index::Kept::How::fresh) co_return false;
  ledger_.found(offer->stripe.person, offer->charge);
  ledger_.shard_kept(offer->stripe.person, server_id(offer->terms.owner_key), offer->terms.size);
  runtime_.log().info("server half: took up {} again, whose index entry was missing", key.text());
  co_return true;
}

}  // namespace spatter
