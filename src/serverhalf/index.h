// The tables of the server half, and every statement on them. Functions take the connection of a
// running read or write and do not wait. The schema is described in docs/PROTOCOL.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/database.h"
#include "ledger.h"
#include "serverhalf/shard_store.h"
#include "trust/contract.h"

namespace spatter::serverhalf::index {

std::vector<std::string> migrations();

/// A descriptor and a contract that were checked, against each other and against the asker, with
/// the receipt already made (and not yet given away).
struct Offer {
  ShardKey key;
  Descriptor stripe;
  ContractTerms terms;
  wire::Contract contract;
  std::string descriptor_bytes;  ///< as kept
  std::string contract_bytes;    ///< as kept, with the receipt
  Charge charge;
  std::uint64_t file_bytes = 0;  ///< 0: inline
  /// Rebuilt by a co-holder: no writer's fence holds it up, and it is kept until then only, if it is
  /// new. 0: the owner's own.
  WallMs trial_until_ms = 0;
};

struct Entry {
  std::int64_t id = 0;
  ShardKey key;
  PersonId person;
  ServerId server;
  std::uint64_t size = 0;
  Charge charge;
  bool lost = false;
  std::uint64_t file_bytes = 0;  ///< 0: inline
  std::string contract_bytes;
  bool is_file() const { return file_bytes != 0; }
};

struct InlineShard {
  Bytes bytes;
  std::vector<Digest> leaves;
};

Result<std::optional<Entry>> find(Connected& db, const ShardKey& key);
/// In order of key; of one person or of all.
Result<std::vector<Entry>> page(Connected& db, const std::optional<PersonId>& person,
                                const std::optional<ShardKey>& after, std::size_t limit);
Result<std::optional<InlineShard>> find_inline(Connected& db, std::int64_t id);
Result<std::string> find_descriptor(Connected& db, const StripeId& stripe);

/// What becomes of an offer, given what is here: an error (denied, exists, fenced), or the shard
/// that is already here, or nothing.
Result<std::optional<Entry>> judge(Connected& db, const Offer& offer);

/// judge, and then: a new row, or the lost one made whole, or the term renewed, or nothing to do.
struct Kept {
  enum class How { fresh, healed, renewed, known };
  How how = How::fresh;
  std::optional<Entry> before;
  std::string contract_bytes;  ///< the receipt to return
};
Result<Kept> keep(Connected& db, const Offer& offer, ByteView inline_bytes,
                  std::span<const Digest> leaves);

/// A contract with a later term for a shard that is here already, checked as far as it goes by
/// itself, with the receipt made.
struct Renewal {
  ShardKey key;
  ContractTerms terms;
  wire::Contract contract;
  std::string contract_bytes;
};
/// The shard as it was, with in `contract_bytes` the receipt to return; nothing when it is not here
/// or lost.
Result<std::optional<Entry>> renew(Connected& db, const Renewal& renewal);

/// Those that are there, if all of them are `person`'s and his writer's to release.
Result<std::vector<Entry>> releasable(Connected& db, const PersonId& person,
                                      std::span<const ShardKey> keys, std::uint64_t writer_number);
/// Removes them; their files are noted as doomed.
Result<void> release(Connected& db, std::span<const Entry> entries);
Result<std::vector<ShardKey>> doomed(Connected& db);
Result<void> forget_doomed(Connected& db, std::span<const ShardKey> keys);

Result<void> mark_lost(Connected& db, const ShardKey& key);
/// The bytes of a lost shard are gone for good: only the row remains, and costs only that.
Result<void> drop_bytes(Connected& db, const ShardKey& key, Charge left);

/// What mending knows of a stripe with shards here.
Result<std::vector<KeptStripe>> kept_stripes(Connected& db, const std::optional<StripeId>& after, std::size_t limit);
Result<std::optional<KeptStripe>> kept_stripe(Connected& db, const StripeId& stripe);
Result<std::vector<ShardStore::KeptVersion>> kept_versions(Connected& db, const PersonId& person,
                                                           const std::optional<StripeId>& after, std::size_t limit);
/// False: not newer, or none of its shards is here. Shards in `confirmed` are no longer on trial.
Result<bool> set_holders(Connected& db, const StripeId& stripe, std::uint64_t version, ByteView chain,
                         std::span<const std::uint8_t> confirmed);

struct Sums {
  PersonId person;
  ServerId server;
  std::uint64_t bytes = 0;
  std::uint64_t shards = 0;
  std::uint64_t lost = 0;
  Charge charge;
};
Result<std::vector<Sums>> sums(Connected& db);

/// Errc::fenced when the volume's root record has a higher number.
Result<void> check_fence(Connected& db, const PersonId& person, const VolumeId& volume,
                         std::uint64_t writer_number);

struct Root {
  PersonId person;
  VolumeId volume;
  std::uint64_t number = 0;
  std::uint64_t version = 0;
  std::string record;
};
/// The records that went for it, that of the same volume first; nothing is written when it is the same one
/// again. `root` is by the key that its person has now: one of its volume that was signed with another gives
/// way to it whatever its number, and others of his by other keys when there would be too many.
Result<std::vector<Root>> put_root(Connected& db, const Root& root);
Result<std::vector<Root>> roots(Connected& db, const std::optional<PersonId>& person);

inline constexpr std::size_t volumes_per_person_max = 64;
/// All of them go into one reply.
inline constexpr std::size_t root_bytes_per_person_max = 400 << 10;

}  // namespace spatter::serverhalf::index
