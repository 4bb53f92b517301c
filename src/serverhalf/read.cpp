// Serving, listing, checking and releasing shards; root records.
#include <algorithm>

#include "impl.h"

namespace spatter {

namespace index = serverhalf::index;

namespace {

constexpr std::size_t release_portion = 64;  // shards per commit

}  // namespace

Task<Result<std::optional<ShardStore::Impl::Look>>> ShardStore::Impl::find(ShardKey key) {
  co_return co_await database_->read_for<std::optional<Look>>(
      [&](Connected& db) -> Result<std::optional<Look>> {
        TRY(auto entry, index::find(db, key));
        if (!entry) return std::optional<Look>();
        Look look{.entry = std::move(*entry)};
        if (!look.entry.is_file()) {
          TRY(look.inlined, index::find_inline(db, look.entry.id));
        }
        return std::optional(std::move(look));
      });
}

Task<Result<ShardPart>> ShardStore::Impl::read(ShardKey key, std::uint64_t offset,
                                               std::uint64_t length) {
  CO_TRY(auto look, co_await find(key));
  if (!look) co_return fail(Errc::not_found, "{} is not here", key.text());
  const std::uint64_t size = look->entry.size;
  if (look->entry.lost) co_return fail(Errc::corrupt, "{} is damaged here", key.text());
  if (offset >= size || length > size - offset)
    co_return fail(Errc::invalid, "{} has {} bytes; {} at {} were asked for", key.text(), size,
                   length, offset);
  if (length == 0) length = size - offset;
  ShardPart part;
  part.shard_size = size;
  part.first_leaf = offset / leaf_bytes;
  part.leaf_count = (offset + length - 1) / leaf_bytes - part.first_leaf + 1;
  const std::uint64_t first_byte = part.first_leaf * leaf_bytes;
  const std::uint64_t bytes = std::min<std::uint64_t>(part.leaf_count * leaf_bytes, size - first_byte);
  auto done = co_await runtime_.blocking([&]() -> Result<void> {
    part.leaves = Buffer::allocate(bytes);
    std::vector<Digest> leaves;
    if (look->entry.is_file()) {
      TRY(auto file, runtime_.disk().open(serverhalf::shard_path(options_.folder, key),
                                          OpenMode::read));
      TRY_VOID(serverhalf::read_exactly(*file, first_byte, part.leaves.mutable_view()));
      Bytes tail(std::min(look->entry.file_bytes - size, serverhalf::tail_bytes_max));
      TRY_VOID(serverhalf::read_exactly(*file, size, tail));
      TRY(auto parsed, serverhalf::parse_tail(tail));
      leaves = std::move(parsed.leaves);
    } else {
      if (!look->inlined || look->inlined->bytes.size() != size)
        return fail(Errc::corrupt, "its bytes are not in the index");
      std::copy_n(look->inlined->bytes.data() + first_byte, bytes, part.leaves.mutable_data());
      leaves = std::move(look->inlined->leaves);
    }
    if (leaves.size() != leaf_count(size)) return fail(Errc::corrupt, "leaf hashes are missing");
    part.proof = range_proof(leaves, part.first_leaf, part.leaf_count);
    return {};
  });
  if (done) co_return part;
  runtime_.log().warning("server half: reading {}: {}", key.text(), done.error().message);
  co_await suspect(key);
  // Released or made whole again in the meantime? Then say what is true now.
  CO_TRY(auto again, co_await find(key));
  if (!again) co_return fail(Errc::not_found, "{} is not here", key.text());
  if (!again->entry.lost)
    co_return fail(Errc::unavailable, "{} cannot be read just now: {}", key.text(),
                   done.error().message);
  co_return fail(Errc::corrupt, "{} is damaged here: {}", key.text(), done.error().message);
}

Task<Result<ShardPage>> ShardStore::Impl::list(ShardQuery query) {
  const std::size_t limit = std::clamp<std::size_t>(query.limit, 1, 1024);
  co_return co_await database_->read_for<ShardPage>([&](Connected& db) -> Result<ShardPage> {
    TRY(auto entries, index::page(db, query.person, query.after, limit + 1));
    ShardPage page;
    page.more = entries.size() > limit;
    if (page.more) entries.pop_back();
    for (Entry& entry : entries) {
      ShardListing listing{.key = entry.key, .size = entry.size, .person = entry.person};
      listing.lost = entry.lost;
      if (!listing.contract.ParseFromString(entry.contract_bytes))
        return fail(Errc::corrupt, "the contract for {} in the index cannot be read",
                    entry.key.text());
      if (query.with_descriptors) {
        TRY(const std::string descriptor, index::find_descriptor(db, entry.key.stripe));
        if (!listing.descriptor.emplace().ParseFromString(descriptor))
          return fail(Errc::corrupt, "the descriptor of stripe {} in the index cannot be read",
                      entry.key.stripe);
      }
      page.shards.push_back(std::move(listing));
    }
    return page;
  });
}

std::optional<ShardDamage> ShardStore::Impl::examine_entry(const Look& look, bool deep) {
  using Kind = ShardDamage::Kind;
  const Entry& entry = look.entry;
  auto damage = [&](Kind kind, std::string_view what) {
    return ShardDamage{kind, entry.key, fmt::format("{}: {}", entry.key.text(), what)};
  };
  wire::Contract contract;
  wire::ContractBody terms;
  if (!contract.ParseFromString(entry.contract_bytes) || !terms.ParseFromString(contract.body()))
    return damage(Kind::record, "its contract in the index cannot be read");
  auto root = Digest::from(terms.shard_root());
  if (!root || terms.size() != entry.size || terms.stripe() != entry.key.stripe.raw() ||
      terms.index() != entry.key.index)
    return damage(Kind::record, "its contract in the index is for another shard");
  if (deep) {
    if (auto good = check_contract(contract); !good)
      return damage(Kind::record, good.error().message);
  }
  if (!entry.is_file()) {
    if (!look.inlined) return damage(Kind::missing, "its bytes are not in the index");
    if (look.inlined->bytes.size() != entry.size)
      return damage(Kind::truncated, fmt::format("{} of {} bytes are there",
                                                 look.inlined->bytes.size(), entry.size));
    if (!deep) return {};
    if (auto wrong = serverhalf::compare_shard(look.inlined->bytes, look.inlined->leaves, *root))
      return damage(Kind::flipped, *wrong);
    return {};
  }
  Disk& disk = runtime_.disk();
  const std::string path = serverhalf::shard_path(options_.folder, entry.key);
  auto stat = disk.stat(path);
  if (!stat && stat.error().code == Errc::not_found)
    return damage(Kind::missing, "its file " + path + " is missing");
  if (!stat) return damage(Kind::unreadable, stat.error().message);
  const bool right_size = stat->size == entry.file_bytes;
  if (right_size && !deep) return {};
  auto file = disk.open(path, OpenMode::read);
  if (!file) return damage(Kind::unreadable, file.error().message);
  auto wrong_kind = [](const Error& error) {
    return error.code == Errc::corrupt ? Kind::flipped : Kind::unreadable;
  };
  auto tail = serverhalf::read_tail(**file);
  wire::Contract inside;
  wire::ContractBody inside_terms;
  if (tail && inside.ParseFromString(tail->contract) &&
      inside_terms.ParseFromString(inside.body()) &&
      (inside_terms.stripe() != entry.key.stripe.raw() || inside_terms.index() != entry.key.index)) {
    auto stripe = StripeId::from(inside_terms.stripe());
    return damage(Kind::swapped,
                  fmt::format("its file {} holds {}", path,
                              stripe ? ShardKey{*stripe, inside_terms.index()}.text() : "another"));
  }
  if (!right_size)
    return damage(Kind::truncated, fmt::format("its file {} has {} bytes instead of {}", path,
                                               stat->size, entry.file_bytes));
  if (!tail) return damage(wrong_kind(tail.error()), tail.error().message);
  if (tail->size != entry.size)
    return damage(Kind::swapped, fmt::format("its file {} holds a shard of {} bytes instead of {}",
                                             path, tail->size, entry.size));
  Buffer bytes = Buffer::allocate(entry.size);
  if (auto read = serverhalf::read_exactly(**file, 0, bytes.mutable_view()); !read)
    return damage(wrong_kind(read.error()), read.error().message);
  if (auto wrong = serverhalf::compare_shard(bytes, tail->leaves, *root))
    return damage(Kind::flipped, *wrong);
  return {};
}

Task<void> ShardStore::Impl::suspect(ShardKey key) {
  const auto hold = co_await locks_.lock(key);
  auto look = co_await find(key);
  if (!look || !*look || (*look)->entry.lost) co_return;
  auto damage = co_await runtime_.blocking([&] { return examine_entry(**look, true); });
  if (!damage) co_return;
  auto marked = co_await database_->write(
      [&](Connected& db) { return index::mark_lost(db, key); });
  if (!marked) {
    runtime_.log().error("server half: {}; it could not be marked: {}", damage->text,
                         marked.error().message);
    co_return;
  }
  ++lost_;
  runtime_.log().warning("server half: {}: {}", to_string(damage->kind), damage->text);
  if (on_lost) on_lost();
}

Task<Result<std::map<PersonId, std::uint64_t>>> ShardStore::Impl::lost_of_persons() {
  CO_TRY(const auto sums, co_await database_->read_for<std::vector<index::Sums>>(
                              [](Connected& db) { return index::sums(db); }));
  std::map<PersonId, std::uint64_t> lost;
  for (const auto& one : sums)
    if (one.lost > 0) lost[one.person] += one.lost;
  co_return lost;
}

Task<Result<std::vector<bool>>> ShardStore::Impl::check(std::vector<ShardKey> keys, bool deep) {
  std::vector<bool> whole(keys.size(), false);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    CO_TRY(auto look, co_await find(keys[i]));
    if (!look || look->entry.lost) continue;
    auto damage = co_await runtime_.blocking([&] { return examine_entry(*look, deep); });
    if (!damage)
      whole[i] = true;
    else
      co_await suspect(keys[i]);
  }
  co_return whole;
}

