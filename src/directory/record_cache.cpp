#include "directory/record_cache.h"

namespace spatter {

std::size_t RecordCache::bytes_of(const Record& record) {
  constexpr std::size_t around = 192;  // the list's and the table's nodes, and the counts of the pointer
  return sizeof record + record.value.capacity() + around;
}

void RecordCache::erase(Order::iterator at) {
  bytes_ -= bytes_of(*at->record);
  held_.erase(at->record->key);
  order_.erase(at);
}

void RecordCache::put(const RecordPtr& record, TimePoint now) {
  const std::size_t bytes = bytes_of(*record);
  if (bytes > options_.bytes_max) return;
  if (const auto at = held_.find(record->key); at != held_.end()) {
    if (at->second->record->facts.version > record->facts.version) return;
    erase(at->second);
  }
  while (bytes_ + bytes > options_.bytes_max) erase(std::prev(order_.end()));
  order_.push_front({record, now + options_.keep});
  held_[record->key] = order_.begin();
  bytes_ += bytes;
}

RecordPtr RecordCache::get(const RecordKey& key, TimePoint now, WallMs wall) {
  const auto at = held_.find(key);
  if (at == held_.end()) return nullptr;
  if (at->second->until <= now || at->second->record->facts.expires_ms <= wall) {
    erase(at->second);
    return nullptr;
  }
  order_.splice(order_.begin(), order_, at->second);
  return at->second->record;
}

void RecordCache::forget_if(const std::function<bool(const Record&)>& gone) {
  for (auto at = order_.begin(); at != order_.end();) {
    const auto next = std::next(at);
    if (gone(*at->record)) erase(at);
    at = next;
  }
}

}  // namespace spatter
