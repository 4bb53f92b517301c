// The records that one server keeps for others: at most one of each key, the highest version seen,
// until it expires. Bounded in bytes, and for each person who answers for records; when it is full,
// the records farthest from the own position give way, for others are nearer to those.
//
// Only checked records come in (RecordValidators). Pure: no clock, no network; nothing is durable,
// for what a restart loses the other holders bring back.
#pragma once

#include <unordered_map>
#include <vector>

#include "directory/record.h"

namespace spatter {

struct StoreOptions {
  std::size_t bytes_max = 64 << 20;
  std::size_t person_bytes_max = 4 << 20;  ///< of records that one person answers for
  /// Nobody keeps a record longer than this past its last renewal, whatever it says.
  Duration keep_max = std::chrono::hours(7 * 24);
  Duration clock_slack = std::chrono::minutes(10);  ///< by which clocks may differ
  Duration republish_min = std::chrono::minutes(30);
  Duration republish_max = std::chrono::hours(2);
};

class RecordStore {
 public:
  RecordStore(Position own, StoreOptions options = {});

  enum class Kept { fresh, newer, same };
  /// Errc::exists: a higher version is here. Errc::invalid: expired. Errc::no_space: its person's
  /// share is full, or everything is and all that is here is nearer. `chance` spreads the
  /// republishing.
  Result<Kept> put(const RecordPtr& record, TimePoint now, WallMs wall, std::uint64_t chance);
  /// Null when it is not here or expired.
  RecordPtr get(const RecordKey& key, WallMs wall) const;

  /// From now on; within the options' bounds.
  void set_republish_every(Duration period);

  /// Records that nobody has sent again for a period, and those soon due with them; each
  /// then counts as republished. Expired ones are dropped on the way. Empty while none is due.
  std::vector<RecordPtr> take_due(TimePoint now, WallMs wall, std::uint64_t chance);
  /// No longer ours to republish; it stays until it expires.
  void release(const RecordKey& key);
  /// Drops records that count no more.
  void forget_if(const std::function<bool(const Record&)>& gone);

  std::size_t size() const { return held_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::vector<RecordPtr> records() const;

 private:
  struct Held {
    RecordPtr record;
    WallMs until = 0;
    TimePoint due{};
  };
  using Map = std::unordered_map<RecordKey, Held>;
  static std::size_t bytes_of(const Record& record);
  Result<void> make_room(const Record& record, WallMs wall);
  void erase(Map::iterator at);
  TimePoint next_due(TimePoint now, std::uint64_t chance) const;

  Position own_;
  StoreOptions options_;
  Map held_;
  std::unordered_map<PersonId, std::size_t> person_bytes_;
  std::size_t bytes_ = 0;
  Duration republish_every_;
  TimePoint earliest_due_ = TimePoint::max();
};

}  // namespace spatter