Task<std::vector<serverhalf::KeyLocks::Hold>> ShardStore::Impl::lock_all(std::vector<ShardKey>& keys) {
  std::ranges::sort(keys);
  const auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  std::vector<serverhalf::KeyLocks::Hold> holds;
  holds.reserve(keys.size());
  for (const ShardKey& key : keys) holds.push_back(co_await locks_.lock(key));
  co_return holds;
}

Task<Result<std::uint32_t>> ShardStore::Impl::release(Asker asker, std::vector<ShardKey> keys,
                                                      std::uint64_t writer_number) {
  const auto holds = co_await lock_all(keys);
  CO_TRY(const auto entries,
         co_await database_->read_for<std::vector<Entry>>([&](Connected& db) {
           return index::releasable(db, asker.person, keys, writer_number);
         }));
  co_return co_await release_all(entries);
}

/// In portions, so that a large release does not swell the database's log.
Task<Result<std::uint32_t>> ShardStore::Impl::release_all(const std::vector<Entry>& entries) {
  for (std::size_t first = 0; first < entries.size(); first += release_portion) {
    const auto portion = std::span(entries).subspan(
        first, std::min(release_portion, entries.size() - first));
    CO_TRY_VOID(co_await release_some(portion));
  }
  if (on_released && !entries.empty()) {
    std::vector<ShardKey> keys;
    for (const Entry& entry : entries) keys.push_back(entry.key);
    on_released(keys);
  }
  co_return static_cast<std::uint32_t>(entries.size());
}

