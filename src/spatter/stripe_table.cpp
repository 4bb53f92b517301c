#include "spatter/stripe_table.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace spatter {

namespace {

constexpr std::size_t descriptors_cached_max = 256;
/// New rows wait so long for others to share their commit.
constexpr Duration record_within = std::chrono::milliseconds(20);
constexpr Duration record_again_after = std::chrono::seconds(1);

// version 1. A shard's row is its receipt: index and holder, and the contract with both signatures.
// state 0: stands; 1: lost (a rebuilt copy replaces it).
constexpr const char* migration_1 = R"sql(
CREATE TABLE stripes(
  stripe BLOB PRIMARY KEY,
  pack BLOB NOT NULL,
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL,
  k INTEGER NOT NULL,
  n INTEGER NOT NULL,
  shard_size INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  descriptor BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE shards(
  stripe BLOB NOT NULL,
  shard INTEGER NOT NULL,
  holder BLOB NOT NULL,
  state INTEGER NOT NULL,
  contract BLOB NOT NULL,
  PRIMARY KEY(stripe, shard, holder)
) WITHOUT ROWID;
CREATE TABLE releases(
  holder BLOB NOT NULL,
  stripe BLOB NOT NULL,
  shard INTEGER NOT NULL,
  PRIMARY KEY(holder, stripe, shard)
) WITHOUT ROWID;
)sql";

constexpr std::string_view insert_new =
    "INSERT INTO stripes(stripe, pack, offset, length, k, n, shard_size, created_ms, descriptor) "
    "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view insert_or_replace =
    "INSERT OR REPLACE INTO stripes(stripe, pack, offset, length, k, n, shard_size, created_ms, "
    "descriptor) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";

Result<void> insert_stripe(Connected& db, std::string_view sql, const Stripe& stripe,
                           ByteView descriptor) {
  TRY(auto insert, db.prepare(sql));
  return insert.bind_blob(1, stripe.id.view())
      .bind_blob(2, stripe.pack.view())
      .bind(3, static_cast<std::int64_t>(stripe.offset))
      .bind(4, static_cast<std::int64_t>(stripe.length))
      .bind(5, std::int64_t{stripe.k})
      .bind(6, std::int64_t{stripe.n})
      .bind(7, static_cast<std::int64_t>(stripe.shard_size))
      .bind(8, stripe.created_ms)
      .bind_blob(9, descriptor)
      .run();
}

Result<void> insert_receipt(Connected& db, const StripeId& stripe, const ShardReceipt& receipt) {
  TRY(auto insert, db.prepare("INSERT OR REPLACE INTO shards(stripe, shard, holder, state, contract) "
                              "VALUES(?, ?, ?, 0, ?)"));
  TRY_VOID(insert.bind_blob(1, stripe.view())
               .bind(2, std::int64_t{receipt.index})
               .bind_blob(3, receipt.holder.view())
               .bind_blob(4, receipt.contract)
               .run());
  // What stands again must not be released by an older wish.
  TRY(auto keep, db.prepare("DELETE FROM releases WHERE holder = ? AND stripe = ? AND shard = ?"));
  return keep.bind_blob(1, receipt.holder.view())
      .bind_blob(2, stripe.view())
      .bind(3, std::int64_t{receipt.index})
      .run();
}

Result<void> insert_release(Connected& db, const ReleasedShard& shard) {
  TRY(auto insert,
      db.prepare("INSERT OR IGNORE INTO releases(holder, stripe, shard) VALUES(?, ?, ?)"));
  return insert.bind_blob(1, shard.holder.view())
      .bind_blob(2, shard.stripe.view())
      .bind(3, std::int64_t{shard.index})
      .run();
}

}  // namespace

Task<Result<std::unique_ptr<StripeTable>>> StripeTable::open(Runtime& runtime, std::string path) {
  std::unique_ptr<StripeTable> table(new StripeTable(runtime));
  CO_TRY(table->database_, co_await Database::open(runtime, std::move(path), {migration_1}));
  CO_TRY_VOID(co_await table->load());
  co_return std::move(table);
}

StripeTable::StripeTable(Runtime& runtime)
    : runtime_(runtime), flushing_(runtime.executor()), recorder_(runtime.executor()) {}

