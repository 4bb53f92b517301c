// Records that this server read for itself lately. It answers with them like a holder, so that what
// many read is at many servers, beside the places where it belongs. Who asks takes the highest version of
// several persons' answers, so an old one here does no harm.
//
// Bounded in bytes; what was used last stays. Pure: no clock, no network.
#pragma once

#include <list>
#include <unordered_map>

#include "directory/record.h"

namespace spatter {

class RecordCache {
 public:
  struct Options {
    std::size_t bytes_max = 1 << 20;
    Duration keep = std::chrono::minutes(10);
  };
  RecordCache() = default;
  explicit RecordCache(Options options) : options_(options) {}

  /// Replaces what is here of the same key, unless that is newer.
  void put(const RecordPtr& record, TimePoint now);
  /// Null when it is not here, has been here for too long, or has expired.
  RecordPtr get(const RecordKey& key, TimePoint now, WallMs wall);
  /// Drops records that count no more.
  void forget_if(const std::function<bool(const Record&)>& gone);

  std::size_t size() const { return order_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Held {
    RecordPtr record;
    TimePoint until{};
  };
  using Order = std::list<Held>;  ///< used last first
  static std::size_t bytes_of(const Record& record);
  void erase(Order::iterator at);

  Options options_;
  Order order_;
  std::unordered_map<RecordKey, Order::iterator> held_;
  std::size_t bytes_ = 0;
};

}  // namespace spatter