Task<Result<std::uint32_t>> ShardStore::Impl::let_go(std::vector<ShardKey> keys, std::uint64_t holders_version,
                                                     bool on_trial) {
  const auto holds = co_await lock_all(keys);
  CO_TRY(const auto entries,
         co_await database_->read_for<std::vector<Entry>>([&](Connected& db) -> Result<std::vector<Entry>> {
           std::vector<Entry> found;
           for (const ShardKey& key : keys) {
             TRY(const auto kept, index::kept_stripe(db, key.stripe));
             if (!kept || kept->holders_version != holders_version) continue;
             const auto shard = std::ranges::find(kept->shards, key.index, &KeptStripe::Shard::index);
             if (shard == kept->shards.end() || (on_trial && shard->trial_until_ms <= 0)) continue;
             TRY(auto entry, index::find(db, key));
             if (entry) found.push_back(std::move(*entry));
           }
           return found;
         }));
  co_return co_await release_all(entries);
}

Task<Result<std::vector<KeptStripe>>> ShardStore::Impl::kept_stripes(std::optional<StripeId> after,
                                                                     std::size_t limit) {
  co_return co_await database_->read_for<std::vector<KeptStripe>>(
      [&](Connected& db) { return index::kept_stripes(db, after, limit); });
}

Task<Result<std::optional<KeptStripe>>> ShardStore::Impl::kept_stripe(StripeId stripe) {
  co_return co_await database_->read_for<std::optional<KeptStripe>>(
      [&](Connected& db) { return index::kept_stripe(db, stripe); });
}

Task<Result<std::vector<ShardStore::KeptVersion>>> ShardStore::Impl::kept_versions(
    PersonId person, std::optional<StripeId> after, std::size_t limit) {
  co_return co_await database_->read_for<std::vector<KeptVersion>>([&](Connected& db) {
    return index::kept_versions(db, person, after, limit);
  });
}

Task<Result<bool>> ShardStore::Impl::set_holders(StripeId stripe, std::uint64_t version, Bytes chain,
                                                 std::vector<std::uint8_t> confirmed) {
  co_return co_await database_->write_for<bool>(
      [&](Connected& db) { return index::set_holders(db, stripe, version, chain, confirmed); });
}

