// The shard store's inside. What happens when:
//   staging   the bytes are hashed as they come and go to a file in tmp/ (or memory when inline)
//   examining signatures, fields and root are checked, the receipt is made
//   keeping   under the key's lock: file renamed into place and its folder synced, then the index
//             row, by group commit; only then is the receipt given away
// A crash between the last two leaves a durable file without a row: open takes it up again.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <unordered_map>

#include "base/database.h"
#include "base/sync.h"
#include "crypto/merkle.h"
#include "index.h"
#include "key_locks.h"
#include "ledger.h"
#include "serverhalf/shard_store.h"
#include "shard_file.h"

namespace spatter {

class ShardStore::Impl {
 public:
  Impl(Runtime& runtime, const SigningKey& holder, ShardStoreOptions options);

  Task<Result<void>> open();
  Task<void> stop();

  Task<Result<wire::Contract>> put(Asker asker, wire::Signed descriptor, wire::Contract contract,
                                   Buffer shard);
  Task<Result<wire::Contract>> put_rebuilt(ServerId coordinator, wire::Signed descriptor, wire::Contract contract,
                                           Buffer shard, WallMs trial_until_ms);
  Task<Result<std::vector<KeptStripe>>> kept_stripes(std::optional<StripeId> after, std::size_t limit);
  Task<Result<std::optional<KeptStripe>>> kept_stripe(StripeId stripe);
  Task<Result<std::vector<KeptVersion>>> kept_versions(PersonId person, std::optional<StripeId> after,
                                                       std::size_t limit);
  Task<Result<bool>> set_holders(StripeId stripe, std::uint64_t version, Bytes chain,
                                 std::vector<std::uint8_t> confirmed);
  Task<Result<std::uint32_t>> let_go(std::vector<ShardKey> keys, std::uint64_t holders_version, bool on_trial);
  Task<Result<std::uint64_t>> begin(Asker asker, ShardKey key, std::uint64_t size, WriterMark mark);
  Task<Result<void>> write(Asker asker, std::uint64_t handle, std::uint64_t offset, Buffer piece);
  Task<Result<wire::Contract>> commit(Asker asker, std::uint64_t handle, wire::Signed descriptor,
                                      wire::Contract contract);
  Task<Result<void>> abort(Asker asker, std::uint64_t handle);
  Task<Result<std::vector<wire::Contract>>> renew(Asker asker, std::vector<wire::Contract> offers);
  Task<Result<ShardPart>> read(ShardKey key, std::uint64_t offset, std::uint64_t length);
  Task<Result<ShardPage>> list(ShardQuery query);
  Task<Result<std::vector<bool>>> check(std::vector<ShardKey> keys, bool deep);
  Task<Result<std::uint32_t>> release(Asker asker, std::vector<ShardKey> keys,
                                      std::uint64_t writer_number);
  Task<Result<void>> put_root(Asker asker, wire::Signed root);
  Task<Result<std::vector<wire::Signed>>> roots(PersonId person);
  Task<Result<ShardCheckup>> fsck(bool deep, bool mend,
                                  std::function<void(std::uint64_t, std::uint64_t)> progress);

  /// Runs an operation that must not be cut short: its caller may be cancelled, it goes on.
  template <class T>
  Task<Result<T>> apart(Task<Result<T>> operation) {
    if (stopping_) co_return fail(Errc::unavailable, "the server half is being closed");
    auto slot = std::make_shared<Slot<T>>(runtime_.executor());
    operations_.spawn(fill(slot, std::move(operation)));
    co_await slot->done.wait();
    co_return std::move(*slot->result);
  }

  Task<Result<std::map<PersonId, std::uint64_t>>> lost_of_persons();

  ShardUsage usage() const;
  serverhalf::Ledger& ledger() { return ledger_; }
  ShardStoreOptions& options() { return options_; }
  std::function<void()> on_lost;
  std::function<void(const std::vector<ShardKey>&)> on_released;
  std::function<void(const PersonId&, const ServerId&)> on_root;

 private:
  using Entry = serverhalf::index::Entry;
  using Offer = serverhalf::index::Offer;
  using Room = serverhalf::Ledger::Room;
  using Charge = serverhalf::Charge;

  template <class T>
  struct Slot {
    explicit Slot(asio::any_io_executor executor) : done(std::move(executor)) {}
    Event done;
    std::optional<Result<T>> result;
  };
  template <class T>
  static Task<void> fill(std::shared_ptr<Slot<T>> slot, Task<Result<T>> operation) {
    slot->result.emplace(co_await std::move(operation));
    slot->done.set();
  }

  /// The bytes of a shard on their way in.
  struct Staged {
    std::uint64_t size = 0;
    std::vector<Digest> leaves;
    Buffer bytes;                ///< inline shards
    std::string tmp;             ///< others: the file, not yet synced
    std::unique_ptr<File> file;
  };

