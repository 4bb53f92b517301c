#include "index.h"

#include <cstring>

namespace spatter::serverhalf::index {
namespace {

constexpr const char* schema_1 = R"sql(
CREATE TABLE stripes(
  stripe BLOB PRIMARY KEY,
  person BLOB NOT NULL,
  volume BLOB NOT NULL,
  descriptor BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE shards(
  id INTEGER PRIMARY KEY,
  stripe BLOB NOT NULL,
  shard_index INTEGER NOT NULL,
  person BLOB NOT NULL,
  server BLOB NOT NULL,
  size INTEGER NOT NULL,
  charged_rows INTEGER NOT NULL,
  charged_files INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  file_bytes INTEGER NOT NULL,
  contract BLOB NOT NULL
);
CREATE UNIQUE INDEX shards_by_key ON shards(stripe, shard_index);
CREATE INDEX shards_by_person ON shards(person, stripe, shard_index);
CREATE TABLE inline_shards(
  id INTEGER PRIMARY KEY,
  leaves BLOB NOT NULL,
  bytes BLOB NOT NULL
);
CREATE TABLE doomed(
  stripe BLOB NOT NULL,
  shard_index INTEGER NOT NULL,
  PRIMARY KEY(stripe, shard_index)
) WITHOUT ROWID;
CREATE TABLE roots(
  person BLOB NOT NULL,
  volume BLOB NOT NULL,
  number INTEGER NOT NULL,
  version INTEGER NOT NULL,
  record BLOB NOT NULL,
  PRIMARY KEY(person, volume)
) WITHOUT ROWID;
)sql";

constexpr const char* schema_2 = R"sql(
ALTER TABLE stripes ADD COLUMN holders_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stripes ADD COLUMN holders BLOB;
ALTER TABLE shards ADD COLUMN trial_until_ms INTEGER NOT NULL DEFAULT 0;
)sql";

#define SPATTER_ENTRY_COLUMNS                                                                    \
  "id, stripe, shard_index, person, server, size, charged_rows, charged_files, lost, file_bytes, " \
  "contract"

std::int64_t as_integer(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t as_count(std::int64_t value) { return static_cast<std::uint64_t>(value); }

/// Ids come back as they went in unless the database is damaged.
template <class IdType>
Result<IdType> id_column(const Statement& row, int column) {
  auto id = IdType::from(row.blob_view(column));
  if (!id) return fail(Errc::corrupt, "the index of the server half has an id that is none");
  return *id;
}

Result<Entry> entry_of(const Statement& row) {
  Entry entry;
  entry.id = row.integer(0);
  TRY(entry.key.stripe, id_column<StripeId>(row, 1));
  entry.key.index = static_cast<std::uint32_t>(row.integer(2));
  TRY(entry.person, id_column<PersonId>(row, 3));
  TRY(entry.server, id_column<ServerId>(row, 4));
  entry.size = as_count(row.integer(5));
  entry.charge = {as_count(row.integer(6)), as_count(row.integer(7))};
  entry.lost = row.integer(8) != 0;
  entry.file_bytes = as_count(row.integer(9));
  entry.contract_bytes = to_string(row.blob_view(10));
  if (entry.size < 1 || entry.size > shard_bytes_max)
    return fail(Errc::corrupt, "{}: the index gives it {} bytes", entry.key.text(), entry.size);
  return entry;
}

Bytes flatten(std::span<const Digest> leaves) {
  Bytes flat(leaves.size() * 32);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    std::memcpy(flat.data() + 32 * i, leaves[i].bytes.data(), 32);
  return flat;
}

Result<void> insert_row(Connected& db, const Offer& offer, ByteView inline_bytes,
                        std::span<const Digest> leaves) {
  TRY(auto stripe, db.prepare("INSERT INTO stripes(stripe, person, volume, descriptor) "
                              "VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"));
  TRY_VOID(stripe.bind_blob(1, offer.key.stripe.view())
               .bind_blob(2, offer.stripe.person.view())
               .bind_blob(3, offer.stripe.volume.view())
               .bind_blob(4, as_bytes(offer.descriptor_bytes))
               .run());
  TRY(auto shard,
      db.prepare("INSERT INTO shards(stripe, shard_index, person, server, size, charged_rows, "
                 "charged_files, lost, file_bytes, contract, trial_until_ms) "
                 "VALUES(?1,?2,?3,?4,?5,?6,?7,0,?8,?9,?10)"));
  TRY_VOID(shard.bind_blob(1, offer.key.stripe.view())
               .bind(2, as_integer(offer.key.index))
               .bind_blob(3, offer.stripe.person.view())
               .bind_blob(4, server_id(offer.terms.owner_key).view())
               .bind(5, as_integer(offer.terms.size))
               .bind(6, as_integer(offer.charge.rows))
               .bind(7, as_integer(offer.charge.files))
               .bind(8, as_integer(offer.file_bytes))
               .bind_blob(9, as_bytes(offer.contract_bytes))
               .bind(10, offer.trial_until_ms)
               .run());
  if (offer.file_bytes != 0) return {};
  const std::int64_t id = db.last_row_id();
  TRY(auto bytes, db.prepare("INSERT INTO inline_shards(id, leaves, bytes) VALUES(?1, ?2, ?3)"));
  return bytes.bind(1, id).bind_blob(2, flatten(leaves)).bind_blob(3, inline_bytes).run();
}

Result<void> update_row(Connected& db, const Offer& offer, std::int64_t id, bool lost,
                        const Charge& charge, WallMs trial_until_ms) {
  TRY(auto shard, db.prepare("UPDATE shards SET server = ?2, charged_rows = ?3, charged_files = ?4, "
                             "lost = ?5, contract = ?6, file_bytes = ?7, trial_until_ms = ?8 WHERE id = ?1"));
  return shard.bind(1, id)
      .bind_blob(2, server_id(offer.terms.owner_key).view())
      .bind(3, as_integer(charge.rows))
      .bind(4, as_integer(charge.files))
      .bind(5, std::int64_t{lost})
      .bind_blob(6, as_bytes(offer.contract_bytes))
      .bind(7, as_integer(offer.file_bytes))
      .bind(8, trial_until_ms)
      .run();
}

/// The stripe's descriptor goes with its last shard.
Result<void> drop_stripe_if_last(Connected& db, const StripeId& stripe) {
  TRY(auto drop, db.prepare("DELETE FROM stripes WHERE stripe = ?1 AND NOT EXISTS "
                            "(SELECT 1 FROM shards WHERE stripe = ?1)"));
  return drop.bind_blob(1, stripe.view()).run();
}

}  // namespace

std::vector<std::string> migrations() { return {schema_1, schema_2}; }

Result<std::optional<Entry>> find(Connected& db, const ShardKey& key) {
  TRY(auto row, db.prepare("SELECT " SPATTER_ENTRY_COLUMNS
                           " FROM shards WHERE stripe = ?1 AND shard_index = ?2"));
  TRY(const bool there,
      row.bind_blob(1, key.stripe.view()).bind(2, as_integer(key.index)).step());
  if (!there) return std::optional<Entry>();
  TRY(auto entry, entry_of(row));
  return std::optional(std::move(entry));
}

Result<std::vector<Entry>> page(Connected& db, const std::optional<PersonId>& person,
                                const std::optional<ShardKey>& after, std::size_t limit) {
  TRY(auto row, person ? db.prepare("SELECT " SPATTER_ENTRY_COLUMNS
                                    " FROM shards WHERE (stripe, shard_index) > (?1, ?2) AND "
                                    "person = ?4 ORDER BY stripe, shard_index LIMIT ?3")
                       : db.prepare("SELECT " SPATTER_ENTRY_COLUMNS
                                    " FROM shards WHERE (stripe, shard_index) > (?1, ?2) "
                                    "ORDER BY stripe, shard_index LIMIT ?3"));
  row.bind_blob(1, after ? after->stripe.view() : StripeId{}.view())
      .bind(2, after ? std::int64_t{after->index} : std::int64_t{-1})
      .bind(3, as_integer(limit));
  if (person) row.bind_blob(4, person->view());
  std::vector<Entry> entries;
  while (true) {
    TRY(const bool there, row.step());
    if (!there) return entries;
    TRY(auto entry, entry_of(row));
    entries.push_back(std::move(entry));
  }
}

Result<std::optional<InlineShard>> find_inline(Connected& db, std::int64_t id) {
  TRY(auto row, db.prepare("SELECT leaves, bytes FROM inline_shards WHERE id = ?1"));
  TRY(const bool there, row.bind(1, id).step());
  if (!there) return std::optional<InlineShard>();
  const ByteView flat = row.blob_view(0);
  InlineShard shard;
  shard.leaves.resize(flat.size() / 32);
  for (std::size_t i = 0; i < shard.leaves.size(); ++i)
    std::memcpy(shard.leaves[i].bytes.data(), flat.data() + 32 * i, 32);
  shard.bytes = row.blob(1);
  return std::optional(std::move(shard));
}

Result<std::string> find_descriptor(Connected& db, const StripeId& stripe) {
  TRY(auto row, db.prepare("SELECT descriptor FROM stripes WHERE stripe = ?1"));
  TRY(const bool there, row.bind_blob(1, stripe.view()).step());
  if (!there) return fail(Errc::corrupt, "the descriptor of stripe {} is missing", stripe);
  return to_string(row.blob_view(0));
}

namespace {

/// A descriptor never changes, so the stripes of a writer that was taken over keep his number. His
/// successor, whom the newest root record names, mends them: he may offer them under contracts of
/// his own.
Result<void> check_writer(Connected& db, const ContractTerms& terms, const VolumeId& volume,
                          std::uint64_t writer_number) {
  auto fence = check_fence(db, terms.person, volume, writer_number);
  if (fence || fence.error().code != Errc::fenced) return fence;
  TRY(auto row, db.prepare("SELECT record FROM roots WHERE person = ?1 AND volume = ?2"));
  TRY(const bool there, row.bind_blob(1, terms.person.view()).bind_blob(2, volume.view()).step());
  if (!there) return fence;
  const auto bytes = row.blob_view(0);
  wire::Signed record;
  wire::RootRecord root;
  const bool readable = record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
                        root.ParseFromString(record.body());
  if (readable && root.writer() == server_id(terms.owner_key).raw()) return {};
  return fence;
}

}  // namespace

Result<std::optional<Entry>> judge(Connected& db, const Offer& offer) {
  if (offer.trial_until_ms == 0)
    TRY_VOID(check_writer(db, offer.terms, offer.stripe.volume, offer.stripe.writer_number));
  TRY(auto stripe, db.prepare("SELECT person, descriptor FROM stripes WHERE stripe = ?1"));
  TRY(const bool known, stripe.bind_blob(1, offer.key.stripe.view()).step());
  if (!known) return std::optional<Entry>();
  TRY(const auto person, id_column<PersonId>(stripe, 0));
  if (person != offer.stripe.person)
    return fail(Errc::denied, "stripe {} belongs to another person", offer.key.stripe);
  if (as_text(stripe.blob_view(1)) != offer.descriptor_bytes)
    return fail(Errc::exists, "stripe {} is here with another descriptor", offer.key.stripe);
  return find(db, offer.key);
}

Result<Kept> keep(Connected& db, const Offer& offer, ByteView inline_bytes,
                  std::span<const Digest> leaves) {
  Kept kept;
  TRY(kept.before, judge(db, offer));
  kept.contract_bytes = offer.contract_bytes;
  if (!kept.before) {
    TRY_VOID(insert_row(db, offer, inline_bytes, leaves));
    // An earlier release of this shard may have left its file to be removed: not this one.
    if (offer.file_bytes != 0) TRY_VOID(forget_doomed(db, {&offer.key, 1}));
    return kept;
  }
  const Entry& before = *kept.before;
  if (before.lost) {
    kept.how = Kept::How::healed;
    TRY_VOID(update_row(db, offer, before.id, false, offer.charge, 0));
    if (offer.file_bytes == 0) {
      TRY(auto bytes,
          db.prepare("INSERT OR REPLACE INTO inline_shards(id, leaves, bytes) VALUES(?1, ?2, ?3)"));
      TRY_VOID(bytes.bind(1, before.id)
                   .bind_blob(2, flatten(leaves))
                   .bind_blob(3, inline_bytes)
                   .run());
    }
    return kept;
  }
  wire::Contract stored;
  wire::ContractBody body;
  if (!stored.ParseFromString(before.contract_bytes) || !body.ParseFromString(stored.body()))
    return fail(Errc::corrupt, "the contract for {} in the index cannot be read",
                before.key.text());
  // What the owner has offered stays as it is, whatever others rebuild.
  if (offer.trial_until_ms != 0 || stored.body() == offer.contract.body() ||
      offer.terms.until_ms <= static_cast<WallMs>(body.until_ms())) {
    kept.how = Kept::How::known;
    kept.contract_bytes = before.contract_bytes;
    return kept;
  }
  kept.how = Kept::How::renewed;
  Offer same_place = offer;
  same_place.file_bytes = before.file_bytes;
  TRY_VOID(update_row(db, same_place, before.id, false, before.charge, 0));
  return kept;
}

namespace {

Result<wire::ContractBody> stored_terms(const Entry& entry) {
  wire::Contract stored;
  wire::ContractBody body;
  if (!stored.ParseFromString(entry.contract_bytes) || !body.ParseFromString(stored.body()))
    return fail(Errc::corrupt, "the contract for {} in the index cannot be read", entry.key.text());
  return body;
}

/// The stored contract was checked against the stripe's descriptor; so is what equals it in all but
/// its owner's key and its term.
Result<void> check_same_shard(const ContractTerms& terms, const wire::ContractBody& stored) {
  if (terms.shard_root.raw() == stored.shard_root() && terms.size == stored.size()) return {};
  return fail(Errc::invalid, "the contract for shard {} of stripe {} is for another shard than the "
              "one here", terms.index, terms.stripe);
}

}  // namespace

Result<std::optional<Entry>> renew(Connected& db, const Renewal& renewal) {
  const auto& terms = renewal.terms;
  TRY(auto entry, find(db, renewal.key));
  if (!entry) return entry;
  if (entry->person != terms.person)
    return fail(Errc::denied, "{} belongs to another person", renewal.key.text());
  TRY(const auto stored, stored_terms(*entry));
  TRY_VOID(check_same_shard(terms, stored));
  if (entry->lost) return std::optional<Entry>();

  TRY(const auto descriptor_bytes, find_descriptor(db, terms.stripe));
  wire::Signed descriptor;
  wire::StripeDescriptor stripe;
  if (!descriptor.ParseFromString(descriptor_bytes) || !stripe.ParseFromString(descriptor.body()))
    return fail(Errc::corrupt, "the descriptor of stripe {} in the index cannot be read",
                terms.stripe);
  TRY(const auto volume, VolumeId::from(stripe.volume()));
  TRY_VOID(check_writer(db, terms, volume, stripe.writer_number()));
  if (terms.until_ms <= static_cast<WallMs>(stored.until_ms())) return entry;

  TRY(auto update, db.prepare("UPDATE shards SET server = ?2, contract = ?3 WHERE id = ?1"));
  TRY_VOID(update.bind(1, entry->id)
               .bind_blob(2, server_id(terms.owner_key).view())
               .bind_blob(3, as_bytes(renewal.contract_bytes))
               .run());
  entry->contract_bytes = renewal.contract_bytes;
  return entry;
}

Result<std::vector<Entry>> releasable(Connected& db, const PersonId& person,
                                      std::span<const ShardKey> keys, std::uint64_t writer_number) {
  std::vector<Entry> entries;
  for (const ShardKey& key : keys) {
    TRY(auto entry, find(db, key));
    if (!entry) continue;
    if (entry->person != person)
      return fail(Errc::denied, "{} belongs to another person", key.text());
    TRY(auto stripe, db.prepare("SELECT volume FROM stripes WHERE stripe = ?1"));
    TRY(const bool known, stripe.bind_blob(1, key.stripe.view()).step());
    if (known) {
      TRY(const auto volume, id_column<VolumeId>(stripe, 0));
      TRY_VOID(check_fence(db, person, volume, writer_number));
    }
    entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<void> release(Connected& db, std::span<const Entry> entries) {
  for (const Entry& entry : entries) {
    TRY(auto row, db.prepare("DELETE FROM shards WHERE id = ?1"));
    TRY_VOID(row.bind(1, entry.id).run());
    TRY(auto bytes, db.prepare("DELETE FROM inline_shards WHERE id = ?1"));
    TRY_VOID(bytes.bind(1, entry.id).run());
    TRY_VOID(drop_stripe_if_last(db, entry.key.stripe));
    if (!entry.is_file()) continue;
    TRY(auto doom, db.prepare("INSERT INTO doomed(stripe, shard_index) VALUES(?1, ?2) "
                              "ON CONFLICT DO NOTHING"));
    TRY_VOID(
        doom.bind_blob(1, entry.key.stripe.view()).bind(2, as_integer(entry.key.index)).run());
  }
  return {};
}

Result<std::vector<ShardKey>> doomed(Connected& db) {
  TRY(auto row, db.prepare("SELECT stripe, shard_index FROM doomed"));
  std::vector<ShardKey> keys;
  while (true) {
    TRY(const bool there, row.step());
    if (!there) return keys;
    TRY(const auto stripe, id_column<StripeId>(row, 0));
    keys.push_back({stripe, static_cast<std::uint32_t>(row.integer(1))});
  }
}

Result<void> forget_doomed(Connected& db, std::span<const ShardKey> keys) {
  for (const ShardKey& key : keys) {
    TRY(auto row, db.prepare("DELETE FROM doomed WHERE stripe = ?1 AND shard_index = ?2"));
    TRY_VOID(row.bind_blob(1, key.stripe.view()).bind(2, as_integer(key.index)).run());
  }
  return {};
}

Result<void> mark_lost(Connected& db, const ShardKey& key) {
  TRY(auto row, db.prepare("UPDATE shards SET lost = 1 WHERE stripe = ?1 AND shard_index = ?2"));
  return row.bind_blob(1, key.stripe.view()).bind(2, as_integer(key.index)).run();
}

Result<void> drop_bytes(Connected& db, const ShardKey& key, Charge left) {
  TRY(auto bytes, db.prepare("DELETE FROM inline_shards WHERE id = (SELECT id FROM shards "
                             "WHERE stripe = ?1 AND shard_index = ?2)"));
  TRY_VOID(bytes.bind_blob(1, key.stripe.view()).bind(2, as_integer(key.index)).run());
  TRY(auto row, db.prepare("UPDATE shards SET lost = 1, charged_rows = ?3, charged_files = ?4 "
                           "WHERE stripe = ?1 AND shard_index = ?2"));
  return row.bind_blob(1, key.stripe.view())
      .bind(2, as_integer(key.index))
      .bind(3, as_integer(left.rows))
      .bind(4, as_integer(left.files))
      .run();
}

namespace {

constexpr const char* kept_shards_of = "SELECT shard_index, size, lost, trial_until_ms FROM shards "
                                       "WHERE stripe = ?1 ORDER BY shard_index";

Result<KeptStripe> kept_of(Connected& db, const Statement& row) {
  KeptStripe kept;
  TRY(kept.stripe, id_column<StripeId>(row, 0));
  TRY(kept.person, id_column<PersonId>(row, 1));
  kept.descriptor = row.blob(2);
  kept.holders_version = as_count(row.integer(3));
  kept.holders = row.blob(4);
  TRY(auto shards, db.prepare(kept_shards_of));
  shards.bind_blob(1, kept.stripe.view());
  while (true) {
    TRY(const bool there, shards.step());
    if (!there) return kept;
    kept.shards.push_back({static_cast<std::uint8_t>(shards.integer(0)), as_count(shards.integer(1)),
                           shards.integer(2) != 0, shards.integer(3)});
  }
}

}  // namespace

Result<std::vector<KeptStripe>> kept_stripes(Connected& db, const std::optional<StripeId>& after, std::size_t limit) {
  TRY(auto row, db.prepare("SELECT stripe, person, descriptor, holders_version, holders FROM stripes "
                           "WHERE stripe > ?1 ORDER BY stripe LIMIT ?2"));
  row.bind_blob(1, after.value_or(StripeId{}).view()).bind(2, as_integer(limit));
  std::vector<KeptStripe> all;
  while (true) {
    TRY(const bool there, row.step());
    if (!there) return all;
    TRY(auto kept, kept_of(db, row));
    all.push_back(std::move(kept));
  }
}

Result<std::optional<KeptStripe>> kept_stripe(Connected& db, const StripeId& stripe) {
  TRY(auto row, db.prepare("SELECT stripe, person, descriptor, holders_version, holders FROM stripes "
                           "WHERE stripe = ?1"));
  TRY(const bool there, row.bind_blob(1, stripe.view()).step());
  if (!there) return std::optional<KeptStripe>();
  TRY(auto kept, kept_of(db, row));
  return std::optional(std::move(kept));
}

Result<std::vector<ShardStore::KeptVersion>> kept_versions(Connected& db, const PersonId& person,
                                                           const std::optional<StripeId>& after, std::size_t limit) {
  TRY(auto row, db.prepare("SELECT stripe, holders_version FROM stripes WHERE person = ?1 AND stripe > ?2 "
                           "ORDER BY stripe LIMIT ?3"));
  row.bind_blob(1, person.view()).bind_blob(2, after.value_or(StripeId{}).view()).bind(3, as_integer(limit));
  std::vector<ShardStore::KeptVersion> all;
  while (true) {
    TRY(const bool there, row.step());
    if (!there) return all;
    ShardStore::KeptVersion one;
    TRY(one.stripe, id_column<StripeId>(row, 0));
    one.version = as_count(row.integer(1));
    all.push_back(one);
  }
}

Result<bool> set_holders(Connected& db, const StripeId& stripe, std::uint64_t version, ByteView chain,
                         std::span<const std::uint8_t> confirmed) {
  TRY(auto row, db.prepare("UPDATE stripes SET holders_version = ?2, holders = ?3 WHERE stripe = ?1 AND "
                           "holders_version < ?2"));
  TRY_VOID(row.bind_blob(1, stripe.view()).bind(2, as_integer(version)).bind_blob(3, chain).run());
  if (db.changes() == 0) return false;
  for (const std::uint8_t index : confirmed) {
    TRY(auto shard, db.prepare("UPDATE shards SET trial_until_ms = 0 WHERE stripe = ?1 AND shard_index = ?2"));
    TRY_VOID(shard.bind_blob(1, stripe.view()).bind(2, as_integer(index)).run());
  }
  return true;
}

Result<std::vector<Sums>> sums(Connected& db) {
  TRY(auto row, db.prepare("SELECT person, server, SUM(size), COUNT(*), SUM(lost), "
                           "SUM(charged_rows), SUM(charged_files) FROM shards "
                           "GROUP BY person, server"));
  std::vector<Sums> all;
  while (true) {
    TRY(const bool there, row.step());
    if (!there) return all;
    Sums one;
    TRY(one.person, id_column<PersonId>(row, 0));
    TRY(one.server, id_column<ServerId>(row, 1));
    one.bytes = as_count(row.integer(2));
    one.shards = as_count(row.integer(3));
    one.lost = as_count(row.integer(4));
    one.charge = {as_count(row.integer(5)), as_count(row.integer(6))};
    all.push_back(one);
  }
}

Result<void> check_fence(Connected& db, const PersonId& person, const VolumeId& volume,
                         std::uint64_t writer_number) {
  TRY(auto row, db.prepare("SELECT number FROM roots WHERE person = ?1 AND volume = ?2"));
  TRY(const bool there, row.bind_blob(1, person.view()).bind_blob(2, volume.view()).step());
  if (!there || as_count(row.integer(0)) <= writer_number) return {};
  return fail(Errc::fenced,
              "volume {} has been taken over by writer number {}; this one has number {}", volume,
              row.integer(0), writer_number);
}

namespace {

struct Signer {
  std::string key;
  std::string writer;  ///< the server that the root names
};
Result<Signer> signer_of(const Root& root) {
  wire::Signed record;
  wire::RootRecord body;
  if (!record.ParseFromString(root.record) || !body.ParseFromString(record.body()))
    return fail(Errc::corrupt, "the root record of volume {} cannot be read", root.volume);
  return Signer{record.key(), body.writer()};
}

bool has_room(const std::vector<Root>& others, const Root& root) {
  std::size_t bytes = root.record.size();
  for (const Root& one : others) bytes += one.record.size();
  return others.size() < volumes_per_person_max && bytes <= root_bytes_per_person_max;
}

/// Those by older keys, largest first, until there is room. Whoever has stolen a key may have filled it.
Result<std::vector<Root>> make_room(Connected& db, std::vector<Root> others, const Root& root, const Signer& signer) {
  std::vector<Root> gone;
  std::ranges::sort(others, std::greater{}, [](const Root& one) { return one.record.size(); });
  while (!has_room(others, root)) {
    auto old = others.begin();
    for (; old != others.end(); ++old) {
      TRY(const auto his, signer_of(*old));
      if (his.key != signer.key) break;
    }
    if (old == others.end())
      return fail(Errc::no_space, "person {} has root records of {} volumes here already, this one has {} bytes",
                  root.person, others.size(), root.record.size());
    TRY(auto row, db.prepare("DELETE FROM roots WHERE person = ?1 AND volume = ?2"));
    TRY_VOID(row.bind_blob(1, old->person.view()).bind_blob(2, old->volume.view()).run());
    gone.push_back(std::move(*old));
    others.erase(old);
  }
  return gone;
}

}  // namespace

Result<std::vector<Root>> put_root(Connected& db, const Root& root) {
  TRY(auto known, roots(db, root.person));
  TRY(const auto signer, signer_of(root));
  std::vector<Root> replaced;
  const auto before = std::ranges::find(known, root.volume, &Root::volume);
  if (before != known.end()) {
    if (before->record == root.record) return std::vector{std::move(*before)};
    TRY(const auto his, signer_of(*before));
    // What an older key has said, perhaps in wrong hands, does not stand against the one of now.
    const bool counts = his.key == signer.key;
    if (counts && (root.number < before->number || (root.number == before->number && his.writer != signer.writer)))
      return fail(Errc::fenced,
                  "volume {} has been taken over by writer number {}; this one has number {}",
                  root.volume, before->number, root.number);
    if (counts && root.number == before->number && root.version <= before->version)
      return fail(Errc::exists, "volume {} has root record {}.{} already, this one is {}.{}",
                  root.volume, before->number, before->version, root.number, root.version);
    replaced.push_back(std::move(*before));
    known.erase(before);
  }
  TRY(auto gone, make_room(db, std::move(known), root, signer));
  std::ranges::move(gone, std::back_inserter(replaced));
  TRY(auto row, db.prepare("INSERT OR REPLACE INTO roots(person, volume, number, version, record) "
                           "VALUES(?1, ?2, ?3, ?4, ?5)"));
  TRY_VOID(row.bind_blob(1, root.person.view())
               .bind_blob(2, root.volume.view())
               .bind(3, as_integer(root.number))
               .bind(4, as_integer(root.version))
               .bind_blob(5, as_bytes(root.record))
               .run());
  return replaced;
}

Result<std::vector<Root>> roots(Connected& db, const std::optional<PersonId>& person) {
  TRY(auto row,
      person ? db.prepare("SELECT person, volume, number, version, record FROM roots "
                          "WHERE person = ?1 ORDER BY volume")
             : db.prepare("SELECT person, volume, number, version, record FROM roots"));
  if (person) row.bind_blob(1, person->view());
  std::vector<Root> all;
  while (true) {
    TRY(const bool there, row.step());
    if (!there) return all;
    Root root;
    TRY(root.person, id_column<PersonId>(row, 0));
    TRY(root.volume, id_column<VolumeId>(row, 1));
    root.number = as_count(row.integer(2));
    root.version = as_count(row.integer(3));
    root.record = to_string(row.blob_view(4));
    all.push_back(std::move(root));
  }
}

}  // namespace spatter::serverhalf::index