Task<Result<void>> ShardStore::Impl::release_some(std::span<const Entry> entries) {
  CO_TRY_VOID(
      co_await database_->write([&](Connected& db) { return index::release(db, entries); }));
  std::vector<ShardKey> removed;
  if (std::ranges::any_of(entries, &Entry::is_file)) {
    removed = co_await runtime_.blocking([&] {
      std::vector<ShardKey> gone;
      for (const Entry& entry : entries) {
        if (!entry.is_file()) continue;
        auto done = runtime_.disk().remove(serverhalf::shard_path(options_.folder, entry.key));
        if (done || done.error().code == Errc::not_found) gone.push_back(entry.key);
      }
      return gone;
    });
  }
  for (const Entry& entry : entries) {
    ledger_.gone(entry.person, entry.charge);
    ledger_.shard_gone(entry.person, entry.server, entry.size);
    if (entry.lost) --lost_;
    if (entry.is_file() && std::ranges::find(removed, entry.key) == removed.end())
      strays_[serverhalf::shard_path(options_.folder, entry.key)] = entry.file_bytes;
  }
  // The removals are not durable yet: the doomed entries stand, so that a file which a crash brings
  // back is removed again. Many at a time are made durable and forgotten.
  doomed_count_ += removed.size();
  if (doomed_count_ > options_.releases_noted_max) {
    doomed_count_ = 0;
    operations_.spawn(forget_releases());
  }
  co_return Result<void>{};
}

Task<void> ShardStore::Impl::forget_releases() {
  auto doomed = co_await database_->read_for<std::vector<ShardKey>>(
      [](Connected& db) { return index::doomed(db); });
  if (!doomed) co_return;
  std::ranges::sort(*doomed);
  std::vector<serverhalf::KeyLocks::Hold> holds;
  holds.reserve(doomed->size());
  for (const ShardKey& key : *doomed) holds.push_back(co_await locks_.lock(key));
  auto done = co_await finish_releases(&*doomed);
  if (!done) runtime_.log().warning("server half: {}", done.error().message);
}

Task<Result<void>> ShardStore::Impl::put_root(Asker asker, wire::Signed record) {
  if (record.body().size() > 64 << 10)
    co_return fail(Errc::invalid, "a root record of {} bytes", record.body().size());
  auto facts = co_await runtime_.blocking(
      [&] { return open_signed<wire::RootRecord>(record, kind::root); });
  if (!facts) co_return fail(facts.error());
  CO_TRY(const auto person, PersonId::from(facts->person()));
  CO_TRY(const auto volume, VolumeId::from(facts->volume()));
  if (record.key() != asker.key.value_or(asker.person).raw())
    co_return fail(Errc::denied, "the root record of volume {} is not signed with the key that its person has now",
                   volume);
  if (person != asker.person)
    co_return fail(Errc::denied, "the root record of volume {} is of another person than the server "
                   "that brings it", volume);
  constexpr auto number_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (facts->number() > number_max || facts->version() > number_max)
    co_return fail(Errc::invalid, "the root record of volume {} has number {}.{}", volume,
                   facts->number(), facts->version());
  wire::Signed kept;
  kept.set_body(record.body());
  kept.set_key(record.key());
  kept.set_signature(record.signature());
  const index::Root root{person, volume, facts->number(), facts->version(),
                         kept.SerializeAsString()};
  const Charge charge = serverhalf::charge_for_root(root.record.size());
  // Root records are small, few, and what a person needs most: policy has no say in them.
  CO_TRY_VOID(co_await look(charge, false));
  auto room = ledger_.reserve(person, charge, everyone(), {});
  auto before = co_await database_->write_for<std::vector<index::Root>>(
      [&](Connected& db) -> Result<std::vector<index::Root>> {
        TRY(auto replaced, index::put_root(db, root));
        if (!room && replaced.empty()) return fail(room.error());
        return replaced;
      });
  if (!before) co_return fail(before.error());
  // A newer record takes the place of the old one, also when the half is full.
  for (const auto& gone : *before) ledger_.gone(person, serverhalf::charge_for_root(gone.record.size()));
  if (room)
    ledger_.settle(std::move(*room), charge);
  else
    ledger_.found(person, charge);
  if (on_root) on_root(person, asker.server);
  co_return Result<void>{};
}

Task<Result<std::vector<wire::Signed>>> ShardStore::Impl::roots(PersonId person) {
  co_return co_await database_->read_for<std::vector<wire::Signed>>(
      [&](Connected& db) -> Result<std::vector<wire::Signed>> {
        TRY(const auto known, index::roots(db, person));
        std::vector<wire::Signed> records;
        for (const auto& root : known)
          if (!records.emplace_back().ParseFromString(root.record))
            return fail(Errc::corrupt, "the root record of volume {} cannot be read", root.volume);
        return records;
      });
}

}  // namespace spatter