Task<void> StripeTable::close() {
  co_await recorder_.stop();
  if (!database_) co_return;
  if (const auto flushed = co_await flush(); !flushed)
    runtime_.log().warning("stripes written last are not recorded and will be written again: {}",
                           flushed.error().message);
  co_await database_->close();
  database_.reset();
}

Task<Result<void>> StripeTable::load() {
  auto stripes = std::make_shared<std::unordered_map<StripeId, Stripe>>();
  auto waiting = std::make_shared<std::unordered_map<ServerId, std::uint64_t>>();
  Database::Work work = [stripes, waiting](Connected& db) -> Result<void> {
    TRY(auto rows, db.prepare("SELECT stripe, pack, offset, length, k, n, shard_size, created_ms "
                              "FROM stripes"));
    while (true) {
      TRY(const bool row, rows.step());
      if (!row) break;
      Stripe stripe;
      TRY(stripe.id, StripeId::from(rows.blob_view(0)));
      TRY(stripe.pack, PackId::from(rows.blob_view(1)));
      stripe.offset = static_cast<std::uint64_t>(rows.integer(2));
      stripe.length = static_cast<std::uint64_t>(rows.integer(3));
      stripe.k = static_cast<std::uint16_t>(rows.integer(4));
      stripe.n = static_cast<std::uint16_t>(rows.integer(5));
      stripe.shard_size = static_cast<std::uint64_t>(rows.integer(6));
      stripe.created_ms = rows.integer(7);
      (*stripes)[stripe.id] = std::move(stripe);
    }
    TRY(auto shards, db.prepare("SELECT stripe, shard, holder, state FROM shards"));
    while (true) {
      TRY(const bool row, shards.step());
      if (!row) break;
      TRY(const auto id, StripeId::from(shards.blob_view(0)));
      const auto at = stripes->find(id);
      if (at == stripes->end()) continue;
      PlacedShard shard;
      shard.index = static_cast<std::uint16_t>(shards.integer(1));
      TRY(shard.holder, ServerId::from(shards.blob_view(2)));
      shard.lost = shards.integer(3) != 0;
      at->second.shards.push_back(shard);
    }
    TRY(auto releases, db.prepare("SELECT holder, count(*) FROM releases GROUP BY holder"));
    while (true) {
      TRY(const bool row, releases.step());
      if (!row) break;
      TRY(const auto holder, ServerId::from(releases.blob_view(0)));
      (*waiting)[holder] = static_cast<std::uint64_t>(releases.integer(1));
    }
    return {};
  };
  CO_TRY_VOID(co_await database_->read(std::move(work)));
  for (auto& [id, stripe] : *stripes) put(std::move(stripe));
  waiting_ = std::move(*waiting);
  co_return Result<void>{};
}

void StripeTable::put(Stripe stripe) {
  erase(stripe.id);
  const auto shared = std::make_shared<const Stripe>(std::move(stripe));
  stripes_[shared->id] = shared;
  auto& list = by_pack_[shared->pack];
  const auto before = [](const StripePtr& a, const StripePtr& b) {
    return std::tie(a->offset, b->length, a->id) < std::tie(b->offset, a->length, b->id);
  };
  list.insert(std::upper_bound(list.begin(), list.end(), shared, before), shared);
}

void StripeTable::erase(const StripeId& id) {
  const auto at = stripes_.find(id);
  if (at == stripes_.end()) return;
  const auto list = by_pack_.find(at->second->pack);
  std::erase(list->second, at->second);
  if (list->second.empty()) by_pack_.erase(list);
  stripes_.erase(at);
}

void StripeTable::notify() {
  ++version_;
  if (changed_) changed_();
}

Task<Result<void>> StripeTable::add(Stripe stripe, Bytes descriptor,
                                    std::vector<ShardReceipt> receipts) {
  if (refused_) CO_TRY_VOID(co_await flush());
  stripe.shards.clear();
  for (const auto& receipt : receipts)
    stripe.shards.push_back({.index = receipt.index, .holder = receipt.holder});
  unrecorded_.insert(stripe.id);
  put(stripe);
  pending_.push_back({std::move(stripe), std::move(descriptor), std::move(receipts)});
  if (!std::exchange(recording_, true)) recorder_.spawn(record_soon());
  notify();
  co_return Result<void>{};
}