  struct Begun {
    explicit Begun(asio::any_io_executor executor) : busy(executor), advanced(executor) {}
    Asker asker;
    ShardKey key;
    std::uint64_t size = 0;
    WriterMark mark;
    Room room;
    std::uint64_t written = 0;
    Staged staged;
    LeafHasher hasher;
    TimePoint touched;
    bool over = false;
    Mutex busy;  ///< one piece at a time
    WaitQueue advanced;         ///< `written` or `over` changed
    unsigned early_pieces = 0;  ///< that wait for those before them

    void end() {
      over = true;
      advanced.wake_all();
    }
  };

  // Opening (open.cpp)
  Task<Result<void>> load();
  Task<Result<void>> clear_leftovers();
  Task<Result<void>> finish_releases(const std::vector<ShardKey>* locked);
  Task<Result<void>> take_up_strays();
  Task<bool> adopt(ShardKey key, std::uint64_t file_bytes);

  // Writing (write.cpp)
  Task<Result<void>> wait_for_turn(Begun& begun, std::uint64_t offset);
  Task<Result<void>> look(Charge need, bool force);
  Task<Result<Room>> reserve(PersonId person, Charge need, const Admission* admission = nullptr);
  /// Stages, checks and keeps a whole shard. `trial_until_ms` of 0: the owner's own.
  Task<Result<wire::Contract>> take(Asker asker, wire::Signed descriptor, wire::Contract contract, Buffer shard,
                                    Result<Room> room, WallMs trial_until_ms);
  /// Checks everything that can be checked without looking at what is here. Any thread.
  Result<Offer> examine(const Asker& asker, const wire::Signed& descriptor,
                        const wire::Contract& contract, const Staged& staged) const;
  /// The part of it that a contract by itself allows. Any thread.
  Result<ContractTerms> examine_terms(const Asker& asker, const wire::Contract& contract) const;
  wire::Contract receipt_for(const wire::Contract& offer) const;  ///< any thread
  /// Puts the tail behind a staged file and syncs it. Blocking.
  Result<void> seal(Staged& staged, const Offer& offer);
  Result<void> create_tmp(Staged& staged);  ///< blocking
  /// Renames a sealed file into place, durably. Blocking.
  Result<void> place(const std::string& tmp, const ShardKey& key);
  Task<void> discard(Staged staged);
  Task<Result<wire::Contract>> keep(Offer offer, Staged staged, Result<Room> room);
  Task<Result<wire::Contract>> give_up(Staged staged, Error why);
  void account(const serverhalf::index::Kept& kept, const Offer& offer, Room room);
  Result<std::shared_ptr<Begun>> find_begun(const Asker& asker, std::uint64_t handle);
  Result<void> check_begin_limits(const Asker& asker, std::uint64_t size) const;
  Task<void> expire_begun();
  std::string next_tmp();

  // Reading and care (read.cpp, fsck.cpp)
  struct Look {
    Entry entry;
    std::optional<serverhalf::index::InlineShard> inlined;
  };
  Task<Result<std::optional<Look>>> find(ShardKey key);
  /// Nothing when the shard is whole. Blocking.
  std::optional<ShardDamage> examine_entry(const Look& look, bool deep);
  /// In order, each once; `keys` becomes so too.
  Task<std::vector<serverhalf::KeyLocks::Hold>> lock_all(std::vector<ShardKey>& keys);
  /// Only with the keys' locks held, as release_some.
  Task<Result<std::uint32_t>> release_all(const std::vector<Entry>& entries);
  Task<Result<void>> release_some(std::span<const Entry> entries);
  Task<void> forget_releases();
  Task<void> suspect(ShardKey key);  ///< looks again, deep, under the lock; marks it lost
  Task<Result<void>> fsck_entries(bool deep, bool mend, ShardCheckup& checkup,
                                  const std::function<void(std::uint64_t, std::uint64_t)>& progress);
  Task<Result<void>> fsck_files(bool mend, ShardCheckup& checkup);
  Task<Result<void>> fsck_roots(bool mend, ShardCheckup& checkup);
  Task<Result<void>> drop_lost(ShardKey key);

  std::string database_path() const { return options_.folder + "/index.db"; }
  std::string tmp_folder() const { return options_.folder + "/tmp"; }

  Runtime& runtime_;
  const SigningKey& holder_;
  const ServerId self_;
  ShardStoreOptions options_;
  serverhalf::Ledger ledger_;
  serverhalf::KeyLocks locks_;
  std::unique_ptr<Database> database_;
  TaskGroup operations_;
  TaskGroup background_;
  Event something_begun_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Begun>> begun_;
  std::set<std::string> tmp_in_use_;
  std::array<std::atomic<bool>, 256> folder_made_{};
  std::map<std::string, std::uint64_t> strays_;  ///< files of no shard, with their sizes
  TimePoint looked_at_{};
  std::uint64_t tmp_number_ = 0;
  std::uint64_t lost_ = 0;
  std::size_t doomed_count_ = 0;  ///< since they were last forgotten
  bool stopping_ = false;
};

}  // namespace spatter
