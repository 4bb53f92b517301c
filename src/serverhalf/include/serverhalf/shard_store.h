// The server half: other people's shards (and, in networks too small to do without, copies of our
// own), each under a contract, never more than the budget allows.
//
// Small shards (at most inline_bytes_max) live in SQLite, so that one group commit makes many of
// them durable; larger ones are one file each. Leaf hashes are kept with every shard, so that a
// range is served with its proof without hashing the shard again. docs/PROTOCOL.md has the layout.
//
// All calls on the executor of the Runtime; all work that blocks is done off it. The store must
// outlive its calls, and `stop` must be awaited before it is destroyed. A call that is cancelled
// ends at once for its caller, but what it began runs to its end.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/runtime.h"
#include "crypto/sign.h"
#include "proto/holder.pb.h"
#include "proto/records.pb.h"
#include "serverhalf/admission.h"

namespace spatter {

inline constexpr std::uint64_t shard_inline_bytes_max = 64 << 10;

struct ShardKey {
  StripeId stripe;
  std::uint32_t index = 0;
  auto operator<=>(const ShardKey&) const = default;
  std::string text() const;  ///< "shard 3 of stripe 9f2c01ab34cd"
};

/// Who asks: the server as the connection proved it, and its person as the certificate says.
struct Asker {
  ServerId server;
  PersonId person;
  std::optional<PersonId> key{};  ///< that he signs with now, when it is not his first one
};

/// Ties what an owner means to store to his volume, for the fence: a writer whose number is below
/// that of the volume's newest root record is refused with Errc::fenced.
struct WriterMark {
  VolumeId volume;
  std::uint64_t number = 0;
};

struct ShardStoreOptions {
  std::string folder = "server";       ///< on the Runtime's disk
  std::uint64_t budget_bytes = 0;      ///< of everything below `folder`
  std::uint64_t disk_reserve_bytes = 64 << 20;  ///< of the file system's free space, left alone (at
                                                ///< most 1/16 of the file system)
  Duration begin_idle_max = std::chrono::seconds(120);  ///< then a begun shard is dropped
  std::size_t begins_per_server_max = 64;
  std::uint64_t begin_bytes_per_server_max = 256 << 20;
  std::size_t releases_noted_max = 1024;  ///< then the removals of their files are made durable
  std::shared_ptr<const Admission> admission = std::make_shared<FairAdmission>();
  std::function<Reciprocity(PersonId)> reciprocity;  ///< empty: nothing known (Reciprocity{})
};

struct ShardUsage {
  std::uint64_t budget = 0;
  std::uint64_t used = 0;      ///< durable shards and roots, charged with their overhead
  std::uint64_t reserved = 0;  ///< begun and not yet durable
  std::uint64_t free = 0;      ///< what can be offered now: within the budget and the disk
  std::uint64_t shards = 0;
  std::uint64_t lost = 0;      ///< shards found rotten or missing, still charged
};

/// What is kept here for one server of a person.
struct ShardBalance {
  PersonId person;
  ServerId server;          ///< as its contracts name it
  std::uint64_t bytes = 0;  ///< of shards, without overhead
  std::uint64_t shards = 0;
};

struct ShardPart {
  std::uint64_t shard_size = 0;
  std::uint64_t first_leaf = 0;
  std::uint64_t leaf_count = 0;
  Buffer leaves;  ///< whole leaves; the shard's last one may be short
  Bytes proof;    ///< for verify_range of crypto/merkle.h
};

struct ShardListing {
  ShardKey key;
  std::uint64_t size = 0;
  PersonId person;
  wire::Contract contract;                 ///< both signatures
  std::optional<wire::Signed> descriptor;  ///< when asked for
  bool lost = false;                       ///< known to be damaged: put it again or release it
};
struct ShardPage {
  std::vector<ShardListing> shards;  ///< in order of (stripe, index)
  bool more = false;
};
struct ShardQuery {
  std::optional<PersonId> person;  ///< nothing: everybody's
  std::optional<ShardKey> after;
  std::size_t limit = 256;         ///< at most 1024
  bool with_descriptors = false;
};

/// Instead of an end of trial: a list names this server for the shard already.
inline constexpr WallMs rebuilt_for_good = -1;

/// What is known here of a stripe with shards here, for those who mend it together.
struct KeptStripe {
  struct Shard {
    std::uint8_t index = 0;
    std::uint64_t size = 0;
    bool lost = false;
    WallMs trial_until_ms = 0;  ///< rebuilt by a co-holder and named by no list yet; 0 or less: for good
  };
  StripeId stripe;
  PersonId person;
  Bytes descriptor;                   ///< a serialized wire::Signed
  std::uint64_t holders_version = 0;  ///< 0: no list of its holders has come
  Bytes holders;                      ///< a serialized wire::HolderChain
  std::vector<Shard> shards;          ///< by index
};

/// One thing that is wrong in the server half.
struct ShardDamage {
  enum class Kind { missing, truncated, flipped, swapped, unreadable, record, orphan, leftover };
  Kind kind = Kind::missing;
  std::optional<ShardKey> key;  ///< nothing for files that belong to no shard
  std::string text;             ///< a whole sentence fragment for people
  bool mended = false;
  PersonId person{};            ///< whose shard was dropped; zero: none was
};
struct ShardCheckup {
  std::uint64_t shards = 0;  ///< looked at
  std::uint64_t bytes = 0;   ///< read and hashed
  std::vector<ShardDamage> damage;
  bool clean() const { return damage.empty(); }
};

class ShardStore {
 public:
  /// Opens or makes the server half. Removes what unfinished begins left, takes up again shards
  /// whose file is durable and whose index entry is not, and finishes interrupted releases.
  /// `holder` signs receipts and must outlive the store.
  static Task<Result<std::unique_ptr<ShardStore>>> open(Runtime& runtime, const SigningKey& holder,
                                                        ShardStoreOptions options);
  ~ShardStore();