Task<void> StripeTable::record_soon() {
  while (!pending_.empty()) {
    co_await runtime_.sleep(refused_ ? record_again_after : record_within);
    if (const auto flushed = co_await flush(); !flushed)
      runtime_.log().warning("stripes could not be recorded: {}", flushed.error().message);
  }
  recording_ = false;
}

/// One at a time, so that when it returns what others have taken is recorded as well.
Task<Result<void>> StripeTable::flush() {
  const auto turn = co_await flushing_.lock();
  if (pending_.empty()) co_return Result<void>{};
  auto taken = std::exchange(pending_, {});
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& [stripe, descriptor, receipts] : taken) {
      TRY_VOID(insert_stripe(db, insert_new, stripe, descriptor));
      for (const auto& receipt : receipts) TRY_VOID(insert_receipt(db, stripe.id, receipt));
    }
    return {};
  };
  const auto written = co_await database_->write(std::move(work));
  refused_ = !written;
  if (written) {
    for (const auto& added : taken) unrecorded_.erase(added.stripe.id);
    co_return Result<void>{};
  }
  pending_.insert(pending_.begin(), std::make_move_iterator(taken.begin()),
                  std::make_move_iterator(taken.end()));
  co_return fail(written.error());
}

Task<Result<void>> StripeTable::add_all(std::vector<NewStripe> stripes) {
  CO_TRY_VOID(co_await flush());
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& [stripe, descriptor, receipts] : stripes) {
      TRY_VOID(insert_stripe(db, insert_or_replace, stripe, descriptor));
      for (const auto& receipt : receipts) TRY_VOID(insert_receipt(db, stripe.id, receipt));
    }
    return {};
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  for (auto& fresh : stripes) {
    fresh.stripe.shards.clear();
    for (const auto& receipt : fresh.receipts)
      fresh.stripe.shards.push_back({.index = receipt.index, .holder = receipt.holder});
    put(std::move(fresh.stripe));
  }
  notify();
  co_return Result<void>{};
}

Task<Result<void>> StripeTable::add_shards(StripeId id, std::vector<ShardReceipt> receipts) {
  if (!find(id)) co_return fail(Errc::not_found, "stripe {} is no longer known", id);
  const auto pending = std::find_if(pending_.begin(), pending_.end(), [&](const NewStripe& added) {
    return added.stripe.id == id;
  });
  if (pending != pending_.end()) {
    pending->receipts.insert(pending->receipts.end(), receipts.begin(), receipts.end());
  } else {
    Database::Work work = [&](Connected& db) -> Result<void> {
      for (const auto& receipt : receipts) TRY_VOID(insert_receipt(db, id, receipt));
      return {};
    };
    CO_TRY_VOID(co_await database_->write(std::move(work)));
  }
  const auto known = find(id);
  if (!known) {
    // Removed while we wrote: what was just placed goes the way of the others.
    std::vector<ReleasedShard> orphans;
    for (const auto& receipt : receipts) orphans.push_back({id, receipt.index, receipt.holder});
    CO_TRY_VOID(co_await drop_shards(std::move(orphans), true));
    co_return fail(Errc::not_found, "stripe {} is no longer known", id);
  }
  Stripe stripe = *known;
  for (const auto& receipt : receipts) {
    std::erase_if(stripe.shards, [&](const PlacedShard& shard) {
      return shard.index == receipt.index && shard.holder == receipt.holder;
    });
    stripe.shards.push_back({.index = receipt.index, .holder = receipt.holder});
  }
  put(std::move(stripe));
  notify();
  co_return Result<void>{};
}

Task<Result<void>> StripeTable::drop_shards(std::vector<ReleasedShard> shards, bool release) {
  for (const auto& shard : shards)
    if (!is_recorded(shard.stripe)) CO_TRY_VOID(co_await flush());
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& shard : shards) {
      TRY(auto drop, db.prepare("DELETE FROM shards WHERE stripe = ? AND shard = ? AND holder = ?"));
      TRY_VOID(drop.bind_blob(1, shard.stripe.view())
                   .bind(2, std::int64_t{shard.index})
                   .bind_blob(3, shard.holder.view())
                   .run());
      if (release) TRY_VOID(insert_release(db, shard));
    }
    return {};
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  for (const auto& shard : shards) {
    if (release) ++waiting_[shard.holder];
    const auto known = find(shard.stripe);
    if (!known) continue;
    Stripe stripe = *known;
    std::erase_if(stripe.shards, [&](const PlacedShard& placed) {
      return placed.index == shard.index && placed.holder == shard.holder;
    });
    put(std::move(stripe));
  }
  notify();
  co_return Result<void>{};
}

