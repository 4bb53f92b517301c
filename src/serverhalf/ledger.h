// The arithmetic of room: what is used, what is promised, for whom, and whether more may be
// promised. Pure bookkeeping on the executor, no disk, so that the budget can be reasoned about (and
// tested) in one place.
//
// The rule that must never break: what the server half takes on the disk, together with everything
// promised, is at most the budget. Files are charged with their rounded size. Rows are charged with
// an estimate, and at every look at the disk the database's true size counts if it is larger. Rows on
// their way lie in the write-ahead log first, which has an allowance of its own.
#pragma once

#include <map>
#include <unordered_map>
#include <utility>

#include "base/ids.h"
#include "serverhalf/admission.h"
#include "serverhalf/shard_store.h"

namespace spatter::serverhalf {

struct Charge {
  std::uint64_t rows = 0;   ///< bytes in the database
  std::uint64_t files = 0;  ///< bytes in files of their own
  std::uint64_t total() const { return rows + files; }
};

/// Descriptors and contracts longer than these are refused; begin reserves for the longest.
inline constexpr std::size_t descriptor_bytes_max = 16 << 10;
inline constexpr std::size_t contract_bytes_max = 1 << 10;

/// What a shard of `size` bytes costs with its hashes, descriptor, contract and index entries.
Charge charge_for(std::uint64_t size, std::uint64_t descriptor_bytes, std::uint64_t contract_bytes);
/// The most it can cost, before its descriptor is known.
Charge charge_at_most(std::uint64_t size);
Charge charge_for_root(std::uint64_t record_bytes);

/// What the write-ahead log may take of a half of this size, and when it is to be moved.
std::uint64_t log_allowance(std::uint64_t budget);
inline std::uint64_t log_limit(std::uint64_t budget) { return log_allowance(budget) / 2; }

/// What the disk says of itself.
struct DiskLook {
  std::uint64_t total = 0;
  std::uint64_t free = 0;
  std::uint64_t database = 0;  ///< the database's file
  std::uint64_t log = 0;       ///< its write-ahead log
  std::uint64_t strays = 0;    ///< files here that belong to no shard
};

class Ledger {
 public:
  Ledger(std::uint64_t budget, std::uint64_t disk_reserve)
      : budget_(budget), disk_reserve_(disk_reserve) {}

  /// Room promised. Gives it back when it dies, unless `settle` took it.
  class Room {
   public:
    Room() = default;
    Room(Ledger* owner, PersonId person, Charge charge)
        : owner_(owner), person_(person), charge_(charge) {}
    Room(Room&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), person_(other.person_),
          charge_(other.charge_) {}
    Room& operator=(Room&& other) noexcept;
    ~Room() { give_back(); }
    void give_back();
    const Charge& charge() const { return charge_; }
    bool held() const { return owner_ != nullptr; }

   private:
    friend class Ledger;
    Ledger* owner_ = nullptr;
    PersonId person_;
    Charge charge_;
  };

  /// Errc::no_space, saying how much is free, when budget, disk or policy refuse.
  Result<Room> reserve(const PersonId& person, Charge need, const Admission& policy,
                       const Reciprocity& reciprocity);

  /// What is durable now: used instead of promised. `actual` is at most what the room held.
  void settle(Room room, Charge actual);
  /// What was found at open.
  void found(const PersonId& person, Charge charge);
  void gone(const PersonId& person, Charge charge);

  void shard_kept(const PersonId& person, const ServerId& server, std::uint64_t bytes,
                  std::uint64_t count = 1);
  void shard_gone(const PersonId& person, const ServerId& server, std::uint64_t bytes);

  /// Looking takes a while: what is settled between the two calls may or may not be in what the
  /// disk said, and is counted on top.
  void begin_look() { before_look_ = since_look_; }
  void looked(const DiskLook& look);
  /// Whether so much was promised since the last look that another is due before promising `need`.
  bool look_is_stale(Charge need) const;

  void set_budget(std::uint64_t bytes) { budget_ = bytes; }
  void set_aside(std::uint64_t bytes) { aside_ = bytes; }
  std::uint64_t budget() const { return budget_; }
  std::uint64_t used() const { return used_.total(); }
  std::uint64_t reserved() const { return reserved_.total(); }
  std::uint64_t free() const;        ///< what can be promised now
  std::uint64_t shards() const { return shards_; }
  std::uint64_t kept_for(const PersonId& person) const;  ///< bytes of shards
  std::vector<ShardBalance> balances() const;

 private:
  friend class Room;
  std::uint64_t free_in_budget(std::uint64_t rows_wanted) const;
  std::uint64_t free_on_disk() const;

  struct Kept {
    std::uint64_t bytes = 0;
    std::uint64_t shards = 0;
  };
  std::uint64_t budget_;
  std::uint64_t disk_reserve_;
  std::uint64_t aside_ = 0;  ///< files of others in the half
  Charge used_;
  Charge reserved_;
  DiskLook look_;
  bool has_looked_ = false;
  Charge since_look_;   ///< settled after the last look began
  Charge before_look_;  ///< since_look_ when the look under way began
  std::uint64_t shards_ = 0;
  std::unordered_map<PersonId, std::uint64_t> charged_;  ///< used and promised
  std::map<std::pair<PersonId, ServerId>, Kept> kept_;
};

}  // namespace spatter::serverhalf