  /// Waits for operations under way, drops begun shards, closes the database.
  Task<void> stop();

  // --- Writing. Every receipt returned is for bytes that are on stable storage. ---------------

  /// A whole shard (up to shard_bytes_max) in one go. Returns the contract with the holder's
  /// signature. Repeating it returns the same receipt without storing anything again; with a later
  /// term of the same owner it renews the contract; if the shard was lost, it is stored anew.
  ///   invalid   a field or signature is wrong, or contradicts the descriptor
  ///   corrupt   the bytes do not have the contract's root
  ///   denied    contract, descriptor or existing shard belong to another person
  ///   exists    another descriptor has this stripe id
  ///   fenced    the volume has a newer writer
  ///   no_space  budget, disk or the person's share is used up; the text says how much is free
  Task<Result<wire::Contract>> put(Asker asker, wire::Signed descriptor, wire::Contract contract,
                                   Buffer shard);

  /// Reserves room for `size` bytes, in full, until commit, abort or begin_idle_max of silence.
  Task<Result<std::uint64_t>> begin(Asker asker, ShardKey key, std::uint64_t size, WriterMark mark);
  /// Pieces in order; `offset` must be where the last one ended. Not durable before commit.
  Task<Result<void>> write(Asker asker, std::uint64_t handle, std::uint64_t offset, Buffer piece);
  /// As put, with the bytes written so far. The handle is gone afterwards, whatever came out.
  Task<Result<wire::Contract>> commit(Asker asker, std::uint64_t handle, wire::Signed descriptor,
                                      wire::Contract contract);
  Task<Result<void>> abort(Asker asker, std::uint64_t handle);

  /// Later terms for shards that are here, moving no bytes: one contract for each offered, in order,
  /// with the holder's signature and durable on return; an empty one where the shard is not here or
  /// not whole. An offer that ends no later than the contract here is answered with that one. The
  /// owner's key may be another server's of the same person. All or none.
  ///   invalid   a field or signature is wrong, or differs from the contract here in more than that
  ///   denied    the offer or the shard belongs to another person
  ///   fenced    the volume has a newer writer
  Task<Result<std::vector<wire::Contract>>> renew(Asker asker,
                                                  std::vector<wire::Contract> offers);

  /// A whole shard that a co-holder of its stripe has rebuilt while the owner is away, under a contract
  /// that the co-holder offers with his server's key. That he is one is for the caller to have checked.
  /// It takes the owner's room but is held to the budget alone, not to his share. A new one is kept
  /// until `trial_until_ms`, and for good once set_holders names it; with `rebuilt_for_good` at once, and
  /// then another's is held to the share after all. Errors as put, but for `fenced`.
  Task<Result<wire::Contract>> put_rebuilt(ServerId coordinator, wire::Signed descriptor, wire::Contract contract,
                                           Buffer shard, WallMs trial_until_ms);

  // --- Who keeps a stripe ---------------------------------------------------------------------