Task<Result<void>> StripeTable::mark(StripeId id, std::uint16_t index, ServerId holder, bool lost) {
  if (!is_recorded(id)) CO_TRY_VOID(co_await flush());
  Database::Work work = [&](Connected& db) -> Result<void> {
    TRY(auto update,
        db.prepare("UPDATE shards SET state = ? WHERE stripe = ? AND shard = ? AND holder = ?"));
    return update.bind(1, std::int64_t{lost})
        .bind_blob(2, id.view())
        .bind(3, std::int64_t{index})
        .bind_blob(4, holder.view())
        .run();
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  if (const auto known = find(id)) {
    Stripe stripe = *known;
    for (auto& shard : stripe.shards)
      if (shard.index == index && shard.holder == holder) shard.lost = lost;
    put(std::move(stripe));
  }
  notify();
  co_return Result<void>{};
}

Task<Result<void>> StripeTable::mark_lost(StripeId stripe, std::uint16_t index, ServerId holder) {
  return mark(stripe, index, holder, true);
}

Task<Result<void>> StripeTable::mark_found(StripeId stripe, std::uint16_t index, ServerId holder) {
  return mark(stripe, index, holder, false);
}

Task<Result<void>> StripeTable::remove(std::vector<StripeId> stripes) {
  for (const auto& id : stripes)
    if (!is_recorded(id)) CO_TRY_VOID(co_await flush());
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& id : stripes) {
      TRY(auto queue, db.prepare("INSERT OR IGNORE INTO releases(holder, stripe, shard) "
                                 "SELECT holder, stripe, shard FROM shards WHERE stripe = ?"));
      TRY_VOID(queue.bind_blob(1, id.view()).run());
      TRY(auto shards, db.prepare("DELETE FROM shards WHERE stripe = ?"));
      TRY_VOID(shards.bind_blob(1, id.view()).run());
      TRY(auto stripe, db.prepare("DELETE FROM stripes WHERE stripe = ?"));
      TRY_VOID(stripe.bind_blob(1, id.view()).run());
    }
    return {};
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  for (const auto& id : stripes) {
    if (const auto known = find(id))
      for (const auto& shard : known->shards) ++waiting_[shard.holder];
    erase(id);
    descriptors_.erase(id);
  }
  notify();
  co_return Result<void>{};
}

Task<Result<std::vector<ReleasedShard>>> StripeTable::releases(ServerId holder, unsigned limit) {
  std::function<Result<std::vector<ReleasedShard>>(Connected&)> work =
      [=](Connected& db) -> Result<std::vector<ReleasedShard>> {
    std::vector<ReleasedShard> result;
    TRY(auto rows, db.prepare("SELECT stripe, shard FROM releases WHERE holder = ? LIMIT ?"));
    rows.bind_blob(1, holder.view()).bind(2, std::int64_t{limit});
    while (true) {
      TRY(const bool row, rows.step());
      if (!row) return result;
      ReleasedShard shard;
      TRY(shard.stripe, StripeId::from(rows.blob_view(0)));
      shard.index = static_cast<std::uint16_t>(rows.integer(1));
      shard.holder = holder;
      result.push_back(shard);
    }
  };
  return database_->read_for<std::vector<ReleasedShard>>(std::move(work));
}

Task<Result<void>> StripeTable::queue_releases(std::vector<ReleasedShard> shards) {
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& shard : shards) TRY_VOID(insert_release(db, shard));
    return {};
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  for (const auto& shard : shards) ++waiting_[shard.holder];
  notify();
  co_return Result<void>{};
}

Task<Result<void>> StripeTable::released(std::vector<ReleasedShard> shards) {
  std::set<ServerId> holders;
  for (const auto& shard : shards) holders.insert(shard.holder);
  std::unordered_map<ServerId, std::uint64_t> left;
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& shard : shards) {
      TRY(auto drop, db.prepare("DELETE FROM releases WHERE holder = ? AND stripe = ? AND shard = ?"));
      TRY_VOID(drop.bind_blob(1, shard.holder.view())
                   .bind_blob(2, shard.stripe.view())
                   .bind(3, std::int64_t{shard.index})
                   .run());
    }
    for (const auto& holder : holders) {
      TRY(auto count, db.prepare("SELECT count(*) FROM releases WHERE holder = ?"));
      TRY_VOID(count.bind_blob(1, holder.view()).step());
      left[holder] = static_cast<std::uint64_t>(count.integer(0));
    }
    return {};
  };
  CO_TRY_VOID(co_await database_->write(std::move(work)));
  for (const auto& [holder, count] : left) {
    if (count == 0) {
      waiting_.erase(holder);
    } else {
      waiting_[holder] = count;
    }
  }
  notify();
  co_return Result<void>{};
}

StripePtr StripeTable::find(const StripeId& id) const {
  const auto at = stripes_.find(id);
  return at == stripes_.end() ? nullptr : at->second;
}

const std::vector<StripePtr>& StripeTable::of_pack(const PackId& pack) const {
  static const std::vector<StripePtr> none;
  const auto at = by_pack_.find(pack);
  return at == by_pack_.end() ? none : at->second;
}

std::vector<StripePtr> StripeTable::all() const {
  std::vector<StripePtr> result;
  result.reserve(stripes_.size());
  for (const auto& [id, stripe] : stripes_) result.push_back(stripe);
  return result;
}

std::vector<PackId> StripeTable::packs() const {
  std::vector<PackId> result;
  result.reserve(by_pack_.size());
  for (const auto& [pack, list] : by_pack_) result.push_back(pack);
  return result;
}

Task<Result<Bytes>> StripeTable::descriptor(StripeId id) {
  if (const auto cached = descriptors_.find(id); cached != descriptors_.end())
    co_return cached->second;
  if (!is_recorded(id)) CO_TRY_VOID(co_await flush());
  std::function<Result<Bytes>(Connected&)> work = [=](Connected& db) -> Result<Bytes> {
    TRY(auto row, db.prepare("SELECT descriptor FROM stripes WHERE stripe = ?"));
    TRY(const bool found, row.bind_blob(1, id.view()).step());
    if (!found) return fail(Errc::not_found, "stripe {} is not known", id);
    return row.blob(0);
  };
  CO_TRY(auto bytes, co_await database_->read_for<Bytes>(std::move(work)));
  if (descriptors_.emplace(id, bytes).second) descriptor_order_.push_back(id);
  while (descriptor_order_.size() > descriptors_cached_max) {
    descriptors_.erase(descriptor_order_.front());
    descriptor_order_.pop_front();
  }
  co_return std::move(bytes);
}

Task<Result<std::vector<StripeTable::Contracted>>> StripeTable::contracts(std::size_t limit) {
  CO_TRY_VOID(co_await flush());
  std::function<Result<std::vector<Contracted>>(Connected&)> work =
      [=](Connected& db) -> Result<std::vector<Contracted>> {
    std::vector<Contracted> result;
    TRY(auto rows, db.prepare("SELECT stripe, shard, holder, contract FROM shards LIMIT ?"));
    rows.bind(1, static_cast<std::int64_t>(limit));
    while (true) {
      TRY(const bool row, rows.step());
      if (!row) return result;
      Contracted contract;
      TRY(contract.stripe, StripeId::from(rows.blob_view(0)));
      contract.index = static_cast<std::uint16_t>(rows.integer(1));
      TRY(contract.holder, ServerId::from(rows.blob_view(2)));
      contract.contract = rows.blob(3);
      result.push_back(std::move(contract));
    }
  };
  co_return co_await database_->read_for<std::vector<Contracted>>(std::move(work));
}

Task<Result<void>> StripeTable::renew(std::vector<Contracted> contracts) {
  Database::Work work = [&](Connected& db) -> Result<void> {
    for (const auto& renewed : contracts) {
      TRY(auto update,
          db.prepare("UPDATE shards SET contract = ? WHERE stripe = ? AND shard = ? AND holder = ?"));
      TRY_VOID(update.bind_blob(1, renewed.contract)
                   .bind_blob(2, renewed.stripe.view())
                   .bind(3, std::int64_t{renewed.index})
                   .bind_blob(4, renewed.holder.view())
                   .run());
    }
    return {};
  };
  co_return co_await database_->write(std::move(work));
}

}  // namespace spatter