  /// Stripes with shards here, in order of id.
  Task<Result<std::vector<KeptStripe>>> kept_stripes(std::optional<StripeId> after, std::size_t limit);
  Task<Result<std::optional<KeptStripe>>> kept_stripe(StripeId stripe);
  /// Of one person's stripes: which version of its list each has; 0 for none. In order of id.
  struct KeptVersion {
    StripeId stripe;
    std::uint64_t version = 0;
  };
  Task<Result<std::vector<KeptVersion>>> kept_versions(PersonId person, std::optional<StripeId> after,
                                                       std::size_t limit);
  /// Keeps a checked chain of holder lists (trust/holder_list.h) with its stripe; false when a version
  /// as high is here already, or none of the stripe's shards. `confirmed`: indices that it gives this
  /// server. Durable on return.
  Task<Result<bool>> set_holders(StripeId stripe, std::uint64_t version, Bytes chain,
                                 std::vector<std::uint8_t> confirmed);
  /// Forgets shards of which the stripe has no need any more, whoever owns them; returns how many. Only while
  /// its list still has that version, and, if `on_trial`, only those still on trial: things may have changed
  /// since the caller looked.
  Task<Result<std::uint32_t>> let_go(std::vector<ShardKey> keys, std::uint64_t holders_version, bool on_trial);

  // --- Reading --------------------------------------------------------------------------------

  /// [offset, offset + length) widened to whole leaves; length 0 means to the end. not_found when
  /// it is not here; corrupt, naming the shard, when it is known to be damaged or turns out so
  /// (which is then remembered). Leaves are not hashed here: the reader verifies them.
  Task<Result<ShardPart>> read(ShardKey key, std::uint64_t offset, std::uint64_t length);

  Task<Result<ShardPage>> list(ShardQuery query);

  /// For each key: is it here and whole? Shallow: indexed, of the right size, not known as lost.
  /// Deep: hashed again. What is found damaged is remembered as lost.
  Task<Result<std::vector<bool>>> check(std::vector<ShardKey> keys, bool deep);

  // --- Giving room back -----------------------------------------------------------------------

  /// Forgets those shards of `asker`'s person that are here, durably; returns how many were. Keys
  /// that are not here are no error; those of another person are Errc::denied and nothing is
  /// released. `writer_number` is the asker's for the volumes the shards belong to: a fenced writer
  /// may not release what his successor counts on.
  Task<Result<std::uint32_t>> release(Asker asker, std::vector<ShardKey> keys,
                                      std::uint64_t writer_number);

  // --- Root records ---------------------------------------------------------------------------

  /// Keeps the record if its (number, version) is the highest of its volume; the same one again is
  /// fine. Lower: Errc::fenced (number) or Errc::exists (version). Durable on return.
  Task<Result<void>> put_root(Asker asker, wire::Signed root);
  /// The newest record of each of the person's volumes.
  Task<Result<std::vector<wire::Signed>>> roots(PersonId person);

  // --- Figures and care -----------------------------------------------------------------------

  ShardUsage usage() const;
  std::vector<ShardBalance> balances() const;
  std::uint64_t kept_for(PersonId person) const;  ///< bytes of shards, without overhead
  /// From now on; what is already kept stays even if it is more.
  void set_budget(std::uint64_t bytes);
  /// So many bytes of the budget are taken by files that others keep beside the shards.
  void set_aside(std::uint64_t bytes);
  void set_reciprocity(std::function<Reciprocity(PersonId)> reciprocity);
  /// Called when a shard was found damaged or missing: its owner should know.
  void on_lost(std::function<void()> call);
  /// Called (on the executor) after shards have been released or let go.
  void on_released(std::function<void(const std::vector<ShardKey>&)> call);
  /// Called (on the executor) after a server has brought a root record of a person, which is durable.
  void on_root(std::function<void(const PersonId&, const ServerId& from)> call);
  /// How many of each person's shards are lost here and not put again since; none: left out.
  Task<Result<std::map<PersonId, std::uint64_t>>> lost_of_persons();

  /// Looks at every shard and every file. Deep: reads and hashes all. With `mend`, files of no use
  /// are removed and damaged shards marked lost (and their bytes dropped); without, nothing
  /// changes. `progress` (may be empty) is told bytes done and bytes in all.
  Task<Result<ShardCheckup>> fsck(bool deep, bool mend,
                                  std::function<void(std::uint64_t, std::uint64_t)> progress = {});

 private:
  class Impl;
  explicit ShardStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

std::string_view to_string(ShardDamage::Kind kind);

}  // namespace spatter
